"""Checks of lab 3: features, training and an honest evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

from differnet_course.labs.comparing import call, compare, explained, pair, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab3_detector import differnet
from differnet_course.labs.lab3_leak import honest
from differnet_course.labs.lab3_training import epoch
from differnet_course.labs.verdicts import Close, Exercise, Wrong
from differnet_lite import metrics

__all__ = ["EXERCISES"]


def _pooled(answer: Any, draw: Draw) -> None:
    n, channels, side = draw.integer(3, 5), draw.integer(6, 9), draw.integer(9, 13)
    sides = (side, side // 2, side // 4)
    maps = [draw.normal(n, channels, h, h + 1).relu() for h in sides]
    each = [F.adaptive_avg_pool2d(m, 1)[..., 0, 0] for m in maps]
    wanted = torch.cat(each, dim=1)
    loudest = torch.cat([F.adaptive_max_pool2d(m, 1)[..., 0, 0] for m in maps], dim=1)
    compare(
        "The feature matrix",
        call(answer, maps, name="pooled"),
        wanted,
        [
            (
                torch.cat([m.sum((2, 3)) for m in maps], 1),
                "You sum over the places: a scale with more places then counts more. Take the "
                "mean.",
            ),
            (loudest, "You take the largest response of each channel. The paper takes the mean."),
            (
                torch.cat(each[::-1], 1),
                "The scales are in reversed order: the largest image comes first.",
            ),
            (
                torch.stack(each, 2).flatten(1),
                "The scales alternate channel by channel. Put them one after the other: `cat` "
                "along the features, no `stack`.",
            ),
            (
                torch.cat(each, 0),
                "You put the scales below each other, as if they were other images. They are "
                "more features of the same image: which dimension is that?",
            ),
            (
                torch.cat([m.mean(1).flatten(1) for m in maps], 1),
                "You average over the channels and keep the places: that is 'where', without "
                "'what'. Average over the last two axes.",
            ),
            (
                torch.stack(each).mean(0),
                "You average the scales as well. Each scale keeps its own features.",
            ),
        ],
        hint="The mean of a map over both of its axes is one number for each image and channel.",
    )


def _auroc(answer: Any, draw: Draw) -> None:
    n_normal, n_defect = draw.integer(11, 16), draw.integer(6, 9)
    labels = draw.rng.permutation(np.repeat([False, True], [n_normal, n_defect]))
    raw = draw.rng.normal(0, 1.5, len(labels)) + 1.1 * labels
    scores = np.round(raw)  # ties
    scores[np.flatnonzero(~labels)[0]] = scores[labels].max()
    wanted = metrics.auroc(labels, scores)
    above = (scores[labels][:, None] - scores[~labels]).ravel()
    won, tied = float((above > 0).sum()), float((above == 0).sum())
    pairs = len(above)
    with explained(
        "broadcast",
        f"{n_defect} defective scores and {n_normal} normal ones cannot be subtracted one by one. "
        "All PAIRS are wanted: a table with a row for each defective one, a column for each normal "
        "one (`[:, None]`).",
    ):
        got = call(answer, labels, scores, name="auroc")
    compare(
        "The AUROC",
        got,
        wanted,
        [
            (won / pairs, "Ties: a pair with equal scores counts one half; you count it as lost."),
            (
                (won + tied) / pairs,
                "Ties: a pair with equal scores counts one half; you count it as won.",
            ),
            (
                1 - wanted,
                "Upside down: you count the pairs in which the NORMAL image scores higher.",
            ),
            (
                (won + tied / 2) / len(labels) ** 2,
                "You divide by the number of all pairs of images. How many pairs of one defective "
                "and one normal image are there?",
            ),
            (won + tied / 2, "You have the number of pairs that are won. Divide it: by what?"),
        ],
        hint="Compare every defective score with every normal one.",
    )


def _interval(answer: Any, draw: Draw) -> None:
    counts = draw.integer(14, 20), draw.integer(7, 10)
    labels = draw.rng.permutation(np.repeat([False, True], counts))
    scores = draw.rng.permutation(len(labels)) + draw.rng.uniform(0.1, 0.4)
    label_of = dict(zip(scores.tolist(), labels.tolist(), strict=True))
    n_resamples, values = 199, draw.rng.exponential(size=1000)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def metric(of_labels: Any, of_scores: Any) -> float:
        y, s = np.asarray(of_labels), np.asarray(of_scores, dtype=float)
        if np.array_equal(s, scores):  # the figure itself
            if not np.array_equal(y, labels):
                raise Wrong("The labels are drawn anew, the scores are not: draw both by position.")
            return 1.0
        seen.append((y, s))
        return float(values[(len(seen) - 1) % len(values)])

    rng = np.random.default_rng(draw.integer(0, 10**6))
    state = str(rng.bit_generator.state)
    ends = call(answer, metric, labels, scores, rng, n_resamples, name="interval")
    if not seen:
        raise Wrong("You never call `metric` on a resampled test set.")
    if str(rng.bit_generator.state) == state:
        raise Wrong("You do not draw from `rng`: nobody could repeat or vary your interval.")
    for y, s in seen:
        if len(y) != len(s):
            raise Wrong(f"`metric` gets {len(y)} labels and {len(s)} scores. They belong together.")
        if any(label_of.get(score) != label for label, score in zip(y, s, strict=True)):
            raise Wrong(
                "Labels and scores are torn apart: an image gets another one's label. Draw "
                "positions once, and use them for both."
            )
        if len(y) != len(labels):
            raise Wrong(
                f"A resampled test set has {len(y)} images, the real one {len(labels)}. A smaller "
                "or larger one varies more or less."
            )
    if all(len(set(s.tolist())) == len(s) for _, s in seen):
        raise Wrong(
            "Every resampled test set is the old one in another order: you draw without "
            "replacement, and nothing varies."
        )
    if any(y.sum() != counts[1] for y, _ in seen):
        raise Wrong(
            "The number of defective images varies from resample to resample. You chose to test "
            f"{counts[0]} normal and {counts[1]} defective ones: draw within each class."
        )
    if len(seen) != n_resamples:
        raise Wrong(f"Asked for {n_resamples} resamples, `metric` was called on {len(seen)}.")
    found = values[:n_resamples]
    half = 1.96 * found.std()
    _ends(two_numbers(ends, "interval"), found, half)


def _ends(got: np.ndarray, found: np.ndarray, half: float) -> None:
    wanted = np.quantile(found, [0.025, 0.975])
    ordered = np.sort(found)
    rank = np.searchsorted(ordered, wanted)
    if not np.allclose(got, wanted) and all(
        ordered[max(k - 2, 0)] <= g <= ordered[min(k + 1, len(found) - 1)]
        for g, k in zip(got, rank, strict=True)
    ):
        raise Close("the ends are next to the quantiles: by rank, `np.quantile` interpolates.")
    compare(
        "The interval",
        got,
        wanted,
        [
            (
                np.quantile(found, [0.05, 0.95]),
                "That is a 90 % interval: 5 % lie on EACH side of it.",
            ),
            (
                [found.mean() - half, found.mean() + half],
                "Mean and 1.96 deviations: that assumes a normal distribution, and an AUROC near 1 "
                "has none (the upper end would pass 1). Take quantiles of the values.",
            ),
            ([found.min(), found.max()], "You take the smallest and the largest value."),
            (wanted[::-1].copy(), "The ends are exchanged: return the lower one first."),
        ],
        hint="Between which two quantiles of the values do 95 % of them lie?",
    )


def _nearest(answer: Any, draw: Draw) -> None:
    d = draw.integer(4, 9)
    train, test = draw.normal(draw.integer(12, 18), d), draw.normal(draw.integer(6, 10), d)
    found = NearestNeighbors(n_neighbors=1).fit(train.numpy()).kneighbors(test.numpy())
    distance, index = (torch.as_tensor(x[:, 0]) for x in found)
    gaps = torch.as_tensor(
        [[float(np.linalg.norm(a - b)) for b in train.numpy()] for a in test.numpy()]
    )
    got_distance, got_index = pair(answer, train, test, name="nearest")
    compare(
        "The distance",
        got_distance,
        distance,
        [
            (distance.square(), "That is the squared distance: take the root."),
            (
                gaps.min(0).values,
                "For each TRAINING row you found the nearest test row. It is the other way round: "
                "one number for each test row.",
            ),
            (
                gaps.mean(1),
                "That is the mean distance to all training rows. Only the nearest counts.",
            ),
            (gaps.max(1).values, "That is the distance to the FARTHEST training row."),
            (index, "Return the distance first, then the index."),
            (
                (train[None] - test[:, None]).abs().sum(2).min(1).values,
                "You add absolute differences. Take the Euclidean distance: root of the sum of "
                "squares.",
            ),
        ],
        hint="`torch.cdist(a, b)` has a row for each row of a.",
    )
    compare("The index", got_index, index, hint="It is the position of the nearest row in `train`.")


EXERCISES = {
    "3.1": Exercise("pooled features", _pooled),
    "3.2": Exercise("AUROC by counting pairs", _auroc),
    "3.3": Exercise("an interval", _interval),
    "3.4": Exercise("one epoch", epoch),
    "3.5": Exercise("the nearest training image", _nearest),
    "3.6": Exercise("the leak, mended", honest),
    "3.7": Exercise("DifferNet", differnet),
}
