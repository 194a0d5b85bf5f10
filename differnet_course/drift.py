r"""Has the line changed? A test on a stream of scores that may be looked at after every image.

The score of image t is ranked among the calibration scores AND all scores of the stream before it,
ties broken by chance. If all of them are exchangeable, these p-values are independent and uniform
on (0, 1]. A gambler who bets on each of them before it is drawn, at fair odds, has a capital M_t,
a martingale with M_0 = 1, and by Ville's inequality

.. math::
    P(\sup_t M_t \ge 1 / \delta) \le \delta :

an alarm at 1 / delta is false with probability delta at most, over the WHOLE stream. With
calibration "split" or "given" that is proved while the parts are those of one unchanged line, and
so it is for `calibration=[]`, the stream against its own past; with "cross" it is measured
(docs/measurements.md). An alarm says that the line is not the calibration's any more, for better or
worse.
"""

import bisect
import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite.checks import rate, vector

__all__ = ["Drift", "drift_martingale", "drift_test", "stream_p_values"]

SLOPES = np.array([-1.0, 0.0, 1.0])  # of the bets 1 + slope (p - 1/2), as Vovk et al. have them
JUMPS = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])  # shares that change the bet; 1 keeps a fifth safe


@dataclasses.dataclass(frozen=True)
class Drift:
    """What a sequential test says of N images, in the order in which they came.

    `log_martingale` is the natural logarithm of the capital M after each image, and `alarm` the
    position of the first image with M >= 1 / delta, None if there is none.
    """

    p_values: np.ndarray
    log_martingale: np.ndarray
    delta: float
    alarm: int | None


def drift_test(
    calibration: ArrayLike, scores: ArrayLike, *, delta: float = 0.01, seed: int = 0
) -> Drift:
    """Test whether a stream of scores still comes from where the calibration scores came from.

    Args:
        calibration: (n,) scores of normal images that the detector never saw; may be empty.
        scores: (N,) scores of new images, in the order in which they came.
        delta: the probability of a false alarm, over the whole stream.
        seed: of the numbers that break ties; choose it before looking.
    """
    return drift_martingale(stream_p_values(calibration, scores, seed=seed), delta=delta)


def stream_p_values(calibration: ArrayLike, scores: ArrayLike, *, seed: int = 0) -> np.ndarray:
    r"""Conformal p-values (N,) of a stream, each against all scores before it, in (0, 1].

    .. math::
        p_t = \frac{\#\{i : s_i > s_t\} + u_t \#\{i : s_i = s_t\}}{n + t},

    over the n calibration scores and the stream's first t, the t-th among them; u_t is drawn.

    References: Vovk, Nouretdinov, Gammerman, ICML 2003, theorem 1.
    """
    earlier = sorted(vector("calibration", calibration))
    stream = vector("scores", scores)
    u = 1 - np.random.default_rng(seed).random(len(stream))  # in (0, 1]
    p = np.empty(len(stream))
    for t, score in enumerate(stream):
        first = bisect.bisect_left(earlier, score)
        last = bisect.bisect_right(earlier, score)
        p[t] = (len(earlier) - last + u[t] * (last - first + 1)) / (len(earlier) + 1)
        earlier.insert(last, score)
    return p


def drift_martingale(p_values: ArrayLike, *, delta: float = 0.01) -> Drift:
    """The composite jumper's capital, and where it first reaches 1 / delta.

    A third each of the capital bets that the next p-value is small, large, or nothing; before each
    a share J of it is dealt out anew. This is done for five J, each with a fifth of the money, so
    that a change is found whether it comes early or late. `p_values` are those of
    `stream_p_values`.

    References: Vovk et al., "Retrain or not retrain", arXiv 2102.10439.
    """
    p = vector("p_values", p_values)
    limit = -np.log(rate("delta", delta))
    bets = 1 + np.multiply.outer(p - 0.5, SLOPES)  # (N, 3)
    shares = np.full((len(JUMPS), len(SLOPES)), 1 / (len(JUMPS) * len(SLOPES)))  # of M
    growth = np.empty(len(p))
    for t, bet in enumerate(bets):
        dealt = shares.mean(1) * JUMPS
        shares = (shares * (1 - JUMPS[:, None]) + dealt[:, None]) * bet
        growth[t] = shares.sum()
        shares /= growth[t]
    log_martingale = np.log(growth).cumsum()
    reached = np.flatnonzero(log_martingale >= limit)
    return Drift(p, log_martingale, delta, int(reached[0]) if len(reached) else None)
