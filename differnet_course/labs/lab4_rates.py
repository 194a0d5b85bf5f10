"""Checks of lab 4 on rates: how bad one can be, what was seen, what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from differnet_course.labs.comparing import call, compare, pair, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite import thresholds as thresholding

__all__ = ["cost_curve", "rate_interval", "worst_rate"]

# (n, k) for which k / (n + 1) by division comes out above its value by linspace, by k times the
# step and by adding up steps: a defect with this p-value escapes by rounding alone
ROUNDED = [(18, 13), (20, 11)]


def worst_rate(answer: Any, draw: Draw) -> None:
    """Whether a rate is what the rate of s_(k) stays below with some confidence."""
    for n in (draw.integer(20, 60), draw.integer(61, 120)):
        for k in (n, n - draw.integer(2, 6)):
            sure = float(draw.uniform(0.8, 0.97, 1))
            # by another road: at most k - 1 of n scores lie below the (1 - r) quantile
            wanted = brentq(lambda r, n=n, k=k, c=sure: stats.binom.sf(n - k, n, r) - c, 1e-9, 1.0)
            law = stats.beta(n + 1 - k, k)
            got = call(answer, n, k, sure, name="worst_rate")
            if k == n and np.isnan(np.asarray(got, dtype=float)).any():
                raise Wrong(f"k = n = {n} gives nan: Beta needs positive parameters, one is 0.")
            compare(
                "The rate",
                got,
                wanted,
                [
                    (
                        stats.beta(k, n + 1 - k).ppf(sure),
                        "The two parameters are exchanged: you get the share BELOW the threshold.",
                    ),
                    (
                        law.ppf(1 - sure),
                        "The wrong tail: with this confidence the rate is ABOVE yours. You want a "
                        "rate that it stays below.",
                    ),
                    (
                        law.mean(),
                        "That is the mean rate, the promise on average. How bad can it be?",
                    ),
                    (
                        law.ppf((1 + sure) / 2),
                        "You share the error out to two sides. Only a rate that is too high hurts.",
                    ),
                    (
                        stats.beta(max(n - k, 0.5), k + 1).ppf(sure) if k < n else np.nan,
                        "The parameters are those of the next rank: n + 1 - k and k.",
                    ),
                    (
                        law.cdf(sure),
                        "`cdf` gives a probability of a rate; you want the rate: `ppf`.",
                    ),
                ],
                hint="The rate of s_(k) follows Beta(n + 1 - k, k); take its quantile.",
            )


def rate_interval(answer: Any, draw: Draw) -> None:
    """Whether an interval is the exact one of a binomial share."""
    n, sure = draw.integer(25, 60), float(draw.uniform(0.85, 0.97, 1))
    for seen in (draw.integer(3, 9), 0, n):
        exact = stats.binomtest(seen, n).proportion_ci(sure, method="exact")
        score = stats.binomtest(seen, n).proportion_ci(sure, method="wilson")
        wide = stats.binomtest(seen, n).proportion_ci(2 * sure - 1, method="exact")
        p, z = seen / n, float(stats.norm.ppf((1 + sure) / 2))
        half = z * np.sqrt(p * (1 - p) / n)
        given = call(answer, seen, n, sure, name="rate_interval")
        low, high = two_numbers(given, "rate_interval")
        if np.isnan([low, high]).any():
            raise Wrong(f"{seen} of {n} gives nan. With none seen the lower end is 0, with all 1.")
        if seen in (0, n) and low == high:
            raise Wrong(f"{seen} of {n} gives an interval without width. So sure, after {n} parts?")
        compare(
            f"The interval for {seen} of {n}",
            [low, high],
            [exact.low, exact.high],
            [
                (
                    [p - half, p + half],
                    "That is the normal approximation: it says 0 ± 0 after no false alarm at all. "
                    "Ask the binomial law itself.",
                ),
                (
                    [p - 1.96 / z * half, p + 1.96 / z * half],
                    "That is the normal approximation, with 1.96 whatever `confidence` is. Ask the "
                    "binomial law itself.",
                ),
                ([score.low, score.high], "That is Wilson's interval: right on average only."),
                (
                    [wide.low, wide.high],
                    "Each tail has the whole error, so that the two together have twice as much.",
                ),
                ([exact.high, exact.low], "The ends are exchanged: return the lower one first."),
                ([1 - exact.high, 1 - exact.low], "That is the interval of the share NOT flagged."),
            ],
            hint="At the upper end, seeing so few has probability (1 - confidence) / 2.",
        )


def cost_curve(answer: Any, draw: Draw) -> None:
    """Whether a sum weighs alarms and escapes by how many parts can cause them."""
    n, tie = ROUNDED[draw.integer(0, len(ROUNDED) - 1)]
    held = draw.rng.gamma(4.0, 1.0, n)
    ordered = np.sort(held)
    known = ordered[-3], ordered[n + 1 - tie]  # defects with p = 4 / (n + 1) and tie / (n + 1)
    bad = np.append(draw.rng.gamma(8.0, 1.0, draw.integer(9, 14)), known)
    share, alarm, escape = float(draw.uniform(0.02, 0.2, 1)), 0.5 + draw.integer(1, 4), 40.0
    alphas = np.arange(1, len(held) + 1) / (len(held) + 1)
    p = thresholding.p_values(held, bad)[:, None]
    missed, strict = (p > alphas + 1e-12).mean(0), (p >= alphas - 1e-12).mean(0)
    names = answer, held, bad, share, alarm, escape
    got_alphas, got = pair(*names, name="cost_curve")
    compare(
        "The first result, alphas,",
        got_alphas,
        alphas,
        [
            (
                np.arange(1, len(held) + 1) / len(held),
                "The rates that n held-out images can promise are 1/(n + 1) to n/(n + 1).",
            ),
            (np.arange(len(held)) / (len(held) + 1), "No n images can promise a rate of 0."),
            (alphas[::-1].copy(), "Begin with the smallest rate."),
        ],
        hint="n of them, the smallest first.",
    )

    def cost(alarms: Any, escapes: Any) -> Any:
        return (1 - share) * alarm * alarms + share * escape * escapes

    one = np.asarray(got, dtype=float)
    if one.shape == alphas.shape:
        is_right, is_strict = (
            np.isclose(one, cost(alphas, missed)),
            np.isclose(one, cost(alphas, strict)),
        )
        if (is_right | is_strict).all() and not is_right.all() and not is_strict.all():
            raise Wrong(
                f"Rounding decides: for n = {n} your alphas and p-values differ in the last digit "
                "where they should be equal, and some defects with p = alpha escape. Compare with "
                "a hair of room."
            )
    compare(
        "The cost",
        got,
        cost(alphas, missed),
        [
            (
                share * alarm * alphas + (1 - share) * escape * missed,
                "The shares are exchanged: `share` of the parts is defective, and only these can "
                "escape.",
            ),
            (
                (1 - share) * escape * alphas + share * alarm * missed,
                "The two costs are exchanged.",
            ),
            (
                alarm * alphas + escape * missed,
                "How many parts are good, how many defective? You weigh both alike.",
            ),
            (
                cost(alphas, 1 - missed),
                "You pay for the defects that are found. The others escape.",
            ),
            (
                alarm * alphas + share * escape * missed,
                "Nearly: false alarms come from good parts only, a share of 1 - share.",
            ),
            (
                cost(alphas, strict),
                "A defect with p = alpha is flagged, so it does not escape.",
            ),
            (cost(0, missed), "The false alarms cost nothing in your sum."),
        ],
        hint="Flagged is whatever has p <= alpha; escapes are counted among `defects`.",
    )
