"""All that the localization explorer asks of a model: a score, and maps before their blur.

Maps are turned back, and drawn at `WORK` pixels a side; several numbers of rotations may be asked
for at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from differnet_lite.images import ImageLike, decode
from differnet_lite.maps import evenly
from differnet_lite.model import DifferNet

__all__ = ["TURNED", "WORK", "gradient_maps", "pixels", "score", "turned_maps"]

TURNED = ("attribution", "deviation")  # methods that need no pass back, of all rotations

WORK = 112  # px: side at which maps are turned back and blurred


def pixels(model: DifferNet, image: ImageLike) -> Tensor:
    """The image as the model sees it, (3, size, size) uint8."""
    return decode(image, model.settings.size)


def score(model: DifferNet, image: Tensor) -> float:
    """tau of one image, at all of the model's angles."""
    return float(model.anomaly_scores(image)[0])


def turned_maps(
    model: DifferNet, image: Tensor, counts: Sequence[int]
) -> tuple[dict[tuple[str, int], np.ndarray], float]:
    """Maps by `TURNED` for each number of rotations, from one pass of the trunk for each angle.

    Returns:
        (method, number of rotations) to its map, (1, WORK, WORK) float32, and the image's score.
    """
    localizer, total = model.localizer, len(model.angles_)
    with torch.no_grad():
        maps = [localizer.extractor.feature_maps(localizer.views(image, [k])) for k in range(total)]
        features = torch.cat([localizer.extractor.pool(m) for m in maps])[None]  # (1, T, D)
    found = {}
    for n in counts:
        chosen = evenly(total, n)
        gradient = localizer.scorer.gradient(features[:, chosen])[0]
        for method in TURNED:
            drawn = np.zeros((1, WORK, WORK), np.float32)
            for g, k in zip(gradient, chosen, strict=True):
                small = [_drawn(scale) for scale in localizer.terms(method, maps[k], g[None], [k])]
                drawn += localizer.turned_back(torch.stack(small).sum(0), k)[0].cpu().numpy() / n
            found[method, n] = drawn
    return found, float(localizer.scorer.scores(features)[0])


def gradient_maps(model: DifferNet, image: Tensor, n: int) -> np.ndarray:
    """The signed gradient at the pixels for n rotations, (3 n, WORK, WORK) float32."""
    localizer, chosen = model.localizer, evenly(len(model.angles_), n)
    views = [localizer.views(image, [k]) for k in chosen]
    with torch.no_grad():
        features = torch.cat([localizer.extractor(view) for view in views])[None]
    layers = []
    for view, g, k in zip(views, localizer.scorer.gradient(features)[0], chosen, strict=True):
        small = F.adaptive_avg_pool2d(localizer.pixel_gradient(view, g[None]), WORK)
        layers.append(localizer.turned_back(small, k)[0].cpu().numpy())
    return np.concatenate(layers).astype(np.float32)


def _drawn(terms: Tensor) -> Tensor:
    """Terms (1, h, w) as (1, 1, WORK, WORK)."""
    return F.interpolate(terms[:, None], size=(WORK, WORK), mode="bilinear", align_corners=False)
