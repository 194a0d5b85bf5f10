r"""A threshold on the anomaly score from normal images alone, with a known false-alarm rate.

Let s_1..s_n be the scores of held-out NORMAL images that the flow never saw. If a new normal image
is exchangeable with them, its rank among them is uniform, and so, for the k-th smallest s_(k),

.. math::
    P(s_\mathrm{new} > s_{(k)}) \le \alpha
    \quad\text{with}\quad k = \lceil (n + 1)(1 - \alpha) \rceil .

This holds for every n and every distribution, on average over calibration sets. It needs k <= n,
that is alpha >= 1 / (n + 1): 19 images for 5 %, 99 for 1 %.

Images of one part are not independent. Where images come in groups, a group counts once, with its
largest score: then no image of a new group reaches the threshold with probability 1 - alpha.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite.checks import one_of, rate, vector

__all__ = ["Calibration", "Judgement", "Threshold", "TooFewNormalsError", "conformal_threshold"]
__all__ += ["ordered_scores", "p_values"]


class TooFewNormalsError(ValueError):
    """The wanted false-alarm rate cannot be guaranteed with so few calibration scores."""


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A decision rule: anomalous if score >= value."""

    value: float  # theta
    alpha: float  # the false-alarm rate asked for
    n: int  # number of calibration scores; where images come in groups, of groups
    rule: str  # "conformal", "cross-conformal", "pac" or "quantile"
    guaranteed: float | None  # the false-alarm rate that is; None where nothing is

    @property
    def smallest_alpha(self) -> float:
        """The smallest rate that n scores can guarantee by split conformal, 1 / (n + 1)."""
        return 1 / (self.n + 1)

    def __str__(self) -> str:
        reached = max(self.alpha, self.smallest_alpha)
        promise = "no guarantee"
        if self.guaranteed is not None:
            promise = f"false alarms <= {self.guaranteed:.1%}"
        elif self.rule == "cross-conformal":
            promise = f"false alarms <= {reached:.1%} as measured, not proved"
        return (
            f"theta = {self.value:.4g} ({self.rule}, n = {self.n}, asked {self.alpha:.1%}: "
            f"{promise}; smallest reachable {self.smallest_alpha:.1%})"
        )


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a detector says of N images."""

    scores: np.ndarray  # (N,) float64; higher is more anomalous
    p_values: np.ndarray  # (N,), conformal
    anomalous: np.ndarray  # (N,) bool, scores at the threshold or above
    threshold: Threshold  # the rule, with its promise


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What the scores of normal images say about new scores."""

    scores: np.ndarray  # (n,), each by a detector that never saw the image
    rule: str  # where they come from: "cross", "split", "given" or "none"
    groups: np.ndarray | None = None  # (n,) the group of each image; None: each is its own

    @property
    def evidence(self) -> np.ndarray:
        """(G,) the largest score of each group: what may be compared with a new image's."""
        if self.groups is None:
            return self.scores
        return np.array([self.scores[self.groups == g].max() for g in np.unique(self.groups)])

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """See `conformal_threshold`."""
        cross = self.rule == "cross"
        return conformal_threshold(self.evidence, alpha, if_too_few=if_too_few, cross=cross)

    def p_values(self, scores: ArrayLike) -> np.ndarray:
        """See the function `p_values`."""
        return p_values(self.evidence, scores)

    def judge(
        self, scores: np.ndarray, alpha: float = 0.05, *, if_too_few: str = "raise"
    ) -> Judgement:
        """Scores (N,) with their p-values and decisions."""
        threshold = self.threshold(alpha, if_too_few=if_too_few)
        return Judgement(scores, self.p_values(scores), scores >= threshold.value, threshold)


def conformal_threshold(
    scores: ArrayLike, alpha: float = 0.05, *, if_too_few: str = "raise", cross: bool = False
) -> Threshold:
    """Conformal threshold: split, or cross if each score is of a detector of its own fold.

    The value is the next float above s_(k), so that "score >= value" flags exactly the images whose
    conformal p-value is at most alpha, ties included.

    Args:
        scores: (n,) scores of held-out normal images, one for each image.
        alpha: wanted false-alarm rate, 0 < alpha < 1.
        if_too_few: if n < 1 / alpha - 1, "raise"; or "fallback", which takes the largest score and
            says that it guarantees 1 / (n + 1) only.
        cross: the scores are out-of-fold, and new images are scored by the mean of the folds'
            detectors. The rate is measured to be at most alpha (notebook 06) and not proved; of the
            related CV+, which compares with each detector apart, about 2 alpha is proved.

    Raises:
        TooFewNormalsError: n is too small and `if_too_few` is "raise".
        ValueError: the scores are empty or not finite, or alpha is not a rate.

    References:
        Vovk et al., "Algorithmic Learning in a Random World"; Bates et al., "Testing for Outliers
        with Conformal p-values", arXiv 2104.08279; Barber et al., "Predictive inference with the
        jackknife+", arXiv 1905.02928, for CV+.

    Example:
        >>> print(conformal_threshold(range(1, 20), alpha=0.05))
        theta = 19 (conformal, n = 19, asked 5.0%: false alarms <= 5.0%; smallest reachable 5.0%)
    """
    alpha = rate("alpha", alpha)
    one_of("if_too_few", if_too_few, ("raise", "fallback"))
    ordered = ordered_scores(scores)
    n = len(ordered)
    # by the p-values themselves: 20 * 0.95 would be 19.000000000000004, and 7 * (1 / 7) below 1
    k = n + 1 - int((np.arange(1, n + 2) / (n + 1) <= alpha).sum())
    guaranteed = alpha
    if k > n:
        nearest = round(1 / alpha)
        needed = nearest - 1 if 1 / nearest <= alpha else nearest
        if if_too_few != "fallback":
            raise TooFewNormalsError(
                f"a false-alarm rate of {alpha:.2%} needs at least {needed} independent normal "
                f"images, got {n}, which can promise {1 / (n + 1):.2%} at best; add images of "
                "other parts, ask for a larger alpha, or pass if_too_few='fallback'"
            )
        k = n
        guaranteed = 1 / (n + 1)
        warnings.warn(
            f"{n} held-out normals cannot guarantee {alpha:.2%} ({needed} are needed); "
            f"the threshold is their largest score and guarantees {guaranteed:.2%}",
            stacklevel=2,
        )
    value = float(np.nextafter(ordered[k - 1], np.inf))
    if cross:
        return Threshold(value, alpha, n, "cross-conformal", None)
    return Threshold(value, alpha, n, "conformal", guaranteed)


def p_values(calibration: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Conformal p-values (1 + #{s_i >= s}) / (n + 1): small for anomalies, never below 1 / (n + 1).

    Args:
        calibration: (n,) scores of held-out normal images.
        scores: (N,) scores to judge.

    Returns:
        (N,) p-values. For a normal image, P(p <= alpha) <= alpha.

    Example:
        >>> p_values([1, 2, 3, 4], [0, 2.5, 9]).tolist()
        [1.0, 0.6, 0.2]
    """
    ordered = ordered_scores(calibration)
    at_least = len(ordered) - np.searchsorted(ordered, vector("scores", scores), side="left")
    return (1 + at_least) / (len(ordered) + 1)


def ordered_scores(scores: ArrayLike) -> np.ndarray:
    """The calibration scores in order; at least one."""
    ordered = np.sort(vector("calibration scores", scores))
    if not len(ordered):
        raise TooFewNormalsError(
            "there are no calibration scores: the model was fitted with calibration='none'"
        )
    return ordered
