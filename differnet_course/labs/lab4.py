"""Checks of lab 4: a threshold for a given cost, and maps with a level."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab4_maps import level, regions
from differnet_course.labs.verdicts import Exercise, Wrong
from differnet_lite import thresholds as thresholding

__all__ = ["EXERCISES"]

# (n, j) for which (n + 1) (1 - j / (n + 1)) comes out a little above n + 1 - j in floating point
TRAPS = [
    (n, j) for n in range(22, 38) for j in range(3, 8) if (n + 1) * (1 - j / (n + 1)) > n + 1 - j
]

# (n, k) for which k / (n + 1) by division comes out above its value by linspace, by k times the
# step and by adding up steps: a defect with this p-value escapes by rounding alone
ROUNDED = [(18, 13), (20, 11)]


def _smallest(scores: np.ndarray, alpha: float) -> float:
    """The smallest score above which a share of alpha, the new image included, can lie."""
    limit = Fraction(alpha).limit_denominator(10**6)
    promises = [(Fraction(int((scores > s).sum()) + 1, len(scores) + 1), s) for s in scores]
    return min(s for share, s in promises if share <= limit)


def _threshold(answer: Answer, draw: Draw) -> None:
    n = draw.integer(24, 37)
    j = draw.integer(3, 6)
    just_above = j * (1 + 0.4 / (n + 1))  # here the rank from n images is right, rounding down not
    for size, wanted in ((n, just_above), (n, j + 0.8), TRAPS[draw.rng.integers(len(TRAPS))]):
        alpha = wanted / (size + 1)
        scores = draw.rng.gamma(4.0, 1.0, size)
        right = _smallest(scores, alpha)
        mistakes = _ranks(np.sort(scores), alpha)
        compare("The threshold is", answer(scores, alpha), right, mistakes)
    _refusal(answer, draw)
    scores = draw.rng.gamma(4.0, 1.0, 19)
    try:
        largest = answer(scores, 0.05)
    except Wrong as error:
        raise Wrong("refuses_what_is_possible", error=error) from error
    compare("The threshold for 19 scores at 5 % is", largest, scores.max())


def _ranks(ordered: np.ndarray, alpha: float) -> dict[str, float]:
    """For what to say, what other ranks give."""
    n = len(ordered)
    exact = (n + 1) * (1 - alpha)
    k = int(np.ceil(exact - 1e-9))
    counted = "One rank too high: Python counts from 0, so s_(k) is `ordered[k - 1]`."
    if np.ceil(exact) > k:
        counted = (
            f"One rank too high for {n} scores and alpha = {alpha:.4g}: in floating point "
            f"(n + 1) (1 - alpha) is {exact!r}. Look at it before you round up."
        )
    too_low = "Your rank is rounded down: the rate can then exceed alpha. Round up."
    if exact % 1 < 0.5:
        too_low = "Your rank comes from n images. The new one makes it n + 1."
    return {
        "plain_quantile_scores": float(np.quantile(ordered, 1 - alpha)),
        "count_from_largest": ordered[::-1][k - 1],
        counted: ordered[k],
        too_low: ordered[k - 2],
    }


def _refusal(answer: Answer, draw: Draw) -> None:
    n = int(draw.rng.integers(9, 19))
    try:
        got = answer.function(draw.rng.gamma(4.0, 1.0, n), 0.05)
    except ValueError as error:
        if not str(error).strip():
            raise Wrong("valueerror_no_text") from error
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong("another_error", n=n, error=type(error).__name__) from error
    raise Wrong("promises_too_much", n=n, got=got)


def _p_values(answer: Answer, draw: Draw) -> None:
    n = draw.integer(18, 25)
    held = np.round(draw.rng.gamma(4.0, 1.0, n), 1)
    new = np.concatenate([draw.rng.choice(held, 4), draw.rng.gamma(6.0, 1.0, 6), [99.0]])
    at_least = (held[None] >= new[:, None]).sum(1)
    above = (held[None] > new[:, None]).sum(1)
    mistakes = {
        "A p-value is 0 where a score exceeds all held-out ones: 'impossible', after "
        f"{n} images? The new image counts as well, above and below the fraction line.": at_least
        / n,
        "new_image_missing": at_least / (n + 1),
        "new_image_missing_below": (1 + at_least) / n,
        "ties": (1 + above) / (n + 1),
        "wrong_side": (1 + n - above) / (n + 1),
        "1_p": 1 - (1 + at_least) / (n + 1),
    }
    right = thresholding.p_values(held, new)
    compare("The p-values are", answer(held, new), right, mistakes)


def _worst_rate(answer: Answer, draw: Draw) -> None:
    for n in (draw.integer(20, 60), draw.integer(61, 120)):
        for k in (n, n - draw.integer(2, 6)):
            sure = draw.number(0.8, 0.97)
            # by another road: at most k - 1 of n scores lie below the (1 - r) quantile
            wanted = brentq(lambda r, n=n, k=k, c=sure: stats.binom.sf(n - k, n, r) - c, 1e-9, 1.0)
            law = stats.beta(n + 1 - k, k)
            got = answer(n, k, sure)
            if k == n and as_numbers(got, "The rate is").isnan().any():
                raise Wrong("k_n_gives", n=n)
            mistakes = {
                "two_parameters_exchanged": stats.beta(k, n + 1 - k).ppf(sure),
                "wrong_tail": law.ppf(1 - sure),
                "mean_rate_promise": law.mean(),
            }
            compare("The rate is", got, wanted, mistakes)


def _rate_interval(answer: Answer, draw: Draw) -> None:
    n = draw.integer(25, 60)
    sure = draw.number(0.85, 0.97)
    for seen in (draw.integer(3, 9), 0, n):
        observed = stats.binomtest(seen, n)
        exact = observed.proportion_ci(sure, method="exact")
        score = observed.proportion_ci(sure, method="wilson")
        wide = observed.proportion_ci(2 * sure - 1, method="exact")
        p = seen / n
        half = float(stats.norm.ppf((1 + sure) / 2)) * np.sqrt(p * (1 - p) / n)
        low, high = two_numbers(answer.pair(seen, n, sure), "rate_interval")
        if np.isnan([low, high]).any():
            raise Wrong("gives_nan", seen=seen, n=n)
        if seen in (0, n) and low == high:
            raise Wrong("gives_interval_without", seen=seen, n=n)
        mistakes = {
            "normal_approximation": [p - half, p + half],
            "wilson_s_interval": [score.low, score.high],
            "each_tail_whole": [wide.low, wide.high],
            "ends_exchanged": [exact.high, exact.low],
        }
        what = f"The interval for {seen} of {n} is"
        compare(what, [low, high], [exact.low, exact.high], mistakes)


def _cost_curve(answer: Answer, draw: Draw) -> None:
    n, tie = ROUNDED[draw.rng.integers(len(ROUNDED))]
    held = draw.rng.gamma(4.0, 1.0, n)
    ordered = np.sort(held)
    ties = ordered[-3], ordered[n + 1 - tie]  # defects with p = 4 / (n + 1) and tie / (n + 1)
    bad = np.append(draw.rng.gamma(8.0, 1.0, draw.integer(9, 14)), ties)
    share = draw.number(0.02, 0.2)
    alarm = 0.5 + draw.integer(1, 4)
    escape = 40.0
    alphas = np.arange(1, n + 1) / (n + 1)
    p = thresholding.p_values(held, bad)[:, None]
    missed = (p > alphas + 1e-12).mean(0)
    strict = (p >= alphas - 1e-12).mean(0)
    got_alphas, got = answer.pair(held, bad, share, alarm, escape)
    mistakes = {
        "rates_n_held": np.arange(1, n + 1) / n,
        "begin_smallest_rate": alphas[::-1].copy(),
    }
    compare("The alphas are", got_alphas, alphas, mistakes)

    def cost(alarms: Any, escapes: np.ndarray) -> np.ndarray:
        return (1 - share) * alarm * alarms + share * escape * escapes

    got = as_numbers(got, "The cost is").numpy()
    if got.shape == alphas.shape:
        right = np.isclose(got, cost(alphas, missed))
        rounded = right | np.isclose(got, cost(alphas, strict))
        if rounded.all() and not right.all() and not np.isclose(got, cost(alphas, strict)).all():
            raise Wrong("rounding_decides", n=n)
    mistakes = {
        "shares_exchanged": share * alarm * alphas + (1 - share) * escape * missed,
        "how_many_parts": alarm * alphas + escape * missed,
        "pay_defects_detected": cost(alphas, 1 - missed),
        "defect_p_alpha": cost(alphas, strict),
        "false_alarms_cost": cost(0, missed),
    }
    compare("The cost is", got, cost(alphas, missed), mistakes)


EXERCISES = {
    "4.1": Exercise("a threshold that keeps a promise", "threshold", _threshold),
    "4.2": Exercise("p-values", "p_values", _p_values),
    "4.3": Exercise("how bad can the rate be?", "worst_rate", _worst_rate),
    "4.4": Exercise("an interval for a rate", "rate_interval", _rate_interval),
    "4.5": Exercise("the cost of alpha", "cost_curve", _cost_curve),
    "4.6": Exercise("a level for maps", "map_level", level),
    "4.7": Exercise("where is it?", "regions", regions),
}
