r"""Do new images come from where the old ones came from? Two-sample tests, and their power.

A threshold promises its rate only while new normal images are exchangeable with those that it was
calibrated on. A test can find that they are not; that it finds nothing proves nothing, unless its
power is known. `power` gives it by simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import mannwhitneyu
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances

__all__ = ["mmd_test", "power", "rank_test"]

Test = Callable[[np.ndarray, np.ndarray], float]


def rank_test(old: ArrayLike, new: ArrayLike) -> float:
    """P-value of Mann and Whitney: are new scores (m,) higher or lower than old ones (n,)?

    Both must be scores of one detector that saw neither, or of detectors that are alike.
    """
    return float(mannwhitneyu(old, new).pvalue)


def mmd_test(
    old: ArrayLike,
    new: ArrayLike,
    *,
    n_components: int = 20,
    n_permutations: int = 499,
    seed: int = 0,
) -> float:
    r"""P-value of the maximum mean discrepancy between features (n, D) and (m, D), by permutation.

    Features are whitened on their principal components, all together, so that the permutations
    are exact: under exchangeability P(p <= alpha) <= alpha. The kernel is
    :math:`\exp(-d^2 / 2 \ell^2)` with the median distance for :math:`\ell`.

    References:
        Gretton et al., "A Kernel Two-Sample Test", JMLR 2012.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(60, 5))
        >>> bool(mmd_test(rows[:40], rows[40:] + 2) < 0.01)
        True
    """
    first = np.asarray(old, dtype=float)
    second = np.asarray(new, dtype=float)
    both = np.concatenate([first, second])
    k = min(n_components, both.shape[1], len(both) - 1)
    white = PCA(k, whiten=True, random_state=0).fit_transform(both)
    squares = pairwise_distances(white, metric="sqeuclidean")
    kernel = np.exp(-squares / (2 * np.median(squares[squares > 0])))
    sizes = [len(first), len(second)]
    weights = np.repeat([1 / sizes[0], -1 / sizes[1]], sizes)
    generator = np.random.default_rng(seed)
    drawn = np.stack([weights, *(generator.permutation(weights) for _ in range(n_permutations))])
    squared = np.einsum("pi,pi->p", drawn @ kernel, drawn)  # MMD^2: the data's, the permutations'
    return float(np.mean(squared >= squared[0] - 1e-12))


def power(
    test: Test,
    old: ArrayLike,
    m: int,
    shifts: Sequence[float],
    *,
    alpha: float = 0.05,
    n_sets: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """How often a test notices that m images have moved, by simulation on the old ones.

    In each set m of the old are taken out, moved, and tested against the others.

    Args:
        test: such as `rank_test`; called with the others and the moved ones.
        old: (n,) scores of normal images.
        m: number of new images, below n.
        shifts: how far they move, in deviations of the scores.
        alpha: the test says "different" where p <= alpha.
        n_sets, seed: number of sets for each shift, and their seed.

    Returns:
        The share of sets in which it does, one for each shift; at shift 0 it is alpha at most.
    """
    values = np.asarray(old, dtype=float)
    generator = np.random.default_rng(seed)
    if not 0 < m < len(values):
        raise ValueError(f"m: expected 1 to {len(values) - 1} of the {len(values)}, got {m}")
    shares = []
    for shift in shifts:
        noticed = 0
        for _ in range(n_sets):
            order = generator.permutation(len(values))
            moved = values[order[:m]] + shift * values.std()
            noticed += test(values[order[m:]], moved) <= alpha
        shares.append(noticed / n_sets)
    return np.array(shares)
