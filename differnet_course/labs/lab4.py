"""Checks of lab 4: a threshold for a given cost, and maps with a level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, same
from differnet_course.labs.exercises import Draw, Exercise, Wrong, wrong_if
from differnet_lite.thresholds import conformal_threshold, p_values

__all__ = ["EXERCISES"]

# (n, j) for which (n + 1) (1 - j / (n + 1)) comes out a little above n + 1 - j in floating point
TRAPS = [
    (n, j) for n in range(22, 38) for j in range(3, 8) if (n + 1) * (1 - j / (n + 1)) > n + 1 - j
]

# (n, k) for which k / (n + 1) by division comes out above its value by linspace, by k times the
# step and by adding up steps: a defect with this p-value escapes by rounding alone
ROUNDED = [(18, 13), (20, 11)]
SETS = 40  # of normal maps, that a level is taken from


def _threshold(answer: Answer, draw: Draw) -> None:
    n = draw.integer(24, 37)
    j = draw.integer(3, 6)
    just_above = j * (1 + 0.4 / (n + 1))  # here the rank from n images is right, rounding down not
    for size, wanted in ((n, just_above), (n, j + 0.8), TRAPS[draw.rng.integers(len(TRAPS))]):
        alpha = wanted / (size + 1)
        scores = draw.rng.gamma(4.0, 1.0, size)
        right = {"The threshold is": conformal_threshold(scores, alpha).value}
        exact = (size + 1) * (1 - alpha)
        k = math.ceil(exact - 1e-9)
        names: dict[str, Any] = {"ordered": np.sort(scores), "n": size, "k": k, "exact": exact}
        answer.check({"scores": scores, "alpha": alpha}, right, **names)
    n = int(draw.rng.integers(9, 19))
    try:
        got = answer.function(draw.rng.gamma(4.0, 1.0, n), 0.05)
    except NotImplementedError:
        raise
    except Exception as error:
        name = type(error).__name__
        wrong_if(not isinstance(error, ValueError), "another_error", n=n, error=name)
        wrong_if(not str(error).strip(), "error_without_text")
    else:
        raise Wrong("promises_too_much", n=n, got=got)
    scores = draw.rng.gamma(4.0, 1.0, 19)
    try:
        largest = answer(scores, 0.05)
    except Wrong as error:
        raise Wrong("refuses_possible", error=error) from error
    answer.compare("The threshold for 19 scores at 5 % is", largest, scores.max())


def _p_values(answer: Answer, draw: Draw) -> None:
    n = draw.integer(18, 25)
    held = np.round(draw.rng.gamma(4.0, 1.0, n), 1)
    new = np.concatenate([draw.rng.choice(held, 4), draw.rng.gamma(6.0, 1.0, 6), [99.0]])
    above = (held[None] > new[:, None]).sum(1)
    right = {"The p-values are": p_values(held, new)}
    answer.check({"held_out": held, "new": new}, right, above=above, n=n)


def _worst_rate(answer: Answer, draw: Draw) -> None:
    for n in (draw.integer(20, 60), draw.integer(61, 120)):
        for k in (n, n - draw.integer(2, 6)):
            sure = draw.number(0.8, 0.97)
            # by another road: at most k - 1 of n scores lie below the (1 - r) quantile
            rate = brentq(lambda r, n=n, k=k, c=sure: stats.binom.sf(n - k, n, r) - c, 1e-9, 1.0)
            given = {"n": n, "k": k, "confidence": sure}
            answer.check(given, {"The rate is": rate}, beta=stats.beta)


def _rate_interval(answer: Answer, draw: Draw) -> None:
    n = draw.integer(25, 60)
    sure = draw.number(0.85, 0.97)
    for seen in (draw.integer(3, 9), 0, n):
        observed = stats.binomtest(seen, n)
        wide = observed.proportion_ci(2 * sure - 1, method="exact")
        wilson = observed.proportion_ci(sure, method="wilson")
        p = seen / n
        half = stats.norm.ppf((1 + sure) / 2) * math.sqrt(p * (1 - p) / n)
        given = {"seen": seen, "n": n, "confidence": sure}
        names = {"wide": wide, "wilson": wilson, "p": p, "half": half}
        right = tuple(observed.proportion_ci(sure, method="exact"))
        got = answer.pair(*given.values())
        answer.compare("The interval is", got, right, **given, **names)


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
    p = p_values(held, bad)[:, None]
    missed = (p > alphas + 1e-12).mean(0)
    strict = (p >= alphas - 1e-12).mean(0)
    got_alphas, got = answer.pair(held, bad, share, alarm, escape)
    answer.compare("The alphas are", got_alphas, alphas, n=n)
    alarms = (1 - share) * alarm * alphas
    escapes = share * escape
    got = as_numbers(got, "The cost is").numpy()
    if got.shape == alphas.shape:
        right, escaped = (np.isclose(got, alarms + escapes * x) for x in (missed, strict))
        by_rounding = (right | escaped).all() and not right.all() and not escaped.all()
        wrong_if(by_rounding, "rounding_decides", n=n)
    names = {"alarms": alarms, "escapes": escapes, "missed": missed, "strict": strict}
    names |= {"share": share, "alarm": alarm, "escape": escape, "alphas": alphas}
    answer.compare("The cost is", got, alarms + escapes * missed, **names)


def _level(answer: Answer, draw: Draw) -> str:
    n = draw.integer(39, 60)
    side = draw.integer(8, 14)
    alpha = draw.number(0.06, 0.2)

    def maps(many: int) -> np.ndarray:
        strength = draw.rng.gamma(8.0, 0.125, (many, 1, 1))
        return strength * draw.rng.gamma(2.0, 1.0, (many, side, side + 3))

    normal = maps(n)
    new = maps(1000).max((1, 2))
    got = answer(normal, alpha)
    levels = [float(as_numbers(answer(maps(n), alpha)).flatten()[0]) for _ in range(SETS)]
    marked = np.mean([(new > one).mean() for one in levels])
    measured = (
        f"By {SETS} levels like this one, {marked:.0%} of new normal maps get a mark on average, "
        f"where {alpha:.0%} was asked for."
    )
    names = {"maps": normal, "alpha": alpha, "threshold": conformal_threshold}
    right = conformal_threshold(normal.max((1, 2)), alpha).value
    answer.compare("The level is", got, right, measured=measured, **names)
    return measured


def _regions(answer: Answer, draw: Draw) -> None:
    shapes = _three_shapes(draw)
    values = draw.rng.uniform(0.0, 0.4, (draw.integer(40, 50), draw.integer(60, 70)))
    for pixels in shapes:
        values[tuple(pixels.T)] = draw.rng.uniform(0.6, 3.0, len(pixels))
    edge = 0.5
    table = _as_table(answer(values, edge))
    right = np.array([[*pixels.mean(0), len(pixels)] for pixels in shapes])
    centre = np.argwhere(values > edge).mean(0)
    wrong_if(len(table) == 1 and same(table[0, :2], centre, 1e-6), "one_region")
    wrong_if(len(table) == len(right) + 1, "background_too")
    n_got = len(table)
    wrong_if(n_got != len(right), "other_number", n_right=len(right), n_got=n_got)
    wrong_if((table[:, 2] == (values <= edge).sum()).any(), "background_for_region")
    wrong_if((np.diff(table[:, 2]) > 0).any(), "not_sorted")
    wrong_if(not same(table[:, 2], right[:, 2]), "other_area")
    middles = [(pixels.min(0) + pixels.max(0)) / 2 for pixels in shapes]
    answer.compare("The regions are", table, right, middles=middles)
    top = float(values.max())
    wrong_if(len(_as_table(answer(values, top + 1))), "not_empty")
    wrong_if(len(_as_table(answer(values, top))), "at_level")


def _as_table(got: object) -> np.ndarray:
    """The regions as rows of (row, column, area)."""
    try:
        rows = [[float(x) for x in triple] for triple in got]  # type: ignore[attr-defined]
        return np.array(rows).reshape(len(rows), 3)
    except (TypeError, ValueError) as error:
        raise Wrong("no_triples") from error


def _three_shapes(draw: Draw) -> list[np.ndarray]:
    """The pixels (P, 2) of three L-shapes apart from each other, the largest first."""
    sizes: set[int] = set()
    while len(sizes) < 3:
        shapes = []
        for left, most in ((4, 12), (24, 15), (44, 13)):
            inside = np.ones((draw.integer(4, 20), draw.integer(4, most)), dtype=bool)
            inside[inside.shape[0] // 2 :, inside.shape[1] // 2 :] = False
            shapes.append(np.argwhere(inside) + (draw.integer(3, 15), left))
        sizes = {len(pixels) for pixels in shapes}
    return sorted(shapes, key=len, reverse=True)


EXERCISES = {
    "4.1": Exercise("a threshold that keeps a promise", "threshold", _threshold),
    "4.2": Exercise("p-values", "p_values", _p_values),
    "4.3": Exercise("how bad can the rate be?", "worst_rate", _worst_rate),
    "4.4": Exercise("an interval for a rate", "rate_interval", _rate_interval),
    "4.5": Exercise("the cost of alpha", "cost_curve", _cost_curve),
    "4.6": Exercise("a level for maps", "map_level", _level),
    "4.7": Exercise("where is it?", "regions", _regions),
}
