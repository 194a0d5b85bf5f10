"""A batch of new parts: which to throw away, so that few of those are good."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite.checks import rate, vector

__all__ = ["fewest_discoveries", "select"]


def select(p_values: ArrayLike, fdr: float = 0.1) -> np.ndarray:
    """Benjamini and Hochberg's selection at a false DISCOVERY rate, of a batch's p-values.

    A threshold bounds the share of good parts that are flagged; this bounds the share of flagged
    parts that are good. Which parts are selected depends on the whole batch: with many defects in
    it the bar is lower. With split-conformal p-values the expected share is at most `fdr` (proved);
    with cross-conformal ones it is measured.

    Args:
        p_values: (N,) conformal p-values of a batch, see `Detector.p_values`.
        fdr: the share of the selected that may be good, on average over batches.

    Returns:
        (N,) bool, True where a part is selected.

    References:
        Benjamini, Hochberg, JRSS B 57 (1995); for conformal p-values Bates et al.,
        "Testing for Outliers with Conformal p-values", arXiv 2104.08279, theorem 2.

    Example:
        >>> select([0.01, 0.02, 0.03, 0.5, 0.9], fdr=0.1).tolist()
        [True, True, True, False, False]
    """
    from scipy.stats import false_discovery_control  # 0.5 s to import

    fdr = rate("fdr", fdr)
    p = vector("p_values", p_values)
    if not len(p):
        return np.zeros(0, bool)
    if p.min() <= 0 or p.max() > 1:
        raise ValueError(
            f"p_values: expected numbers above 0 and up to 1, got {p.min()} to {p.max()}"
        )
    return false_discovery_control(p) <= fdr * (1 + 1e-12)


def fewest_discoveries(n_calibration: int, n_batch: int, fdr: float = 0.1) -> int:
    """How many parts of a batch must look worse than all calibration images for any selection.

    The smallest p-value is 1 / (n + 1); k of N such are selected if N / k / (n + 1) <= fdr.

    Example:
        >>> fewest_discoveries(80, 90, fdr=0.1)
        12
    """
    share = rate("fdr", fdr)
    return max(1, math.ceil(n_batch / ((n_calibration + 1) * share) - 1e-9))
