"""Checks of lab 4: a threshold for a given cost. Those of the maps are in `lab4_maps`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from differnet_lite.calibration import thresholding
from differnet_lite.course.check.comparing import call, compare, pair
from differnet_lite.course.check.draws import Draw
from differnet_lite.course.check.lab4_maps import level, regions
from differnet_lite.course.check.verdicts import Exercise, Wrong

__all__ = ["EXERCISES"]

# (n, j) for which (n + 1) (1 - j / (n + 1)) comes out a little above n + 1 - j in floating point
TRAPS = [
    (n, j) for n in range(22, 38) for j in range(3, 8) if (n + 1) * (1 - j / (n + 1)) > n + 1 - j
]


def _smallest(scores: np.ndarray, alpha: float) -> float:
    """The smallest score above which a share of alpha, the new image included, can lie."""
    wanted = Fraction(alpha).limit_denominator(10**6)
    promises = [(Fraction(int((scores > s).sum()) + 1, len(scores) + 1), s) for s in scores]
    return min(s for share, s in promises if share <= wanted)


def _threshold(answer: Any, draw: Draw) -> None:
    n, j = draw.integer(24, 37), draw.integer(3, 6)
    size, rank = TRAPS[draw.integer(0, len(TRAPS) - 1)]
    just_above = j * (1 + 0.4 / (n + 1))  # here the rank from n images is right, rounding down not
    cases = (n, just_above), (n, j + 0.8), (size, rank)
    for size, wanted in cases:
        alpha = wanted / (size + 1)
        scores = draw.rng.gamma(4.0, 1.0, size)
        got = call(answer, scores, alpha, name="threshold")
        compare(
            "The threshold",
            got,
            _smallest(scores, alpha),
            _ranks(np.sort(scores), alpha),
            hint="It is one of the scores, the one of rank k = ceil((n + 1) (1 - alpha)).",
        )
    _refusal(answer, draw)


def _ranks(ordered: np.ndarray, alpha: float) -> list[tuple[Any, str]]:
    """What other ranks give, and what to say."""
    n = len(ordered)
    exact = (n + 1) * (1 - alpha)
    k = int(np.ceil(exact - 1e-9))
    known = [
        (
            np.quantile(ordered, 1 - alpha),
            "That is the plain quantile of the scores. It promises nothing: the new image must be "
            "counted too. Which RANK among n + 1?",
        ),
        (
            ordered[::-1][k - 1],
            "You count from the largest score down. Anomalies score HIGH: a share of alpha should "
            "lie above the threshold.",
        ),
    ]
    counted = "One rank too high: Python counts from 0, so s_(k) is `ordered[k - 1]`."
    if np.ceil(exact) > k:
        counted = (
            f"One rank too high for {n} scores and alpha = {alpha!r}: in floating point "
            f"(n + 1) (1 - alpha) is {exact!r}. Look at it before you round up."
        )
    return [
        *known,
        (ordered[k], counted),
        (
            ordered[k - 2],
            "Your rank comes from n images. The new one makes it n + 1."
            if exact % 1 < 0.5
            else "Your rank is rounded down: the rate can then exceed alpha. Round up.",
        ),
    ]


def _refusal(answer: Any, draw: Draw) -> None:
    scores = draw.rng.gamma(4.0, 1.0, draw.integer(9, 18))
    try:
        got = answer(scores, 0.05)
    except ValueError:
        return
    except IndexError as error:
        raise Wrong(
            f"{len(scores)} scores cannot promise 5 %. Your code fails with an IndexError; raise a "
            "ValueError that says what is missing."
        ) from error
    raise Wrong(
        f"{len(scores)} scores cannot promise 5 %, and you return {float(got):.3g} as if they "
        "could. Raise a ValueError."
    )


def _p_values(answer: Any, draw: Draw) -> None:
    n = draw.integer(18, 25)
    held = np.round(draw.rng.gamma(4.0, 1.0, n), 1)
    new = np.concatenate([draw.rng.choice(held, 4), draw.rng.gamma(6.0, 1.0, 6), [99.0]])
    at_least = (held[None] >= new[:, None]).sum(1)
    above = (held[None] > new[:, None]).sum(1)
    compare(
        "The p-values",
        call(answer, held, new, name="p_values"),
        thresholding.p_values(held, new),
        [
            (
                at_least / n,
                "A p-value is 0 where a score exceeds all held-out ones: 'impossible', after "
                f"{n} images? The new image counts as well, above and below the fraction line.",
            ),
            (at_least / (n + 1), "The new image is missing above the fraction line."),
            (
                (1 + at_least) / n,
                "The new image is missing below the fraction line: p can exceed 1.",
            ),
            (
                (1 + above) / (n + 1),
                "Ties: a held-out score EQUAL to the new one is at least as strange. Count it.",
            ),
            (
                (1 + n - above) / (n + 1),
                "The wrong side: count the held-out scores that are at least as HIGH as the new one.",
            ),
            (1 - (1 + at_least) / (n + 1), "That is 1 - p: small should mean strange."),
        ],
        hint="One number for each new score.",
    )


def _worst_rate(answer: Any, draw: Draw) -> None:
    for n in (draw.integer(20, 60), draw.integer(61, 120)):
        for k in (n, n - draw.integer(2, 6)):
            sure = float(draw.uniform(0.8, 0.97, 1))
            # by another road: at most k - 1 of n scores lie below the (1 - r) quantile
            wanted = brentq(lambda r, n=n, k=k, c=sure: stats.binom.sf(n - k, n, r) - c, 1e-9, 1.0)
            law = stats.beta(n + 1 - k, k)
            compare(
                "The rate",
                call(answer, n, k, sure, name="worst_rate"),
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
                        stats.beta(max(n - k, 0.5), k + 1).ppf(sure) if k < n else 0.0,
                        "The parameters are those of the next rank: n + 1 - k and k.",
                    ),
                    (
                        law.cdf(sure),
                        "`cdf` gives a probability of a rate; you want the rate: `ppf`.",
                    ),
                ],
                hint="The rate of s_(k) follows Beta(n + 1 - k, k); take its quantile.",
            )


def _rate_interval(answer: Any, draw: Draw) -> None:
    n, sure = draw.integer(25, 60), float(draw.uniform(0.85, 0.97, 1))
    for seen in (draw.integer(3, 9), 0, n):
        exact = stats.binomtest(seen, n).proportion_ci(sure, method="exact")
        score = stats.binomtest(seen, n).proportion_ci(sure, method="wilson")
        wide = stats.binomtest(seen, n).proportion_ci(2 * sure - 1, method="exact")
        p, z = seen / n, float(stats.norm.ppf((1 + sure) / 2))
        half = z * np.sqrt(p * (1 - p) / n)
        low, high = pair(answer, seen, n, sure, name="rate_interval")
        if np.isnan([low, high]).any():
            raise Wrong(f"{seen} of {n} gives nan. With none seen the lower end is 0, with all 1.")
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


def _cost_curve(answer: Any, draw: Draw) -> None:
    held = draw.rng.gamma(4.0, 1.0, draw.integer(17, 23))
    bad = np.append(draw.rng.gamma(8.0, 1.0, draw.integer(9, 14)), np.sort(held)[-3])
    share, alarm, escape = float(draw.uniform(0.02, 0.2, 1)), 0.5 + draw.integer(1, 4), 40.0
    alphas = np.arange(1, len(held) + 1) / (len(held) + 1)
    missed = (thresholding.p_values(held, bad)[:, None] > alphas + 1e-12).mean(0)
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
            (cost(alphas, 1 - missed), "You pay for the defects that are FOUND."),
            (
                alarm * alphas + share * escape * missed,
                "Nearly: false alarms come from good parts only, a share of 1 - share.",
            ),
            (
                cost(alphas, (thresholding.p_values(held, bad)[:, None] >= alphas - 1e-12).mean(0)),
                "A defect with p = alpha is flagged, so it does not escape.",
            ),
            (cost(0, missed), "The false alarms cost nothing in your sum."),
        ],
        hint="Flagged is whatever has p <= alpha; escapes are counted among `defects`.",
    )


EXERCISES = {
    "4.1": Exercise("a threshold that keeps a promise", _threshold),
    "4.2": Exercise("p-values", _p_values),
    "4.3": Exercise("how bad can the rate be?", _worst_rate),
    "4.4": Exercise("an interval for a rate", _rate_interval),
    "4.5": Exercise("the cost of alpha", _cost_curve),
    "4.6": Exercise("a level for maps", level),
    "4.7": Exercise("where is it?", regions),
}
