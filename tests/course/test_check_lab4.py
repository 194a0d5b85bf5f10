"""Lab 4: every typical mistake gets its own message."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage, stats

from differnet_lite.thresholds import conformal_threshold
from differnet_lite.thresholds import p_values as by_package


def by_rank(rank, *, pick=lambda ordered, k: ordered[k - 1], refuse=True):
    """`threshold` by some rank."""

    def threshold(scores, alpha):
        k = rank(len(scores), alpha)
        if refuse and (len(scores) + 1) * alpha < 1 - 1e-9:
            raise ValueError("too few")
        return pick(np.sort(scores), min(k, len(scores)) if not refuse else k)

    return threshold


def up(n, alpha):
    return math.ceil((n + 1) * (1 - alpha) - 1e-9)


def conformal(scores, alpha):
    return conformal_threshold(scores, alpha).value


def of_p(change):
    """`p_values` from the numbers of held-out scores at least as high, above, and in all."""

    def p_values(held, new):
        at_least = (held[None] >= new[:, None]).sum(1)
        return change(at_least, (held[None] > new[:, None]).sum(1), len(held))

    return p_values


def of_beta(change):
    def worst_rate(n, k, confidence):
        return change(n, k, confidence)

    return worst_rate


def exact(seen, n, confidence):
    found = stats.binomtest(seen, n).proportion_ci(confidence, method="exact")
    return found.low, found.high


def normal_law(seen, n, confidence):
    p = seen / n
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def wilson(seen, n, confidence):
    found = stats.binomtest(seen, n).proportion_ci(confidence, method="wilson")
    return found.low, found.high


def formula_alone(seen, n, confidence):
    tail = (1 - confidence) / 2
    return (
        stats.beta.ppf(tail, seen, n - seen + 1),
        stats.beta.ppf(1 - tail, seen + 1, n - seen),
    )


def curve(cost, *, alphas=lambda n: np.arange(1, n + 1) / (n + 1), strict=False):
    """`cost_curve` with another sum, other rates or another rule at p = alpha."""

    def cost_curve(held, bad, share, alarm, escape):
        at, p = alphas(len(held)), by_package(held, bad)[:, None]
        missed = (p >= at - 1e-12 if strict else p > at + 1e-12).mean(0)
        return at, cost(at, missed, share, alarm, escape)

    return cost_curve


def right_sum(a, m, share, alarm, escape):
    return (1 - share) * alarm * a + share * escape * m


def marks(*, order=-1, place=None, size=None, one=False, background=False, mask=None):
    """`regions` with one thing done in another way."""

    def regions(values, level):
        marked = mask(values, level) if mask else values > level
        labels, n = ndimage.label(marked)
        if one:
            labels, n = marked.astype(int), int(marked.any())
        found = []
        for k in range(0 if background else 1, n + 1):
            inside = labels == k
            row, column = place(values, inside) if place else np.argwhere(inside).mean(0)
            found.append((row, column, size(values, inside) if size else int(inside.sum())))
        return sorted(found, key=lambda r: order * r[2])

    return regions


def in_place(scores, alpha):
    scores.sort()
    return conformal(scores, alpha)


def refusing(error):
    def threshold(scores, alpha):
        if (len(scores) + 1) * alpha < 1 - 1e-9:
            raise error
        return conformal(scores, alpha)

    return threshold


def rounded(rates):
    """`cost_curve` without a hair of room."""

    def cost_curve(held, bad, share, alarm, escape):
        at = rates(len(held))
        missed = (by_package(held, bad)[:, None] > at).mean(0)
        return at, right_sum(at, missed, share, alarm, escape)

    return cost_curve


def no_width(seen, n, confidence):
    return (0.0, 0.0) if seen == 0 else exact(seen, n, confidence)


def from_zero(values, level):
    labels, n = ndimage.label(values > level)
    found = [(*np.argwhere(labels == k).mean(0), (labels == k).sum()) for k in range(n)]
    return sorted(found, key=lambda r: -r[2])


def box_centre(values, inside):
    pixels = np.argwhere(inside)
    return (pixels.min(0) + pixels.max(0)) / 2


def swapped(values, inside):
    row, column = np.argwhere(inside).mean(0)
    return column, row


def hottest(values, inside):
    return np.unravel_index(np.where(inside, values, -np.inf).argmax(), values.shape)


MISTAKES = {
    "4.1": [
        (lambda s, a: float(np.quantile(s, 1 - a)), "plain quantile"),
        (by_rank(lambda n, a: math.ceil(n * (1 - a) - 1e-9)), "from n images"),
        (by_rank(lambda n, a: math.floor((n + 1) * (1 - a) + 1e-9)), "rounded down"),
        (by_rank(up, pick=lambda s, k: s[min(k, len(s) - 1)]), "counts from 0"),
        (by_rank(up, pick=lambda s, k: s[::-1][k - 1]), "from the largest score down"),
        (by_rank(lambda n, a: math.ceil((n + 1) * (1 - a))), "floating point"),
        (by_rank(up, refuse=False), "as if they could"),
        (in_place, "in place"),
        (refusing(ValueError()), "has no text"),
        (refusing(RuntimeError("too few")), "not a RuntimeError"),
    ],
    "4.2": [
        (of_p(lambda at, above, n: at / n), "'impossible'"),
        (of_p(lambda at, above, n: at / (n + 1)), "above the fraction line"),
        (of_p(lambda at, above, n: (1 + at) / n), "below the fraction line"),
        (of_p(lambda at, above, n: (1 + above) / (n + 1)), "Ties"),
        (of_p(lambda at, above, n: (1 + n - above) / (n + 1)), "wrong side"),
        (of_p(lambda at, above, n: 1 - (1 + at) / (n + 1)), "1 - p"),
    ],
    "4.3": [
        (of_beta(lambda n, k, c: stats.beta.ppf(c, k, n + 1 - k)), "exchanged"),
        (of_beta(lambda n, k, c: stats.beta.ppf(1 - c, n + 1 - k, k)), "wrong tail"),
        (of_beta(lambda n, k, c: (n + 1 - k) / (n + 1)), "mean rate"),
        (of_beta(lambda n, k, c: stats.beta.ppf((1 + c) / 2, n + 1 - k, k)), "two sides"),
        (of_beta(lambda n, k, c: stats.beta.ppf(c, n - k, k)), "positive parameters"),
        (of_beta(lambda n, k, c: stats.beta.cdf(c, n + 1 - k, k)), "`cdf`"),
    ],
    "4.4": [
        (normal_law, "normal approximation"),
        (
            lambda k, n, c: normal_law(k, n, 2 * stats.norm.cdf(1.96) - 1),
            "normal approximation, with 1.96",
        ),
        (no_width, "without width"),
        (wilson, "Wilson"),
        (lambda k, n, c: exact(k, n, 2 * c - 1), "Each tail"),
        (lambda k, n, c: exact(k, n, c)[::-1], "ends are exchanged"),
        (lambda k, n, c: exact(n - k, n, c), "NOT flagged"),
        (formula_alone, "gives nan"),
    ],
    "4.5": [
        (curve(lambda a, m, s, f, e: s * f * a + (1 - s) * e * m), "shares are exchanged"),
        (curve(lambda a, m, s, f, e: (1 - s) * e * a + s * f * m), "two costs are exchanged"),
        (curve(lambda a, m, s, f, e: f * a + e * m), "weigh both alike"),
        (curve(lambda a, m, s, f, e: right_sum(a, 1 - m, s, f, e)), "that are found"),
        (curve(lambda a, m, s, f, e: f * a + s * e * m), "Nearly"),
        (curve(lambda a, m, s, f, e: s * e * m), "cost nothing"),
        (rounded(lambda n: np.linspace(1 / (n + 1), n / (n + 1), n)), "Rounding decides"),
        (rounded(lambda n: np.arange(1, n + 1) * (1 / (n + 1))), "Rounding decides"),
        (rounded(lambda n: np.cumsum(np.full(n, 1 / (n + 1)))), "Rounding decides"),
        (curve(right_sum, strict=True), "p = alpha is flagged"),
        (curve(right_sum, alphas=lambda n: np.arange(1, n + 1) / n), "1/(n + 1)"),
        (curve(right_sum, alphas=lambda n: np.arange(n) / (n + 1)), "rate of 0"),
    ],
    "4.6": [
        (lambda maps, a: np.quantile(maps, 1 - a), "quantile of all pixels"),
        (lambda maps, a: conformal(maps.ravel(), a), "a quantile of all pixels"),
        (lambda maps, a: conformal(maps.mean((1, 2)), a), "means"),
        (lambda maps, a: np.quantile(maps.max((1, 2)), 1 - a), "plain quantile"),
        (lambda maps, a: maps.max(), "largest value of all"),
        (lambda maps, a: maps.max((1, 2)).mean(), "mean of the largest"),
        (lambda maps, a: np.sort(maps.max((1, 2)))[int(a * len(maps))], "small end"),
    ],
    "4.7": [
        (marks(place=swapped), "Rows and columns"),
        (marks(order=1), "Largest first"),
        (marks(one=True), "into one region"),
        (marks(background=True), "label 0"),
        (from_zero, "labels begin at 1"),
        (marks(place=box_centre), "bounding box"),
        (marks(place=hottest), "hottest pixel"),
        (marks(size=lambda values, inside: values[inside].sum()), "sum of their values"),
        (marks(place=lambda v, i: np.argwhere(i).mean(0) + 0.5), "half a pixel"),
        (marks(mask=lambda v, level: v >= level), "AT the level"),
    ],
}
HARD_CODED = {
    "4.1": lambda s, a: 7.6,
    "4.2": lambda held, new: np.full(len(new), 0.05),
    "4.3": lambda n, k, c: 0.114,
    "4.4": lambda k, n, c: (0.01, 0.17),
    "4.5": lambda held, bad, share, alarm, escape: (np.arange(1, 20) / 20, np.ones(19)),
    "4.6": lambda maps, a: 7.28,
    "4.7": lambda values, level: [(20.0, 30.0, 100)],
}
EVERY = [(label, *mistake) for label, found in MISTAKES.items() for mistake in found]


@pytest.mark.parametrize(("label", "answer", "says"), EVERY)
@pytest.mark.parametrize("seed", range(6))
def test_a_mistake_gets_its_own_message(verdict, label, answer, says, seed):
    found = verdict(label, answer, seed=seed)
    assert found.kind == "wrong" and says in found.text


@pytest.mark.parametrize("label", MISTAKES)
def test_three_mistakes_of_each(label):
    assert len({says for _, says in MISTAKES[label]}) >= 3


@pytest.mark.parametrize(("label", "answer"), HARD_CODED.items())
def test_a_hard_coded_answer_fails(verdict, label, answer):
    assert not verdict(label, answer).passed


@pytest.mark.parametrize("seed", range(5))
def test_other_right_ways_pass(verdict, seed):
    def bisected(n, k, confidence):
        low, high = 0.0, 1.0
        while high - low > 1e-13:
            middle = (low + high) / 2
            above = stats.binom.sf(n - k, n, middle) > confidence
            low, high = (low, middle) if above else (middle, high)
        return middle

    right = {
        "4.1": conformal,
        "4.3": bisected,
        "4.4": exact,
        "4.5": curve(right_sum),
        "4.6": lambda maps, a: by_rank(up)(maps.max((1, 2)), a),
        "4.7": marks(),
    }
    for label, answer in right.items():
        assert verdict(label, answer, seed=seed).kind == "right", label


def test_the_promise_of_a_level_is_measured(verdict):
    said = verdict("4.6", lambda maps, a: conformal(maps.max((1, 2)), a), seed=3).text
    marked, asked = (int(x.rstrip("%.,")) for x in said.split() if x.endswith("%"))
    assert marked <= asked + 4
