"""Checks of lab 3: features, training and an honest evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

from differnet_course import metrics
from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab3_leak import honest
from differnet_course.labs.lab3_training import epoch
from differnet_course.labs.verdicts import Close, Exercise, Wrong

__all__ = ["EXERCISES"]


def _pooled(answer: Answer, draw: Draw) -> None:
    for n_scales in (3, draw.integer(4, 5)):
        n = draw.integer(3, 5)
        channels = draw.integer(6, 9)
        side = draw.integer(16, 20)
        sides = [max(side // 2**s, 1) for s in range(n_scales)]
        maps = [draw.normal(n, channels, h, h + 1).relu() for h in sides]
        scales = [F.adaptive_avg_pool2d(m, 1)[..., 0, 0] for m in maps]
        loudest = [F.adaptive_max_pool2d(m, 1)[..., 0, 0] for m in maps]
        mistakes = {
            "sum_over_positions": torch.cat([m.sum((2, 3)) for m in maps], 1),
            "take_largest_response": torch.cat(loudest, 1),
            "scales_reversed_order": torch.cat(scales[::-1], 1),
            "scales_alternate_channel": torch.stack(scales, 2).flatten(1),
            "put_scales_below": torch.cat(scales, 0),
            "average_over_channels": torch.cat([m.mean(1).flatten(1) for m in maps], 1),
            "average_scales_well": torch.stack(scales).mean(0),
            f"You use the first three scales; here are {n_scales}. Go through all maps of the "
            "list, however many.": torch.cat(scales[:3], 1),
        }
        compare("The feature matrix is", answer(maps), torch.cat(scales, 1), mistakes)


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
            "ties": won / pairs,
            "ties_too": (won + tied) / pairs,
            "auroc_below_0": max(wanted, 1 - wanted),
            "upside_down": 1 - wanted,
            "divide_number_all": (won + tied / 2) / len(labels) ** 2,
        }
        compare("The AUROC is", got, wanted, mistakes)


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
                raise Wrong("labels_drawn_anew")
            return 1.0
        seen.append((y, s))
        return float(values[(len(seen) - 1) % len(values)])

    rng = np.random.default_rng(draw.integer(0, 10**6))
    state = str(rng.bit_generator.state)
    ends = answer.pair(metric, labels, scores, rng, n_resamples)
    if not seen:
        raise Wrong("never_call_metric")
    if str(rng.bit_generator.state) == state:
        raise Wrong("draw_from_rng")
    for y, s in seen:
        if len(y) != len(s):
            raise Wrong("metric_gets_labels", n_y=len(y), n_s=len(s))
        if any(label_of.get(score) != label for label, score in zip(y, s, strict=True)):
            raise Wrong("labels_scores_torn")
        if len(y) != len(labels):
            raise Wrong("resampled_test_set", n_y=len(y), n_labels=len(labels))
    for kind in (False, True):
        if all(len(set(s[y == kind].tolist())) == (y == kind).sum() for y, s in seen):
            raise Wrong("every_resampled_test", kind="defective" if kind else "normal")
    if any(y.sum() != n_defect for y, _ in seen):
        raise Wrong("number_defective_images", n_normal=n_normal, n_defect=n_defect)
    if len(seen) != n_resamples:
        raise Wrong("asked_resamples_metric", n_resamples=n_resamples, n_seen=len(seen))
    _ends(two_numbers(ends, "interval"), values[:n_resamples])


def _ends(got: np.ndarray, values: np.ndarray) -> None:
    wanted = np.quantile(values, [0.025, 0.975])
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, wanted)
    if not np.allclose(got, wanted) and all(
        ordered[max(k - 2, 0)] <= end <= ordered[min(k + 1, len(values) - 1)]
        for end, k in zip(got, ranks, strict=True)
    ):
        raise Close("ends_next_quantiles")
    half = 1.96 * values.std()
    mistakes = {
        "90_interval": np.quantile(values, [0.05, 0.95]),
        "mean_1_96": [values.mean() - half, values.mean() + half],
        "take_smallest_largest": [values.min(), values.max()],
        "ends_exchanged": wanted[::-1].copy(),
    }
    compare("The interval is", got, wanted, mistakes)


def _nearest(answer: Answer, draw: Draw) -> None:
    d = draw.integer(4, 9)
    train = draw.normal(draw.integer(12, 18), d)
    test = draw.normal(draw.integer(6, 10), d)
    search = NearestNeighbors(n_neighbors=1).fit(train.numpy())
    distance, index = (torch.as_tensor(x[:, 0]) for x in search.kneighbors(test.numpy()))
    gaps = torch.linalg.vector_norm(test[:, None] - train, dim=2)
    got_distance, got_index = answer.pair(train, test)
    mistakes = {
        "squared_distance": distance.square(),
        "each_training_row": gaps.min(0).values,
        "return_distance_first": index,
        "add_absolute_differences": (train - test[:, None]).abs().sum(2).min(1).values,
    }
    compare("The distance is", got_distance, distance, mistakes)
    compare("The index is", got_index, index)


EXERCISES = {
    "3.1": Exercise("pooled features", "pooled", _pooled, None),
    "3.2": Exercise("AUROC by counting pairs", "auroc", _auroc, None),
    "3.3": Exercise("an interval", "interval", _interval, None),
    "3.4": Exercise("one epoch", "train_epoch", epoch, None),
    "3.5": Exercise("the nearest training image", "nearest", _nearest, None),
    "3.6": Exercise("the leak, mended", "honest_evaluation", honest, None),
}
