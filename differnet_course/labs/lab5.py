"""Checks of lab 5: DifferNet from photographs to scores, step by step and whole."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import as_numbers, compare, count, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Close, Exercise, Wrong
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
        maps = nn.functional.conv2d(x, self.first, stride=2).relu()
        return nn.functional.conv2d(maps, self.second, self.bias, padding=1).relu()


def _photographs(draw: Draw, n: int, base: Tensor, *, defect: bool) -> Tensor:
    """Made-up photographs (n, 3, 32, 32) in [0, 1]: one pattern, varying light, a blot if asked."""
    light = draw.uniform(0.9, 1.1, n, 3, 1, 1)
    soft = nn.functional.interpolate(draw.normal(n, 3, 4, 4), size=32, mode="bilinear")
    images = base * light + 0.05 * soft + 0.02 * draw.normal(n, 3, 32, 32)
    if defect:
        for image in images:
            row = draw.integer(4, 20)
            column = draw.integer(4, 20)
            image[:, row : row + 8, column : column + 8] += 0.45 * (-1) ** draw.integer(0, 1)
    return images.clamp(0, 1)


def _pattern(draw: Draw) -> Tensor:
    base = draw.uniform(0.25, 0.75, 1, 3, 32, 32)
    return nn.functional.avg_pool2d(nn.functional.pad(base, (2,) * 4, mode="reflect"), 5, 1)


def _normalised(images: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / deviation


@torch.no_grad()
def _pooled(trunk: nn.Module, x: Tensor, shrinks: tuple[int, ...] = (1, 2, 4)) -> Tensor:
    """Features (N, S C) of normalised images, one scale for each number to shrink by."""
    scales = [nn.functional.avg_pool2d(x, shrink) for shrink in shrinks]
    return torch.cat([trunk(scale).mean((2, 3)) for scale in scales], 1)


def _features(answer: Answer, draw: Draw) -> None:
    trunk = _Trunk(draw)
    images = _photographs(draw, draw.integer(3, 6), _pattern(draw), defect=True)
    x = _normalised(images)
    got = answer(trunk, images)
    fine = nn.functional.interpolate(x, scale_factor=0.5, mode="nearest")
    corner = [x, fine, nn.functional.interpolate(x, scale_factor=0.25, mode="nearest")]
    with torch.no_grad():
        picked = torch.cat([trunk(scale).mean((2, 3)) for scale in corner], 1)
        loudest = [trunk(nn.functional.avg_pool2d(x, k)).amax((2, 3)) for k in (1, 2, 4)]
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    mistakes = {
        "normalise_photographs_imagenet": _pooled(trunk, images),
        "not_divided_by_deviation": _pooled(trunk, images - mean),
        "brackets_off": _pooled(trunk, images - mean / std),
        "one_size_only": _pooled(trunk, x, (1,)),
        "sizes_reversed_order": _pooled(trunk, x, (4, 2, 1)),
        "shrink_leaving_out": picked,
        "take_largest_response": torch.cat(loudest, 1),
    }
    compare("The features are", got, _pooled(trunk, x), mistakes)
    if isinstance(got, Tensor) and got.requires_grad:
        raise Wrong("values_right_but")


def _whitening(answer: Answer, draw: Draw) -> None:
    n = draw.integer(30, 50)
    d = draw.integer(4, 6)
    y = draw.normal(n, d) @ draw.normal(d, d) + 3 * draw.normal(d)
    y[:, 0] = y[0, 0]  # a dead channel
    noise = draw.number(0.3, 0.6)
    mean, matrix = answer.pair(y, noise)
    mistakes = {"mean_of_zero": torch.zeros(d)}
    compare("The mean is", mean, y.mean(0), mistakes)
    cov = torch.cov(y.T, correction=0)
    eye = torch.eye(d)
    inflated = cov + noise**2 * eye
    factor = as_numbers(matrix, "The matrix is")
    if factor.shape != (d, d):
        raise Wrong("matrix_shape_expected", factor=tuple(factor.shape), d=(d, d))
    # |(y - mean) M|^2 rests on M M^T alone: a turn behind M changes no score
    got = factor @ factor.T
    right = torch.linalg.inv(inflated)
    if same(got, torch.linalg.inv(torch.cov(y.T) + noise**2 * eye), 1e-4):
        raise Close("right_but_factor")
    root = torch.linalg.cholesky(inflated)
    mistakes = {
        "add_noise_variances": torch.linalg.inv(cov + noise * eye),
        "divide_inflated_variances": right @ right,
        "matrix_colours_should": inflated,
        "matrix_transposed": torch.linalg.inv(root) @ torch.linalg.inv(root).T,
        "divide_deviations_single": torch.diag(1 / inflated.diagonal()),
        "covariance_y_itself": torch.linalg.inv(y.T @ y / n + noise**2 * eye),
    }
    compare("The whitening by your matrix is", got, right, mistakes)


@contextmanager
def _steps_counted() -> Iterator[list[int]]:
    """Within, every step of an optimiser appends to the list."""
    steps: list[int] = []
    handle = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    try:
        yield steps
    finally:
        handle.remove()


def _differnet(answer: Answer, draw: Draw) -> str:
    trunk = _Trunk(draw)
    base = _pattern(draw)
    train = _photographs(draw, 40, base, defect=False)
    parts = [_photographs(draw, 14, base, defect=flaw) for flaw in (False, True)]
    order = draw.rng.permutation(28)
    images = torch.cat(parts)[torch.as_tensor(order)]
    labels = np.repeat([0, 1], 14)[order]
    before = copy.deepcopy(trunk.state_dict())

    def scores_of(some: Tensor, seed: int = 0) -> np.ndarray:
        with explained("through the graph a second time", "features_still_hang"):
            scores = as_numbers(answer(trunk, train, some, seed), "The result is").numpy()
        if scores.shape != (len(some),):
            raise Wrong("expected_score_image", n_some=len(some), scores=scores.shape)
        if not np.isfinite(scores).all():
            raise Wrong("some_scores_nan")
        return scores

    with _steps_counted() as steps:
        scores = scores_of(images)
    if any(not torch.equal(before[name], now) for name, now in trunk.state_dict().items()):
        raise Wrong("trained_trunk_well")
    if not np.allclose(scores, scores_of(images), rtol=1e-5):
        raise Wrong("not_repeatable")
    if not np.allclose(scores[::4], scores_of(images[::4]), rtol=1e-3):
        raise Wrong("learns_from_test")
    if trunk.sides != {32, 16, 8}:
        raise Wrong("trunk_sees_images", trunk=", ".join(map(str, sorted(trunk.sides))))
    features = _pooled(trunk, _normalised(train))
    mean, matrix = whitening_matrix(features, eps=NOISE)
    whitened = (_pooled(trunk, _normalised(images)).double() - mean) @ matrix
    distance = whitened.square().mean(1).numpy()
    d = features.shape[1]
    area = auroc(labels, scores)
    fair = auroc(labels, distance)
    if area < 0.4 and fair > 0.6:
        raise Wrong("upside_down", area=area)
    _trained(scores, scores_of(images, 1), len(steps))
    _sized(scores, distance, labels, d)
    agreement = float(spearmanr(scores, distance).statistic)
    if agreement < 0.85 or area < fair - 0.12:
        raise Wrong("rank_correlation_whitening", agreement=agreement, area=area, fair=fair)
    return f"Rank correlation with the package's Mahalanobis distance {agreement:.2f}."


def _trained(scores: np.ndarray, other: np.ndarray, steps: int) -> None:
    """Has a flow learnt? Its weights, its noise and its order come from the seed."""
    if np.allclose(scores, other, rtol=1e-6):
        raise Wrong("nothing_trained")
    if 0 < steps < FEWEST_STEPS:
        raise Wrong("too_few_steps", count=count(steps, "step"))


def _sized(scores: np.ndarray, distance: np.ndarray, labels: np.ndarray, d: int) -> None:
    """Is it a mean of squares of normal z?"""
    size = float(np.median(scores[labels == 0]) / np.median(distance[labels == 0]))
    if size > 20 * d:
        raise Wrong("diverges", size=size)
    if size < 0.1:
        raise Wrong("shrinks_to_zero", size=size)
    growth = np.polyfit(np.log(distance), np.log(scores), 1)[0]
    if growth < 0.7:
        raise Wrong("not_squared")
    if size > d / 4:
        raise Wrong("summed_over_dimensions", size=size, d=d)


EXERCISES = {
    "5.1": Exercise("features", "features", _features, None),
    "5.2": Exercise("whitening with noise", "whitening", _whitening, None),
    "5.3": Exercise("DifferNet", "differnet", _differnet, None),
}
