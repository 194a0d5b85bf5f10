"""Held-back tests of lab 4: extreme ranks, ties, one defect, maps with one pixel."""

from __future__ import annotations

import numpy as np
from scipy import stats

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab4_maps import as_table
from differnet_course.labs.verdicts import Wrong
from differnet_lite import thresholds as thresholding


def threshold(answer: Answer, draw: Draw) -> None:
    n = draw.integer(3, 9)
    scores = draw.rng.integers(0, 5, n).astype(float)  # ties
    compare("smallest alpha", answer(scores, 1 / (n + 1)), scores.max())
    compare("largest alpha", answer(scores, n / (n + 1)), scores.min())
    try:
        answer.function(scores, 0.9 / (n + 1))
    except ValueError:
        return
    raise Wrong("promises what it cannot")


def p_values(answer: Answer, draw: Draw) -> None:
    held = draw.rng.integers(0, 4, 9).astype(float)
    new = draw.rng.integers(-1, 5, 30).astype(float)
    compare("p", answer(held, new), thresholding.p_values(held, new))


def worst_rate(answer: Answer, draw: Draw) -> None:
    n = draw.integer(15, 400)
    sure = draw.number(0.5, 0.99)
    compare("largest of n", answer(n, n, sure), 1 - (1 - sure) ** (1 / n))
    compare("smallest of n", answer(n, 1, sure), sure ** (1 / n))


def rate_interval(answer: Answer, draw: Draw) -> None:
    n = draw.integer(2, 400)
    seen = draw.integer(1, n - 1)
    low, high = two_numbers(answer.pair(seen, n, 0.9), "rate_interval")
    compare("lower tail", stats.binom.sf(seen - 1, n, low), 0.05)
    compare("upper tail", stats.binom.cdf(seen, n, high), 0.05)


def cost_curve(answer: Answer, draw: Draw) -> None:
    held = draw.rng.permutation(9).astype(float)
    alphas, cost = answer.pair(held, np.array([6.5]), 0.5, 2.0, 10.0)  # p = 0.3
    compare("alphas", alphas, np.arange(1, 10) / 10)
    compare("cost", cost, np.arange(1, 10) / 10 + np.array([5.0] * 2 + [0.0] * 7))


def level(answer: Answer, draw: Draw) -> None:
    scores = draw.rng.normal(size=29)
    maps = np.full((29, 6, 4), -99.0)
    maps[np.arange(29), draw.rng.integers(0, 6, 29), draw.rng.integers(0, 4, 29)] = scores
    compare("level", answer(maps, 0.1), np.sort(scores)[26])


def regions(answer: Answer, draw: Draw) -> None:
    values = np.zeros((12, 30))
    values[3, 5] = values[0:2, 8:10] = values[11, 20:29] = 1.0
    wanted = [[11, 24, 9], [0.5, 8.5, 4], [3, 5, 1]]
    compare("regions", as_table(answer(values, 0.99)), wanted)


HELD_BACK = {
    "4.1": threshold,
    "4.2": p_values,
    "4.3": worst_rate,
    "4.4": rate_interval,
    "4.5": cost_curve,
    "4.6": level,
    "4.7": regions,
}
