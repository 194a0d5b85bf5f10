"""The check of lab 3 on a whole detector, from photographs to scores."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from differnet_course.labs.comparing import call, explained, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.features import IMAGENET_MEAN, IMAGENET_STD
from differnet_lite.metrics import auroc

__all__ = ["differnet"]

NOISE = 0.05


class _Trunk(nn.Module):
    """A small random trunk: (N, 3, h, w) to (N, C, h', w')."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.first = nn.Parameter(0.3 * draw.normal(10, 3, 5, 5))
        self.second = nn.Parameter(0.12 * draw.normal(14, 10, 3, 3))
        self.bias = nn.Parameter(0.2 * draw.normal(14))
        self.sides, self.lowest = set[int](), 0.0  # of what it was shown

    def forward(self, x: Tensor) -> Tensor:
        self.sides.add(x.shape[-1])
        self.lowest = min(self.lowest, float(x.detach().min()))
        maps = nn.functional.conv2d(x, self.first, stride=2).relu()
        return nn.functional.conv2d(maps, self.second, self.bias, padding=1).relu()


def _photographs(draw: Draw, n: int, base: Tensor, *, defect: bool) -> Tensor:
    """Made-up photographs (n, 3, 32, 32) in [0, 1]: one pattern, varying light, a blot if asked."""
    light = draw.uniform(0.9, 1.1, n, 3, 1, 1)
    soft = nn.functional.interpolate(draw.normal(n, 3, 4, 4), size=32, mode="bilinear")
    images = base * light + 0.05 * soft + 0.02 * draw.normal(n, 3, 32, 32)
    if defect:
        for image in images:
            row, column = draw.integer(4, 20), draw.integer(4, 20)
            image[:, row : row + 8, column : column + 8] += 0.45 * (-1) ** draw.integer(0, 1)
    return images.clamp(0, 1)


@torch.no_grad()
def _reference(trunk: nn.Module, train: Tensor, images: Tensor) -> tuple[np.ndarray, int]:
    """Squared Mahalanobis distance per dimension, by solving with the inflated covariance."""
    rows = []
    for batch in (train, images):
        x = (batch - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
            3, 1, 1
        )
        each = [x, nn.functional.avg_pool2d(x, 2), nn.functional.avg_pool2d(x, 4)]
        rows.append(torch.cat([trunk(scale).flatten(2).mean(2) for scale in each], 1))
    known, asked = rows
    d = known.shape[1]
    inflated = torch.cov(known.T, correction=0) + NOISE**2 * torch.eye(d)
    off = asked - known.mean(0)
    return (off * torch.linalg.solve(inflated, off.T).T).mean(1).numpy(), d


def _shown(trunk: _Trunk) -> None:
    """Did the trunk see three sizes, normalised? (Its random maps forgive other input.)"""
    if trunk.lowest >= 0:
        raise Wrong(
            "The trunk sees no negative number: normalise the photographs by ImageNet's mean and "
            "deviation. It was trained on such images."
        )
    if trunk.sides != {32, 16, 8}:
        raise Wrong(
            f"The trunk sees images of side {', '.join(map(str, sorted(trunk.sides)))}; of "
            "photographs of side 32 it should see three sizes: 32, 16 and 8."
        )


def differnet(answer: Any, draw: Draw) -> str:
    """Whether a function goes from photographs to scores as DifferNet does."""
    trunk, base = _Trunk(draw), draw.uniform(0.25, 0.75, 1, 3, 32, 32)
    base = nn.functional.avg_pool2d(nn.functional.pad(base, (2,) * 4, mode="reflect"), 5, 1)
    train = _photographs(draw, 40, base, defect=False)
    parts = [_photographs(draw, 14, base, defect=flaw) for flaw in (False, True)]
    order = draw.rng.permutation(28)
    images, labels = torch.cat(parts)[torch.as_tensor(order)], np.repeat([0, 1], 14)[order]
    kept = copy.deepcopy(trunk.state_dict())

    def run(some: Tensor) -> np.ndarray:
        with explained(
            "through the graph a second time",
            "The features still hang on the trunk's graph, and the second `backward` fails. The "
            "trunk is not trained: compute features under `torch.no_grad()`.",
        ):
            found = call(answer, trunk, train, some, 0, name="differnet")
        scores = torch.as_tensor(found).detach().double().numpy()
        if scores.shape != (len(some),):
            raise Wrong(f"Expected one score an image, ({len(some)},), got shape {scores.shape}.")
        if not np.isfinite(scores).all():
            raise Wrong(
                "Some scores are nan or inf. Whiten with the noise in the covariance first."
            )
        return scores

    scores = run(images)
    if any(not torch.equal(kept[name], now) for name, now in trunk.state_dict().items()):
        raise Wrong(
            "You have trained the trunk as well. Its parameters stay; only the flow learns."
        )
    if not np.allclose(scores, run(images), rtol=1e-6):
        raise Wrong("Two runs with the same seed give other scores. Where is the seed not used?")
    if not np.allclose(scores[::4], run(images[::4]), rtol=1e-3):
        raise Wrong(
            "An image's score depends on the other images that it is scored with. What do you "
            "learn from the images to be scored (a mean, a scale)? They are test images."
        )
    _shown(trunk)
    wanted, d = _reference(trunk, train, images)
    area, fair = auroc(labels, scores), auroc(labels, wanted)
    if area < 0.4 and fair > 0.6:
        raise Wrong(f"AUROC {area:.2f}: upside down. Higher is more anomalous.")
    size = float(np.median(scores[labels == 0]) / np.median(wanted[labels == 0]))
    if same(scores, wanted, 1e-3) or same(scores * d, wanted, 1e-3):
        raise Wrong(
            "These are the scores of the whitening alone: your flow has not learnt anything."
        )
    if size > 20 * d:
        raise Wrong(
            f"A normal image scores {size:.0e} times as high as by the whitening: your training "
            "diverges. Whiten first, begin near the identity, and take Adam's usual step of 1e-3."
        )
    if size > d / 4:
        raise Wrong(
            f"A normal image scores {size:.0f} times as high as by the whitening. Sum over the "
            f"{d} dimensions, where a mean is asked for?"
        )
    if size < 0.1:
        raise Wrong(
            f"A normal image scores {size:.2g} times as high as by the whitening: all z shrink to "
            "0. Half of the loss likes that; what does the log-det say to it, and is it there?"
        )
    agreement = float(spearmanr(scores, wanted).statistic)
    if agreement < 0.85 or area < fair - 0.12:
        raise Wrong(
            f"Rank correlation with the package's distance {agreement:.2f}, AUROC {area:.2f} where "
            f"it has {fair:.2f}. Compare step by step: ImageNet's mean and deviation, three "
            "scales, pooling, whitening with the noise, and training with the noise."
        )
    return f"Rank correlation with the package's Mahalanobis distance {agreement:.2f}."
