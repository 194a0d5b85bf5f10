"""Two other rules for a threshold, to compare the conformal one with (notebook 06)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc

from differnet_lite.checks import rate
from differnet_lite.thresholds import Threshold, TooFewNormalsError, ordered_scores

__all__ = ["pac_threshold", "quantile_threshold"]


def pac_threshold(scores: ArrayLike, alpha: float = 0.05, *, delta: float = 0.1) -> Threshold:
    """A threshold whose false-alarm rate is at most alpha with probability 1 - delta.

    The probability is over calibration sets. Given theta = s_(k) the false-alarm rate is
    Beta(n + 1 - k, k); the smallest k is taken with P(rate <= alpha) >= 1 - delta. Stricter than
    `conformal_threshold`, which holds on average.

    Raises:
        TooFewNormalsError: even the largest score is not enough.
        ValueError: as in `conformal_threshold`.
    """
    alpha = rate("alpha", alpha)
    rate("delta", delta)
    ordered = ordered_scores(scores)
    n = len(ordered)
    k = np.arange(1, n + 1)
    enough = np.flatnonzero(betainc(n + 1 - k, k, alpha) >= 1 - delta)  # P(Beta <= alpha)
    if not len(enough):
        needed = math.ceil(math.log(delta) / math.log(1 - alpha))
        raise TooFewNormalsError(
            f"a false-alarm rate of {alpha:.2%} with confidence {1 - delta:.0%} needs at least "
            f"{needed} held-out normal images, got {n}"
        )
    return Threshold(float(np.nextafter(ordered[enough[0]], np.inf)), alpha, n, "pac", alpha)


def quantile_threshold(scores: ArrayLike, alpha: float = 0.05) -> Threshold:
    """The plain (1 - alpha) quantile: the common rule, which guarantees nothing at small n."""
    alpha = rate("alpha", alpha)
    ordered = ordered_scores(scores)
    return Threshold(float(np.quantile(ordered, 1 - alpha)), alpha, len(ordered), "quantile", None)
