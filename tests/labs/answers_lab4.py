"""Lab 4: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from scipy import ndimage, optimize, special, stats

from differnet_lite.thresholds import conformal_threshold
from differnet_lite.thresholds import p_values as by_package


def by_rank(rank, *, refuse=True):
    """`threshold` by some rank."""

    def threshold(scores, alpha):
        k = rank(len(scores), alpha)
        if refuse and (len(scores) + 1) * alpha < 1 - 1e-9:
            raise ValueError("too few")
        return np.sort(scores)[min(k, len(scores)) - 1]

    return threshold


def up(n, alpha):
    return math.ceil((n + 1) * (1 - alpha) - 1e-9)


def by_counting(scores, alpha):
    for s in sorted(scores):
        if 1 + sum(scores > s) <= alpha * (len(scores) + 1) + 1e-9:
            return float(s)
    raise ValueError("not enough scores")


def by_torch(scores, alpha):
    k = math.ceil(round((len(scores) + 1) * (1 - alpha), 9))
    if k > len(scores):
        raise ValueError(f"{k} of {len(scores)}")
    return torch.as_tensor(scores).kthvalue(k).values


def conformal(scores, alpha):
    return conformal_threshold(scores, alpha).value


def exact(seen, n, confidence):
    interval = stats.binomtest(seen, n).proportion_ci(confidence, method="exact")
    return interval.low, interval.high


def by_beta(seen, n, confidence):
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, seen, n - seen + 1) if seen else 0.0
    return np.array([low, stats.beta.isf(tail, seen + 1, n - seen) if seen < n else 1.0])


def by_roots(seen, n, confidence):
    tail = (1 - confidence) / 2
    low = optimize.brentq(lambda r: stats.binom.sf(seen - 1, n, r) - tail, 0, 1) if seen else 0
    high = optimize.brentq(lambda r: stats.binom.cdf(seen, n, r) - tail, 0, 1) if seen < n else 1
    return [low, high]


def by_array(seen, n, confidence):
    tail = (1 - confidence) / 2
    ends = stats.beta.ppf([tail, 1 - tail], [seen, seen + 1], [n - seen + 1, n - seen])
    return tuple(np.where(np.isnan(ends), [0.0, 1.0], ends))


def right_sum(a, m, share, alarm, escape):
    return (1 - share) * alarm * a + share * escape * m


def curve_of(rates, room=0.0):
    """`cost_curve` with its rates, and with room for rounding."""

    def cost_curve(held, bad, share, alarm, escape):
        at = rates(len(held))
        missed = (by_package(held, bad)[:, None] > at + room).mean(0)
        return at, right_sum(at, missed, share, alarm, escape)

    return cost_curve


def curve_by_loops(held_out, defects, share, cost_alarm, cost_escape):
    n = len(held_out)
    alphas, costs = [], []
    for k in range(1, n + 1):
        missed = sum((held_out >= d).sum() + 1 > k for d in defects) / len(defects)
        alphas.append(k / (n + 1))
        costs.append((1 - share) * cost_alarm * k / (n + 1) + share * cost_escape * missed)
    return alphas, costs


def curve_by_thresholds(held, bad, share, alarm, escape):
    ordered = np.sort(held)[::-1]  # at alpha = k / (n + 1) the threshold is the k-th largest
    missed = (bad[:, None] <= ordered).mean(axis=0)
    alphas = np.linspace(0, 1, len(held) + 2)[1:-1]
    return np.stack([alphas, right_sum(alphas, missed, share, alarm, escape)])


def curve_by_torch(held, bad, share, alarm, escape):
    k = torch.arange(1, len(held) + 1)
    ranks = 1 + (torch.tensor(held)[None] >= torch.tensor(bad)[:, None]).sum(1)
    missed = (ranks[:, None] > k).double().mean(0)
    alphas = k / (len(held) + 1)
    return alphas, right_sum(alphas, missed, share, alarm, escape)


def marks(*, order=-1, size=None, one=False, background=False, mask=None):
    """`regions` with one thing done in another way."""

    def regions(values, level):
        marked = mask(values, level) if mask else values > level
        labels, n = ndimage.label(marked)
        if one:
            labels, n = marked.astype(int), int(marked.any())
        rows = []
        for k in range(0 if background else 1, n + 1):
            inside = labels == k
            row, column = np.argwhere(inside).mean(0)
            rows.append((row, column, size(values, inside) if size else int(inside.sum())))
        return sorted(rows, key=lambda r: order * r[2])

    return regions


def regions_by_scipy(values, level):
    labels, n = ndimage.label(values > level)
    index = np.arange(1, n + 1)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, index)).reshape(n, 2)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    table = np.column_stack([centres, areas])
    return table[np.argsort(-areas)]


RIGHT = {
    "4.1": [by_rank(up), by_counting, by_torch, conformal],
    "4.2": [
        lambda held, new: (1 + (held[None] >= new[:, None]).sum(1)) / (len(held) + 1),
        lambda held, new: [(1 + sum(h >= s for h in held)) / (1 + len(held)) for s in new],
        lambda a, b: (1 + len(a) - np.searchsorted(np.sort(a), b)) / (len(a) + 1),
        lambda a, b: torch.tensor((1 + np.less_equal.outer(b, a).sum(-1)) / (len(a) + 1)),
    ],
    "4.3": [
        lambda n, k, c: stats.beta.ppf(c, n + 1 - k, k),
        lambda n, k, c: 1 - stats.beta(k, n + 1 - k).isf(c),
        lambda n, k, confidence: special.betaincinv(n + 1 - k, k, confidence),
        lambda n, k, c: optimize.bisect(
            lambda r: stats.binom.sf(n - k, n, r) - c, 0, 1, xtol=1e-14
        ),
    ],
    "4.4": [exact, by_beta, by_roots, by_array],
    "4.5": [
        curve_of(lambda n: np.arange(1, n + 1) / (n + 1), room=1e-12),
        curve_by_loops,
        curve_by_thresholds,
        curve_by_torch,
    ],
    "4.6": [
        lambda maps, alpha: conformal(maps.max(axis=(1, 2)), alpha),
        lambda m, a: by_counting(np.array([x.max() for x in m]), a),
        lambda m, a: by_torch(torch.tensor(m).flatten(1).amax(1), a),
        lambda m, a: np.sort(m.reshape(len(m), -1).max(1))[up(len(m), a) - 1],
    ],
    "4.7": [
        marks(),
        regions_by_scipy,
        lambda values, level: torch.tensor(regions_by_scipy(values, level)),
        lambda values, level: [np.array(r) for r in marks()(torch.tensor(values).numpy(), level)],
    ],
}


def without_k_equal_n(scores, alpha):
    k = up(len(scores), alpha)
    if k >= len(scores):
        raise ValueError("too few scores")
    return np.sort(scores)[k - 1]


def refusing(error):
    def threshold(scores, alpha):
        if Fraction(alpha).limit_denominator(1000) * (len(scores) + 1) < 1:
            raise error
        return conformal(scores, alpha)

    return threshold


def from_zero(values, level):
    labels, n = ndimage.label(values > level)
    rows = [(*np.argwhere(labels == k).mean(0), (labels == k).sum()) for k in range(n)]
    return sorted(rows, key=lambda r: -r[2])


MISTAKES = {
    "4.1": [
        (by_rank(up, refuse=False), "as if they could"),
        (without_k_equal_n, "19 scores can promise 5 %"),
        (refusing(ValueError()), "has no text"),
        (refusing(AssertionError("too few")), "another kind, AssertionError"),
    ],
    "4.4": [
        (lambda k, n, c: k / n, "expected a pair"),
    ],
    "4.5": [
        (curve_of(lambda n: np.linspace(1 / (n + 1), n / (n + 1), n)), "Rounding decides"),
        (curve_of(lambda n: np.arange(1, n + 1) * (1 / (n + 1))), "Rounding decides"),
    ],
    "4.7": [
        (marks(order=1), "Largest first"),
        (marks(one=True), "into one region"),
        (marks(background=True), "label 0"),
        (from_zero, "labels begin at 1"),
        (marks(size=lambda values, inside: values[inside].sum()), "sum of their values"),
        (marks(mask=lambda v, level: v >= level), "AT the level"),
        (lambda values, level: [(1, 2)], "a triple (row, column, area)"),
    ],
}
