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

from differnet_lite.data.images import ImageLike, decode
from differnet_lite.localization.maps import score_gradient
from differnet_lite.model import DifferNet, NotFittedError
from differnet_lite.scoring import anomaly_score
from differnet_lite.training import pooled
from differnet_lite.transforms import rotate

__all__ = [
    "WORK",
    "angle_indices",
    "attribution_maps",
    "check_fitted",
    "gradient_maps",
    "pixels",
    "score",
]

WORK = 112  # px: side at which maps are turned back and blurred


def check_fitted(model: DifferNet) -> None:
    """Raises `NotFittedError` for a model that has not been fitted."""
    if not hasattr(model, "flow_"):
        raise NotFittedError(
            "this model has not been fitted; call fit() first, or DifferNet.load()"
        )


def pixels(model: DifferNet, image: ImageLike) -> Tensor:
    """The image as the model sees it, (3, size, size) uint8."""
    return decode(image, model.settings.size)


def angle_indices(model: DifferNet, n: int) -> list[int]:
    """Indices of n of the model's angles, as `anomaly_map` chooses them."""
    total = len(model.angles_)
    return [k * total // n for k in range(n)]


def score(model: DifferNet, image: Tensor) -> float:
    """tau of one image, at all of the model's angles."""
    return _score(model, model.bank.features([image], model.angles_))


def attribution_maps(
    model: DifferNet, image: Tensor, counts: Sequence[int]
) -> tuple[dict[int, np.ndarray], float]:
    """Attribution maps for each number of rotations, from one pass of the trunk for each angle.

    Returns:
        Number of rotations to its map, (1, WORK, WORK) float32, and the image's score.
    """
    with torch.inference_mode():
        maps = [
            model.extractor.feature_maps(_view(model, image, k)) for k in range(len(model.angles_))
        ]
        features = torch.cat([model.extractor.pool(m) for m in maps])[None]  # (1, T, D)
    # inference tensors take no part in a gradient
    features, maps = features.clone(), [[scale.clone() for scale in m] for m in maps]
    found = {}
    for n in counts:
        chosen = angle_indices(model, n)
        total = np.zeros((1, WORK, WORK), np.float32)
        for g, k in zip(_gradient(model, features[:, chosen]), chosen, strict=True):
            total += _turned_back(model, _attribution(model, maps[k], k, g), k) / n
        found[n] = total.astype(np.float32)
    return found, _score(model, features)


def gradient_maps(model: DifferNet, image: Tensor, n: int) -> np.ndarray:
    """The signed gradient at the pixels for n rotations, (3 n, WORK, WORK) float32."""
    chosen = angle_indices(model, n)
    views = [_view(model, image, k) for k in chosen]
    with torch.no_grad():
        features = torch.cat([model.extractor(view) for view in views])[None]
    layers = []
    for view, g, k in zip(views, _gradient(model, features), chosen, strict=True):
        leaf = view.clone().requires_grad_(True)
        with torch.enable_grad():
            (at_pixels,) = torch.autograd.grad((model.extractor(leaf)[0] * g).sum(), leaf)
        layers.append(_turned_back(model, F.adaptive_avg_pool2d(at_pixels, WORK), k))
    return np.concatenate(layers).astype(np.float32)


def _score(model: DifferNet, features: Tensor) -> float:
    """tau of features (1, T, D)."""
    seen = pooled(features, model.settings)
    return float(anomaly_score(model.flow_, seen, use_log_det=model.settings.use_log_det)[0])


def _gradient(model: DifferNet, features: Tensor) -> Tensor:
    """The score's gradient at features (1, T, D): (T, D)."""
    return score_gradient(model.flow_, features, model.settings)[0]


def _attribution(model: DifferNet, maps: Sequence[Tensor], k: int, gradient: Tensor) -> Tensor:
    """What each place of the trunk's maps at angle k adds to the score: (1, 1, WORK, WORK)."""
    drawn = torch.zeros(1, 1, WORK, WORK, device=model.device)
    for here, normal, part in zip(maps, model.reference_, gradient.chunk(len(maps)), strict=True):
        change = here.float() - normal[k].to(here.device).float()
        terms = torch.einsum("nchw,c->nhw", change, part)[:, None]
        drawn += F.interpolate(terms, size=(WORK, WORK), mode="bilinear", align_corners=False)
    return drawn


def _view(model: DifferNet, image: Tensor, k: int) -> Tensor:
    """The image turned by the k-th angle, (1, 3, size, size), 0 to 1."""
    t = model.settings.transformations
    x = image[None].to(model.device).float() / 255
    return rotate(x, model.angles_[k], fill=t.fill, interpolation=t.interpolation)


def _turned_back(model: DifferNet, maps: Tensor, k: int) -> np.ndarray:
    fill = model.settings.transformations.fill
    return rotate(maps, -model.angles_[k], fill=fill)[0].cpu().numpy()
