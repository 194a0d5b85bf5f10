r"""The *distance* map: how far a place of an image lies from what normal images show there.

Phi(p) joins the activations of two middle layers of the trunk at place p of the full-size image, as
it lies (angle 0), each averaged over 3 x 3 cells and divided by its root mean square norm. Then

.. math::
    d(p) = \frac1D\, (\Phi(p) - \mu(p))^T \left(\Sigma + \epsilon \tfrac{\operatorname{tr}\Sigma}{D}
    I\right)^{-1} (\Phi(p) - \mu(p)) \,/\, b(p)

with a mean :math:`\mu(p)` for each place and one covariance :math:`\Sigma` for all of them: the
Mahalanobis distance that the untrained flow takes of the pooled features, taken place by place.
b(p) is at least 1: how much further from normal the four rings of cells at the border lie than the
rest, which is what the trunk's zero padding adds where a texture fills the frame.

A map of a normal image that helped to make the statistics would be too small. So each of them is
measured against the statistics of the others, in closed form, and the maxima of these maps give the
level that a new normal image passes anywhere with probability alpha (`level`).

References:
    Defard et al., "PaDiM", arXiv 2011.08785, has a covariance for each place; the leave-one-out
    level is a jackknife: it is measured (notebook 07) and not proved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.thresholds import conformal_threshold

__all__ = [
    "MapLevels",
    "evenly",
    "MOST_IMAGES",
    "SIGMA",
    "PlaceStatistics",
    "distance_map",
    "drawn",
    "place_features",
    "place_statistics",
]

EPS = 0.1  # of the mean variance; .003 to .1 are alike on bottle and toothbrush, weave wants .1
SIGMA = 4.0  # px, of the blur; 8 is as good
RINGS = 4  # cells at the border that the trunk's padding reaches
TAPPED_STRIDE = 16  # px between the cells of the tapped layers: 27 x 27 cells of 448 px
MOST_IMAGES = 64  # that statistics are made from
USUAL = 0.999  # share of the places of normal images that show no colour
WORK = 2  # the map is drawn and blurred at half the image's side: the cells are 16 px apart


class MapLevels(NamedTuple):
    """What a map is compared with, in the map's own values.

    Attributes:
        usual: what 999 of 1,000 places of normal images stay below: colour begins there.
        level: what a normal image's map passes anywhere with probability alpha at most.
        alpha: that probability.
    """

    usual: float
    level: float
    alpha: float


def evenly(total: int, n: int) -> list[int]:
    """n of `total` positions, as even as possible, the first among them.

    Example:
        >>> evenly(16, 4)
        [0, 4, 8, 12]
    """
    if not 1 <= n <= total:
        raise ValueError(f"n: expected 1 to {total}, got {n}")
    return [k * total // n for k in range(n)]


@dataclasses.dataclass(frozen=True)
class PlaceStatistics:
    """What normal images show at each place.

    Args:
        scale: (L,) root mean square norms of the tapped layers.
        mean: (D, h, w).
        factor: (D, D), d = |factor (Phi - mean)|^2 / D.
        border: (h, w), b, at least 1.
        maxima: (n,) largest values of the normal images' own leave-one-out maps.
        usual: (1,) what 999 of 1,000 of all values of these maps stay below.
    """

    scale: Tensor
    mean: Tensor
    factor: Tensor
    border: Tensor
    maxima: Tensor
    usual: Tensor

    def levels(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> MapLevels:
        """What new maps are compared with.

        Args:
            alpha: share of normal images that may pass the level anywhere.
            if_too_few: "raise", or "fallback", which takes the smallest rate that can be reached.

        Raises:
            TooFewNormalsError: so few images cannot say.
        """
        maxima = self.maxima.numpy()
        reached = max(alpha, 1 / (len(maxima) + 1)) if if_too_few == "fallback" else alpha
        level = conformal_threshold(maxima, reached).value
        return MapLevels(min(float(self.usual), level), level, reached)

    def tensors(self) -> dict[str, Tensor]:
        """For a file: float16 where that changes a map by less than 0.1 %."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"mean": self.mean.half(), "factor": self.factor.half()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> PlaceStatistics:
        """From what `tensors` gave."""
        return cls(**{name: tensor.float() for name, tensor in tensors.items()})


def place_features(extractor: MultiScaleExtractor, images: Tensor) -> list[Tensor]:
    """Tapped activations, averaged over 3 x 3 cells: L tensors (N, C_l, h, w) float32.

    Tapped are the first and the last activation of the trunk on its grid of 16 pixels: ReLU layers
    where there are any (AlexNet: of its third and fifth convolution), else blocks (ResNet's third
    stage). A trunk without such a grid gives its last maps.

    Args:
        extractor: the trunk.
        images: (N, 3, size, size) in [0, 1].
    """
    x = extractor.pyramid(images)[0]
    outputs: list[tuple[nn.Module, Tensor]] = []
    for layer in extractor.trunk:
        x = layer(x)
        outputs.append((layer, x))
    side = extractor.size / TAPPED_STRIDE
    tapped = [(layer, x) for layer, x in outputs if abs(x.shape[-1] - side) < 2]
    activations = [x for layer, x in tapped if isinstance(layer, nn.ReLU)]
    layers = activations or [x for _, x in tapped] or [outputs[-1][1]]
    ends = layers if len(layers) == 1 else [layers[0], layers[-1]]
    return [F.avg_pool2d(layer.float(), 3, 1, 1, count_include_pad=False) for layer in ends]


@torch.inference_mode()
def place_statistics(
    extractor: MultiScaleExtractor, images: Sequence[ImageLike], *, white: float | None = None
) -> PlaceStatistics | None:
    """Statistics of normal images, and the maxima of their own leave-one-out maps.

    With residuals r_i = Phi_i - mu and S = sum r_i r_i^T over images and places, the residual
    against the others is r_i n / (n - 1) and their scatter S - n / (n - 1) r_i r_i^T: exact.

    Args:
        extractor: the trunk.
        images: n normal images; fewer than 3 give None.
        white: of pictures of more than 8 bits, see `as_rgb`.
    """
    n = len(images)
    if n < 3:
        return None
    batches: list[list[Tensor]] = []
    for batch in iter_decoded(images, size=extractor.size, batch=8, white=white):
        layers = place_features(extractor, batch.to(extractor.device).float() / 255)
        batches.append([layer.cpu() for layer in layers])  # MPS has no float64
    joint = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    scale = torch.stack([layer.square().sum(1).mean().sqrt() for layer in joint]).clamp_min(1e-12)
    phi = _joined(joint, scale)  # (n, D, h, w)
    mean = phi.mean(0)
    flat = (phi - mean).flatten(2)  # (n, D, P)
    n_places = flat.shape[2]
    squares = [(r @ r.T).double() for r in flat]  # n times (D, D)
    scatter = torch.stack(squares).sum(0)
    share = n / (n - 1)
    distances = []
    for r, square in zip(flat, squares, strict=True):
        factor = _factor((scatter - share * square) / ((n - 2) * n_places))
        distances.append(_distance(r.view(1, *mean.shape) * share, factor))
    left_out = torch.cat(distances)  # (n, h, w)
    border = _border(left_out.mean(0))
    normal = drawn(left_out / border, extractor.size)
    usual = torch.from_numpy(np.quantile(normal[:, ::WORK, ::WORK].numpy(), [USUAL]))
    factor = _factor(scatter / ((n - 1) * n_places))
    return PlaceStatistics(
        scale=scale.float(),
        # rounded as in a file, and in its layout, so that a loaded model draws the same
        mean=mean.half().float(),
        factor=factor.half().float().contiguous(),
        border=border.float(),
        maxima=normal.flatten(1).amax(1).float(),
        usual=usual.float(),
    )


def distance_map(
    extractor: MultiScaleExtractor,
    statistics: PlaceStatistics,
    images: Tensor,
    *,
    sigma: float = SIGMA,
) -> Tensor:
    """Maps (N, size, size) float32 of images (N, 3, size, size) in [0, 1]; see above."""
    layers = place_features(extractor, images)
    residual = _joined(layers, statistics.scale.to(images)) - statistics.mean.to(images)
    distance = _distance(residual, statistics.factor.to(images)) / statistics.border.to(images)
    return drawn(distance, extractor.size, sigma=sigma)


def drawn(distance: Tensor, size: int, *, sigma: float = SIGMA) -> Tensor:
    """(N, h, w) on the trunk's grid to (N, size, size): each cell drawn where it looks, blurred.

    A tapped cell of AlexNet's sees pixel 15 + 16 v in its centre; a grid of other spacing is taken
    as centred in the image.
    """
    h = distance.shape[-1]
    out = size // WORK
    alexnet = 0.5 <= size / 16 - h < 2  # no padding at its first layer: fewer cells than size / 16
    step = 16 if alexnet else size / h
    first = 15 if alexnet else (step - 1) / 2
    pixel = (torch.arange(out, device=distance.device) + 0.5) * size / out - 0.5
    u = (pixel - first) / step * 2 / max(h - 1, 1) - 1
    grid = torch.stack(torch.meshgrid(u, u, indexing="ij")[::-1], -1)[None]
    grid = grid.expand(distance.shape[0], -1, -1, -1)
    maps = F.grid_sample(distance[:, None], grid, padding_mode="border", align_corners=True)
    if sigma > 0:
        s = sigma * out / size
        maps = gaussian_blur(maps, [2 * int(4 * s + 0.5) + 1] * 2, [s, s])
    whole = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
    return whole[:, 0]


def _joined(layers: Sequence[Tensor], scale: Tensor) -> Tensor:
    return torch.cat([layer / s for layer, s in zip(layers, scale, strict=True)], dim=1)


def _factor(covariance: Tensor) -> Tensor:
    """L^-1 with L L^T the inflated covariance: it whitens. (D, D) float32."""
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    inflated = covariance + EPS * covariance.diagonal().mean().clamp_min(1e-12) * eye
    lower = torch.linalg.cholesky(inflated)
    return torch.linalg.solve_triangular(lower, eye, upper=False).float()


def _distance(residual: Tensor, factor: Tensor) -> Tensor:
    """(N, D, h, w) to (N, h, w)."""
    whitened = torch.einsum("kd,ndhw->nkhw", factor, residual)
    return whitened.square().mean(1)


def _border(normal: Tensor) -> Tensor:
    """How much further from normal the rings of cells at the border lie than the inside."""
    h, w = normal.shape
    if min(h, w) <= 2 * RINGS:
        return torch.ones_like(normal)
    rows = torch.arange(h, device=normal.device)
    columns = torch.arange(w, device=normal.device)
    ring = torch.minimum(
        torch.minimum(rows, h - 1 - rows)[:, None], torch.minimum(columns, w - 1 - columns)[None]
    ).clamp_max(RINGS)
    levels = torch.stack([normal[ring == k].mean() for k in range(RINGS + 1)])
    return (levels / levels[-1].clamp_min(1e-12)).clamp_min(1)[ring]
