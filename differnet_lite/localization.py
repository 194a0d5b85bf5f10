r"""Where in the image the score comes from.

Two maps, both from the gradient g = d tau / d y of the score with respect to the pooled features:

*attribution* (default). Features are means over the positions p of the trunk's maps, y = mean_p F(p), so
to first order the score splits into one term for each position,

.. math:: \tau(y) - \tau(\bar y) \approx g \cdot (y - \bar y) = \operatorname{mean}_p \, g \cdot (F(p) - \bar F(p)) ,

where \bar F are the mean maps of normal images. Each term is drawn where it arose. One pass through
the trunk for each rotation, none back.

*gradient* (the paper). The gradient is carried on through the trunk to the pixels, blurred, and its
absolute value averaged. The paper calls it "not optimised"; its maps are beside ours in notebook 07.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.scoring import score_views
from differnet_lite.settings import Settings
from differnet_lite.training import pooled
from differnet_lite.transforms import iter_views, rotate

__all__ = ["anomaly_map", "reference_maps", "score_gradient"]


def anomaly_map(
    extractor: MultiScaleExtractor,
    flow: CouplingFlow,
    image: Tensor,
    *,
    angles: Sequence[float],
    settings: Settings,
    reference: Sequence[Tensor] | None = None,
    method: str = "attribution",
    sigma: float | None = None,
    n_angles: int | None = None,
) -> np.ndarray:
    """A map of one image, (size, size) float32, at least 0, comparable between images of one model.

    Args:
        extractor: the trunk.
        flow: a trained flow.
        image: (3, size, size) uint8.
        angles: the model's angles, degrees.
        settings: the model's settings.
        reference: mean maps of normal images, see `reference_maps`; needed for method="attribution".
        method: "attribution" or "gradient", see above.
        sigma: deviation of a Gaussian blur, pixels; None takes 3 for "gradient", as in the paper, and 4
            for "attribution".
        n_angles: use only so many of the angles, evenly chosen; None uses all.

    Raises:
        ValueError: the method is unknown, has no reference, or `n_angles` is out of range.
    """
    if method not in ("attribution", "gradient"):
        raise ValueError(f"method: expected 'attribution' or 'gradient', got {method!r}")
    if method == "attribution" and not reference:
        raise ValueError("method='attribution' needs reference maps of normal images; fit with reference_images > 0, or use method='gradient'")
    if n_angles is not None and not 1 <= n_angles <= len(angles):
        raise ValueError(f"n_angles: expected 1 to {len(angles)}, got {n_angles}")
    chosen = range(len(angles)) if n_angles is None else [k * len(angles) // n_angles for k in range(n_angles)]
    turns = [angles[k] for k in chosen]
    t = settings.transformations
    x = image[None].to(extractor.device).float() / 255
    views = torch.cat([view for _, view in sorted(iter_views(x, turns, t), key=lambda item: item[0])])  # (T, 3, size, size)
    with torch.no_grad():
        maps = extractor.feature_maps(views)
        gradient = score_gradient(flow, extractor.pool(maps)[None], settings)[0]  # (T, D)
    if method == "attribution":
        assert reference is not None
        drawn = _attribution(maps, [r[list(chosen)] for r in reference], gradient, image.shape[-1])
    else:
        drawn = _pixel_gradient(extractor, views, gradient)
    turned_back = torch.cat([rotate(one[None], -angle, fill=t.fill) for one, angle in zip(drawn, turns, strict=True)])
    if method == "gradient":
        total = _blur(turned_back, 3.0 if sigma is None else sigma).abs().mean((0, 1))
    else:
        total = _blur(turned_back.mean(0, keepdim=True), 4.0 if sigma is None else sigma).clamp_min(0)[0, 0]
    return total.cpu().numpy()


def score_gradient(flow: CouplingFlow, features: Tensor, settings: Settings) -> Tensor:
    """d tau / d y for every view, (N, T, D), of features (N, T, D); each view's score counts in full.

    With pooled views the flow sees their mean, so all views share one gradient.
    """
    seen = pooled(features, settings).detach().requires_grad_(True)
    with torch.enable_grad():
        z, log_det = flow(seen.flatten(0, 1))
        score_views(z, log_det, use_log_det=settings.use_log_det).sum().backward()
    assert seen.grad is not None
    flow.zero_grad(set_to_none=True)
    return seen.grad.expand_as(features)


def _attribution(maps: Sequence[Tensor], reference: Sequence[Tensor], gradient: Tensor, size: int) -> Tensor:
    """Sum over scales of g . (F - F_normal) for each view, brought to the image's size: (T, 1, size, size)."""
    total = torch.zeros(len(gradient), 1, size, size, device=gradient.device)
    for here, normal, g in zip(maps, reference, gradient.chunk(len(maps), dim=1), strict=True):
        terms = torch.einsum("tchw,tc->thw", here.float() - normal.to(here.device).float(), g)[:, None]
        total += F.interpolate(terms, size=(size, size), mode="bilinear", align_corners=False)
    return total


def _pixel_gradient(extractor: MultiScaleExtractor, views: Tensor, gradient: Tensor) -> Tensor:
    """The gradient carried back to the pixels of each view, (T, 3, size, size)."""
    with torch.enable_grad():
        pixels = views.detach().clone().requires_grad_(True)
        (extractor(pixels) * gradient).sum().backward()
    assert pixels.grad is not None
    return pixels.grad


def _blur(maps: Tensor, sigma: float) -> Tensor:
    if sigma <= 0:
        return maps
    radius = min(int(4 * sigma + 0.5), maps.shape[-1] // 2 - 1)
    return gaussian_blur(maps, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])


@torch.inference_mode()
def reference_maps(extractor: MultiScaleExtractor, images: Sequence[ImageLike], *, angles: Sequence[float], settings: Settings) -> list[Tensor]:
    """Mean maps of the trunk over normal images: S tensors (T, C, h_s, w_s), float16, on the CPU.

    Args:
        extractor: the trunk.
        images: normal training images; 32 are enough.
        angles: T angles in degrees.
        settings: give the fill and the interpolation.
    """
    t = settings.transformations
    sums: list[list[Tensor]] = [[] for _ in angles]
    count = 0
    for batch in iter_decoded(images, size=settings.size, batch=8):
        x = batch.to(extractor.device).float() / 255
        count += len(batch)
        for k, found in extractor.iter_view_maps(x, angles, t):
            maps = [m.float().sum(0) for m in found]
            sums[k] = [a + b for a, b in zip(sums[k], maps, strict=True)] if sums[k] else maps
    return [torch.stack([sums[k][s] / count for k in range(len(angles))]).half().cpu() for s in range(settings.n_scales)]
