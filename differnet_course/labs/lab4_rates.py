"""Checks of lab 4 on rates: how bad one can be, what was seen, what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite import thresholds as thresholding

__all__ = ["cost_curve", "rate_interval", "worst_rate"]

# (n, k) for which k / (n + 1) by division comes out above its value by linspace, by k times the
# step and by adding up steps: a defect with this p-value escapes by rounding alone
ROUNDED = [(18, 13), (20, 11)]


def worst_rate(answer: Answer, draw: Draw) -> None:
    """4.3: whether a rate is what the rate of s_(k) stays below with some confidence."""
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
                "share_error_out": law.ppf((1 + sure) / 2),
                "parameters_those_next": stats.beta(max(n - k, 0.5), k + 1).ppf(sure)
                if k < n
                else np.nan,
                "cdf_gives_probability": law.cdf(sure),
            }
            compare("The rate is", got, wanted, mistakes)


def rate_interval(answer: Answer, draw: Draw) -> None:
    """4.4: whether an interval is the exact one of a binomial share."""
    n = draw.integer(25, 60)
    sure = draw.number(0.85, 0.97)
    for seen in (draw.integer(3, 9), 0, n):
        observed = stats.binomtest(seen, n)
        exact = observed.proportion_ci(sure, method="exact")
        score = observed.proportion_ci(sure, method="wilson")
        wide = observed.proportion_ci(2 * sure - 1, method="exact")
        p = seen / n
        deviation = np.sqrt(p * (1 - p) / n)
        half = float(stats.norm.ppf((1 + sure) / 2)) * deviation
        low, high = two_numbers(answer.pair(seen, n, sure), "rate_interval")
        if np.isnan([low, high]).any():
            raise Wrong("gives_nan", seen=seen, n=n)
        if seen in (0, n) and low == high:
            raise Wrong("gives_interval_without", seen=seen, n=n)
        mistakes = {
            "normal_approximation": [p - half, p + half],
            "normal_approximation_1": [p - 1.96 * deviation, p + 1.96 * deviation],
            "wilson_s_interval": [score.low, score.high],
            "each_tail_whole": [wide.low, wide.high],
            "ends_exchanged": [exact.high, exact.low],
            "interval_share_flagged": [1 - exact.high, 1 - exact.low],
        }
        what = f"The interval for {seen} of {n} is"
        compare(what, [low, high], [exact.low, exact.high], mistakes)


def cost_curve(answer: Answer, draw: Draw) -> None:
    """4.5: whether a sum weighs alarms and escapes by how many parts can cause them."""
    n, tie = ROUNDED[draw.integer(0, len(ROUNDED) - 1)]
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
        "no_n_images": np.arange(n) / (n + 1),
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
        "two_costs_exchanged": (1 - share) * escape * alphas + share * alarm * missed,
        "how_many_parts": alarm * alphas + escape * missed,
        "pay_defects_detected": cost(alphas, 1 - missed),
        "nearly": alarm * alphas + share * escape * missed,
        "defect_p_alpha": cost(alphas, strict),
        "false_alarms_cost": cost(0, missed),
    }
    compare("The cost is", got, cost(alphas, missed), mistakes)
