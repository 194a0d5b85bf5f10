"""Checks of lab 3: features, training and an honest evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.exercises import Exercise
from differnet_course.labs.lab3_leak import honest
from differnet_course.labs.lab3_training import epoch
from differnet_course.labs.verdicts import Close, Wrong
from differnet_lite import metrics

__all__ = ["EXERCISES"]


def _pooled(answer: Answer, draw: Draw) -> None:
    for n_scales in (3, draw.integer(4, 5)):
        n = draw.integer(3, 5)
        channels = draw.integer(6, 9)
        side = draw.integer(16, 20)
        sides = [side // 2**s for s in range(n_scales)]
        maps = [draw.normal(n, channels, h, h + 1).relu() for h in sides]
        scales = [F.adaptive_avg_pool2d(m, 1)[..., 0, 0] for m in maps]
        loudest = [F.adaptive_max_pool2d(m, 1)[..., 0, 0] for m in maps]
        mistakes = {
            "You sum over the positions: a scale with more positions then counts more. Take the "
            "mean.": torch.cat([m.sum((2, 3)) for m in maps], 1),
            "You take the largest response of each channel. The paper takes the mean.": (
                torch.cat(loudest, 1)
            ),
            "The scales are in reversed order: the largest image comes first.": (
                torch.cat(scales[::-1], 1)
            ),
            "The scales alternate channel by channel. Put them one after the other: `cat` along "
            "the features, no `stack`.": torch.stack(scales, 2).flatten(1),
            "You put the scales below each other, as if they were other images. They are more "
            "features of the same image: which dimension is that?": torch.cat(scales, 0),
            "You average over the channels and keep the positions: that is 'where', without "
            "'what'. Average over the last two axes.": (
                torch.cat([m.mean(1).flatten(1) for m in maps], 1)
            ),
            "You average the scales as well. Each scale keeps its own features.": (
                torch.stack(scales).mean(0)
            ),
            f"You use the first three scales; here are {n_scales}. Go through all maps of the "
            "list, however many.": torch.cat(scales[:3], 1),
        }
        hint = "The mean of a map over both of its axes is one number for each image and channel."
        compare("The feature matrix is", answer(maps), torch.cat(scales, 1), mistakes, hint=hint)


def _auroc(answer: Answer, draw: Draw) -> None:
    for shift in (1.1, -1.1):  # a detector, and one that is worse than guessing
        n_normal = draw.integer(11, 16)
        n_defect = draw.integer(6, 9)
        labels = draw.rng.permutation(np.repeat([False, True], [n_normal, n_defect]))
        scores = np.round(draw.rng.normal(0, 1.5, len(labels)) + shift * labels)  # ties
        scores[np.flatnonzero(~labels)[0]] = scores[labels].max()
        wanted = metrics.auroc(labels, scores)
        above = (scores[labels][:, None] - scores[~labels]).ravel()
        won = float((above > 0).sum())
        tied = float((above == 0).sum())
        pairs = len(above)
        with explained(
            "broadcast",
            f"{n_defect} defective scores and {n_normal} normal ones cannot be subtracted one by "
            "one. All PAIRS are wanted: a table with a row for each defective one, a column for "
            "each normal one (`[:, None]`).",
        ):
            got = answer(labels, scores)
        mistakes = {
            "Ties: a pair with equal scores counts one half; you count it as lost.": won / pairs,
            "Ties: a pair with equal scores counts one half; you count it as won.": (
                (won + tied) / pairs
            ),
            "An AUROC below 0.5 is a result as well: it says that the detector is upside down. Do "
            "not turn it round.": max(wanted, 1 - wanted),
            "Upside down: you count the pairs in which the NORMAL image scores higher.": 1 - wanted,
            "You divide by the number of all pairs of images. How many pairs of one defective and "
            "one normal image are there?": (won + tied / 2) / len(labels) ** 2,
            "You have the number of pairs that are won. Divide it: by what?": won + tied / 2,
        }
        hint = "Compare every defective score with every normal one."
        compare("The AUROC is", got, wanted, mistakes, hint=hint)


def _interval(answer: Answer, draw: Draw) -> None:
    n_normal = draw.integer(14, 20)
    n_defect = draw.integer(7, 10)
    labels = draw.rng.permutation(np.repeat([False, True], [n_normal, n_defect]))
    scores = draw.rng.permutation(len(labels)) + draw.rng.uniform(0.1, 0.4)
    label_of = dict(zip(scores.tolist(), labels.tolist(), strict=True))
    n_resamples = 199
    values = draw.rng.exponential(size=1000)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def metric(some_labels: Any, some_scores: Any) -> float:
        y = np.asarray(some_labels)
        s = np.asarray(some_scores, dtype=float)
        if np.array_equal(s, scores):  # the figure itself
            if not np.array_equal(y, labels):
                raise Wrong("The labels are drawn anew, the scores are not: draw both by position.")
            return 1.0
        seen.append((y, s))
        return float(values[(len(seen) - 1) % len(values)])

    rng = np.random.default_rng(draw.integer(0, 10**6))
    state = str(rng.bit_generator.state)
    ends = answer.pair(metric, labels, scores, rng, n_resamples)
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
    if any(y.sum() != n_defect for y, _ in seen):
        raise Wrong(
            "The number of defective images varies from resample to resample. You chose to test "
            f"{n_normal} normal and {n_defect} defective ones: draw within each class."
        )
    if len(seen) != n_resamples:
        raise Wrong(f"Asked for {n_resamples} resamples, `metric` was called on {len(seen)}.")
    _ends(two_numbers(ends, "interval"), values[:n_resamples])


def _ends(got: np.ndarray, values: np.ndarray) -> None:
    wanted = np.quantile(values, [0.025, 0.975])
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, wanted)
    if not np.allclose(got, wanted) and all(
        ordered[max(k - 2, 0)] <= end <= ordered[min(k + 1, len(values) - 1)]
        for end, k in zip(got, ranks, strict=True)
    ):
        raise Close("The ends are next to the quantiles: by rank, `np.quantile` interpolates.")
    half = 1.96 * values.std()
    mistakes = {
        "That is a 90 % interval: 5 % lie on EACH side of it.": np.quantile(values, [0.05, 0.95]),
        "Mean and 1.96 deviations: that assumes a normal distribution, and an AUROC near 1 has "
        "none (the upper end would pass 1). Take quantiles of the values.": (
            [values.mean() - half, values.mean() + half]
        ),
        "You take the smallest and the largest value.": [values.min(), values.max()],
        "The ends are exchanged: return the lower one first.": wanted[::-1].copy(),
    }
    hint = "Between which two quantiles of the values do 95 % of them lie?"
    compare("The interval is", got, wanted, mistakes, hint=hint)


def _nearest(answer: Answer, draw: Draw) -> None:
    d = draw.integer(4, 9)
    train = draw.normal(draw.integer(12, 18), d)
    test = draw.normal(draw.integer(6, 10), d)
    search = NearestNeighbors(n_neighbors=1).fit(train.numpy())
    distance, index = (torch.as_tensor(x[:, 0]) for x in search.kneighbors(test.numpy()))
    gaps = torch.linalg.vector_norm(test[:, None] - train, dim=2)
    got_distance, got_index = answer.pair(train, test)
    mistakes = {
        "That is the squared distance: take the root.": distance.square(),
        "For each TRAINING row you took the nearest test row. It is the other way round: one "
        "number for each test row.": gaps.min(0).values,
        "That is the mean distance to all training rows. Only the nearest counts.": gaps.mean(1),
        "That is the distance to the FARTHEST training row.": gaps.max(1).values,
        "Return the distance first, then the index.": index,
        "You add absolute differences. Take the Euclidean distance: root of the sum of squares.": (
            (train - test[:, None]).abs().sum(2).min(1).values
        ),
    }
    hint = "`torch.cdist(a, b)` has a row for each row of a."
    compare("The distance is", got_distance, distance, mistakes, hint=hint)
    hint = "It is the position of the nearest row in `train`."
    compare("The index is", got_index, index, hint=hint)


EXERCISES = {
    "3.1": Exercise("pooled features", "pooled", _pooled, None),
    "3.2": Exercise("AUROC by counting pairs", "auroc", _auroc, None),
    "3.3": Exercise("an interval", "interval", _interval, None),
    "3.4": Exercise("one epoch", "train_epoch", epoch, None),
    "3.5": Exercise("the nearest training image", "nearest", _nearest, None),
    "3.6": Exercise("the leak, mended", "honest_evaluation", honest, None),
}
