r"""Where in the image the score comes from.

Three maps, all from the gradient g = d tau / d y of the score with respect to the pooled features:

*attribution* (default). Features are means over the positions p of the trunk's maps, y = mean_p F(p), so
to first order the score splits into one term for each position,

.. math:: \tau(y) - \tau(\bar y) \approx g \cdot (y - \bar y) = \operatorname{mean}_p \, g \cdot (F(p) - \bar F(p)) ,

where \bar F are the mean maps of normal images. Each term is drawn where it arose. One pass through
the trunk for each rotation, none back.

*deviation*. The flow says which channels count, the normal images say how far each of them strays at each position:

.. math:: \sum_c w_c \frac{(F_c(p) - \bar F_c(p))^2}{\sigma_c^2(p) + 0.1\, \bar\sigma_c^2 + 10^{-3}} , \qquad w_c \propto |g_c| \, \bar\sigma_c

with the variance \sigma^2 over normal images and its mean \bar\sigma^2 over positions; the weights of a scale sum to 1. It is no
share of the score, but it keeps what cancels in the pooled mean, and so finds defects in parts that always lie alike
where attribution does not. The formula was chosen among six by the built-in categories' masks; MVTec's bottle was in the same
runs, so its figures are not those of an unseen category.

*gradient* (the paper). The gradient is carried on through the trunk to the pixels, blurred, and its
absolute value averaged. The paper calls it "not optimised"; its maps are beside ours in notebook 07.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from differnet_lite.data.images import ImageLike, iter_decoded
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow
from differnet_lite.scoring import score_views
from differnet_lite.settings import Settings
from differnet_lite.training import pooled
from differnet_lite.transforms import iter_views, rotate

__all__ = ["METHODS", "NormalMaps", "anomaly_map", "reference_maps", "score_gradient"]

METHODS = ("attribution", "deviation", "gradient")


def anomaly_map(
    extractor: MultiScaleExtractor,
    flow: CouplingFlow,
    image: Tensor,
    *,
    angles: Sequence[float],
    settings: Settings,
    reference: Sequence[Tensor] | None = None,
    spread: Sequence[Tensor] | None = None,
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
        reference: mean maps of normal images, see `reference_maps`; "attribution" and "deviation" need them.
        spread: standard deviations of these maps; "deviation" needs them.
        method: "attribution", "deviation" or "gradient", see above.
        sigma: deviation of a Gaussian blur, pixels; None takes 3 for "gradient", as in the paper, and 4
            for the others.
        n_angles: use only so many of the angles, evenly chosen; None uses all.

    Raises:
        ValueError: the method is unknown, has no reference, or `n_angles` is out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if method != "gradient" and (not reference or (method == "deviation" and not spread)):
        raise ValueError(
            f"method={method!r} needs reference maps of normal images; fit with reference_images > 0, or use method='gradient'"
        )
    if n_angles is not None and not 1 <= n_angles <= len(angles):
        raise ValueError(f"n_angles: expected 1 to {len(angles)}, got {n_angles}")
    chosen = (
        range(len(angles))
        if n_angles is None
        else [k * len(angles) // n_angles for k in range(n_angles)]
    )
    turns = [angles[k] for k in chosen]
    t = settings.transformations
    x = image[None].to(extractor.device).float() / 255
    views = torch.cat(
        [view for _, view in sorted(iter_views(x, turns, t), key=lambda item: item[0])]
    )  # (T, 3, size, size)
    with torch.no_grad():
        maps = extractor.feature_maps(views)
        gradient = score_gradient(flow, extractor.pool(maps)[None], settings)[0]  # (T, D)
    if method == "gradient":
        drawn = _pixel_gradient(extractor, views, gradient)
    else:
        if method == "attribution":
            terms = _attribution(maps, _of_angles(reference, chosen, gradient), gradient)
        else:
            terms = _deviation(
                maps,
                _of_angles(reference, chosen, gradient),
                _of_angles(spread, chosen, gradient),
                gradient,
            )
        drawn = torch.stack(
            [
                F.interpolate(
                    t[:, None], size=image.shape[-2:], mode="bilinear", align_corners=False
                )
                for t in terms
            ]
        ).sum(0)
    turned_back = torch.cat(
        [rotate(one[None], -angle, fill=t.fill) for one, angle in zip(drawn, turns, strict=True)]
    )
    if method == "gradient":
        total = _blur(turned_back, 3.0 if sigma is None else sigma).abs().mean((0, 1))
    else:
        total = _blur(turned_back.mean(0, keepdim=True), 4.0 if sigma is None else sigma).clamp_min(
            0
        )[0, 0]
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


def _of_angles(kept: Sequence[Tensor] | None, chosen: Sequence[int], like: Tensor) -> list[Tensor]:
    """Reference maps (T, C, h, w) of the chosen angles, scale by scale, float32 on the device of `like`."""
    return [maps[list(chosen)].to(like.device).float() for maps in kept or ()]


def _attribution(
    maps: Sequence[Tensor], reference: Sequence[Tensor], gradient: Tensor
) -> list[Tensor]:
    """g . (F - F_normal) at each position of each view, (T, h, w) for each scale."""
    parts = zip(maps, reference, gradient.chunk(len(maps), dim=1), strict=True)
    return [torch.einsum("tchw,tc->thw", here.float() - normal, g) for here, normal, g in parts]


def _deviation(
    maps: Sequence[Tensor], reference: Sequence[Tensor], spread: Sequence[Tensor], gradient: Tensor
) -> list[Tensor]:
    """Squared deviations from normal, in units of their variance, of the channels that count: (T, h, w) for each scale."""
    terms = []
    for here, normal, stray, g in zip(
        maps, reference, spread, gradient.chunk(len(maps), dim=1), strict=True
    ):
        variance = stray.square()
        mean = variance.mean((2, 3))  # (T, C)
        weight = g.abs() * mean.sqrt()
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
        squares = (here.float() - normal).square() / (variance + 0.1 * mean[..., None, None] + 1e-3)
        terms.append(torch.einsum("tchw,tc->thw", squares, weight))
    return terms


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


class NormalMaps:
    """Collects the trunk's maps of some normal images, for their mean and deviation: `reference_maps`.

    Sums are float64, so that they do not depend on the order in which the images come.

    Args:
        wanted: positions of the images that count, in a list of images.
        n_angles: T, the number of views of each.

    Attributes:
        missing: positions whose maps have not come yet.
    """

    def __init__(self, wanted: Iterable[int], n_angles: int) -> None:
        self.missing = set(wanted)
        self._wanted = frozenset(self.missing)
        self._sums: list[list[Tensor]] = [
            [] for _ in range(n_angles)
        ]  # of the maps, scale by scale, then of their squares

    def watch(self, positions: Sequence[int], k: int, maps: Sequence[Tensor]) -> None:
        """Take the maps of view k of the images at `positions`, S tensors (N, C, h_s, w_s)."""
        rows = [i for i, position in enumerate(positions) if position in self._wanted]
        if rows:
            chosen = [m[rows].float().cpu().double() for m in maps]
            new = [m.sum(0) for m in chosen] + [m.square().sum(0) for m in chosen]
            self._sums[k] = (
                [a + b for a, b in zip(self._sums[k], new, strict=True)] if self._sums[k] else new
            )
            self.missing.difference_update(positions[i] for i in rows)

    def moments(self) -> tuple[list[Tensor], list[Tensor]]:
        """Mean and standard deviation, S tensors (T, C, h_s, w_s) float16 each; none if no image is wanted."""
        both = [
            torch.stack(list(scale)) / len(self._wanted) for scale in zip(*self._sums, strict=True)
        ]
        means, squares = both[: len(both) // 2], both[len(both) // 2 :]
        return [mean.half() for mean in means], [
            (q - m.square()).clamp_min(0).sqrt().half() for m, q in zip(means, squares, strict=True)
        ]


@torch.inference_mode()
def reference_maps(
    extractor: MultiScaleExtractor,
    images: Sequence[ImageLike],
    *,
    angles: Sequence[float],
    settings: Settings,
    seen: NormalMaps | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Mean and standard deviation of the trunk's maps over normal images: S tensors (T, C, h_s, w_s) each, float16, on the CPU.

    Args:
        extractor: the trunk.
        images: normal training images; 32 are enough.
        angles: T angles in degrees.
        settings: give the fill and the interpolation.
        seen: which of the images count, with the maps of those that have been through the trunk already; None takes all, anew.
    """
    seen = NormalMaps(range(len(images)), len(angles)) if seen is None else seen
    missing = sorted(seen.missing)
    for first, batch in zip(
        range(0, len(missing), 8),
        iter_decoded([images[i] for i in missing], size=settings.size, batch=8),
        strict=True,
    ):
        x = batch.to(extractor.device).float() / 255
        for k, found in extractor.iter_view_maps(x, angles, settings.transformations):
            seen.watch(missing[first : first + 8], k, found)
    return seen.moments()
