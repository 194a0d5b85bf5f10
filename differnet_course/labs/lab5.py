"""Checks of lab 5: DifferNet from photographs to scores, step by step and whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, count, has_graph, same
from differnet_course.labs.exercises import Close, Draw, Exercise, wrong_if
from differnet_course.metrics import auroc
from differnet_lite.features import IMAGENET_MEAN, IMAGENET_STD
from differnet_lite.sampling import whitening_matrix

__all__ = ["EXERCISES"]

NOISE = 0.05
FEWEST_STEPS = 15  # of an optimiser; twenty epochs take at least twenty


class _Trunk(nn.Module):
    """A small random trunk: (N, 3, h, w) to (N, C, h', w')."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.first = nn.Parameter(0.3 * draw.normal(10, 3, 5, 5))
        self.second = nn.Parameter(0.12 * draw.normal(14, 10, 3, 3))
        self.bias = nn.Parameter(0.2 * draw.normal(14))
        self.sides: set[int] = set()  # of the images that it sees

    def forward(self, x: Tensor) -> Tensor:
        self.sides.add(x.shape[-1])
        maps = F.conv2d(x, self.first, stride=2).relu()
        return F.conv2d(maps, self.second, self.bias, padding=1).relu()


def _photographs(draw: Draw, n: int, base: Tensor, *, defect: bool) -> Tensor:
    """Made-up photographs (n, 3, 32, 32) in [0, 1]: one pattern, varying light, a blot if asked."""
    light = draw.uniform(0.9, 1.1, n, 3, 1, 1)
    soft = F.interpolate(draw.normal(n, 3, 4, 4), size=32, mode="bilinear")
    images = base * light + 0.05 * soft + 0.02 * draw.normal(n, 3, 32, 32)
    if defect:
        for image in images:
            row = draw.integer(4, 20)
            column = draw.integer(4, 20)
            image[:, row : row + 8, column : column + 8] += 0.45 * (-1) ** draw.integer(0, 1)
    return images.clamp(0, 1)


def _pattern(draw: Draw) -> Tensor:
    base = draw.uniform(0.25, 0.75, 1, 3, 32, 32)
    return F.avg_pool2d(F.pad(base, (2,) * 4, mode="reflect"), 5, 1)


def _normalised(images: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / deviation


@torch.no_grad()
def _pooled(trunk: nn.Module, x: Tensor, shrinks: tuple[int, ...] = (1, 2, 4)) -> Tensor:
    """Features (N, S C) of normalised images, one scale for each number to shrink by."""
    return torch.cat([trunk(F.avg_pool2d(x, shrink)).mean((2, 3)) for shrink in shrinks], 1)


def _features(answer: Answer, draw: Draw) -> None:
    trunk = _Trunk(draw)
    images = _photographs(draw, draw.integer(3, 6), _pattern(draw), defect=True)
    x = _normalised(images)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    names: dict[str, Any] = {"pooled": _pooled, "F": F, "x": x, "mean": mean}
    names["deviation"] = deviation
    right = {"The features are": _pooled(trunk, x)}
    (got,) = answer.check({"trunk": trunk, "images": images}, right, **names)
    wrong_if(has_graph(got), "has_graph")


def _whitening(answer: Answer, draw: Draw) -> None:
    n = draw.integer(30, 50)
    d = draw.integer(4, 6)
    y = draw.normal(n, d) @ draw.normal(d, d) + 3 * draw.normal(d)
    y[:, 0] = y[0, 0]  # a dead channel
    noise = draw.number(0.3, 0.6)
    mean, matrix = answer.pair(y, noise)
    answer.compare("The mean is", mean, y.mean(0))
    eye = torch.eye(d)
    cov = torch.cov(y.T, correction=0)
    factor = as_numbers(matrix, "The matrix is")
    wrong_if(factor.shape != (d, d), "other_shape", shape=tuple(factor.shape), d=d)
    # |(y - mean) M|^2 rests on M M^T alone: a turn behind M changes no score
    got = factor @ factor.T
    right = torch.linalg.inv(cov + noise**2 * eye)
    if same(got, torch.linalg.inv(torch.cov(y.T) + noise**2 * eye), 1e-4):
        raise Close("n_minus_1")
    names = {"y": y, "noise": noise, "cov": cov, "eye": eye, "inv": torch.linalg.inv}
    answer.compare("The whitening by your matrix is", got, right, **names)


def _differnet(answer: Answer, draw: Draw) -> str:
    trunk = _Trunk(draw)
    base = _pattern(draw)
    train = _photographs(draw, 40, base, defect=False)
    parts = [_photographs(draw, 14, base, defect=flaw) for flaw in (False, True)]
    order = draw.rng.permutation(28)
    images = torch.cat(parts)[order]
    labels = np.repeat([0, 1], 14)[order]
    before = copy.deepcopy(trunk.state_dict())
    steps: list[int] = []

    def scores_of(some: Tensor, seed: int = 0) -> np.ndarray:
        handle = register_optimizer_step_post_hook(lambda *_: steps.append(seed))
        try:
            scores = as_numbers(answer(trunk, train, some, seed)).numpy()
        finally:
            handle.remove()
        shape = scores.shape
        wrong_if(shape != (len(some),), "other_shape", n=len(some), shape=shape)
        wrong_if(not np.isfinite(scores).all(), "not_finite")
        return scores

    scores = scores_of(images)
    n_steps = len(steps)
    changed = any(not torch.equal(before[name], now) for name, now in trunk.state_dict().items())
    wrong_if(changed, "trunk_trained")
    wrong_if(not np.allclose(scores, scores_of(images), rtol=1e-5), "not_repeatable")
    alone = scores_of(images[::4])
    wrong_if(not np.allclose(scores[::4], alone, rtol=1e-3), "learns_from_test")
    sides = ", ".join(map(str, sorted(trunk.sides)))
    wrong_if(trunk.sides != {32, 16, 8}, "other_sizes", sides=sides)
    features = _pooled(trunk, _normalised(train))
    mean, matrix = whitening_matrix(features, eps=NOISE)
    whitened = (_pooled(trunk, _normalised(images)).double() - mean) @ matrix
    distance = whitened.square().mean(1).numpy()
    area = auroc(labels, scores)
    fair = auroc(labels, distance)
    wrong_if(area < 0.4 and fair > 0.6, "upside_down", area=area)
    # a flow's weights, its noise and its order come from the seed
    wrong_if(np.allclose(scores, scores_of(images, 1), rtol=1e-6), "nothing_trained")
    wrong_if(n_steps < FEWEST_STEPS, "too_few_steps", count=count(n_steps, "step"))
    # is the score a mean of squares of normal z?
    d = features.shape[1]
    size = float(np.median(scores[labels == 0]) / np.median(distance[labels == 0]))
    wrong_if(size > 20 * d, "diverges", size=size)
    wrong_if(size < 0.1, "shrinks_to_zero", size=size)
    growth = np.polyfit(np.log(distance), np.log(scores), 1)[0]
    wrong_if(growth < 0.7, "not_squared")
    wrong_if(size > d / 4, "summed", size=size, d=d)
    agreement = float(spearmanr(scores, distance).statistic)
    far = agreement < 0.85 or area < fair - 0.12
    wrong_if(far, "unlike_whitening", agreement=agreement, area=area, fair=fair)
    return f"Rank correlation with the package's Mahalanobis distance {agreement:.2f}."


EXERCISES = {
    "5.1": Exercise("features", "features", _features, None),
    "5.2": Exercise("whitening with noise", "whitening", _whitening, None),
    "5.3": Exercise("DifferNet", "differnet", _differnet, None),
}
