r"""The *distance* map: how far a place of an image lies from what normal images show there.

Phi(p) joins the activations of two middle layers of the trunk at place p of the full-size image, as
it lies (angle 0), each averaged over 3 x 3 cells and divided by its root mean square norm. Then

.. math::
    d(p) = \frac1D\, (\Phi(p) - \mu(p))^T\, \Sigma(p)^{-1} (\Phi(p) - \mu(p)) \,/\, b(p)

is a Mahalanobis distance, as the untrained flow takes of the pooled features, place by place, with
a mean :math:`\mu(p)` for each place. Its covariance lies between two extremes. One covariance
:math:`\Sigma` of all places is well known from few images. But where parts move a little, it holds
"background in place of the part" for usual everywhere, and a part that is missing looks nearly
normal. A covariance for each place sees that, but n images know it badly. So, in coordinates in
which the inflated :math:`\Sigma + \epsilon \tfrac{\operatorname{tr}\Sigma}{D} I` is the identity,

.. math:: \Sigma(p) = (1 - w)\, I + w\, \Sigma_\mathrm{own}(p)

on the K directions in which places differ most from each other, and the identity on the others.
The weight w makes normal images most likely that are left out of :math:`\Sigma_\mathrm{own}`.
b(p) is at least 1: how much further from normal the four rings of cells at the border lie than the
rest, which is what the trunk's zero padding adds where a texture fills the frame.

`places` makes the statistics, and the level that a new normal image passes with probability alpha.

References:
    Defard et al., "PaDiM", arXiv 2011.08785, has a covariance for each place. Friedman,
    "Regularized discriminant analysis", JASA 1989, shrinks covariances of classes to a common one.
    The leave-one-out level is a jackknife: it is measured (notebook 07) and not proved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from differnet_lite.checks import whole
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.thresholds import conformal_threshold

__all__ = ["SIGMA", "MapLevels", "PlaceStatistics", "distance_map", "drawn", "evenly", "joined"]
__all__ += ["place_features"]

SIGMA = 4.0  # px, of the blur; 8 is as good
TAPPED_STRIDE = 16  # px between the cells of the tapped layers: 27 x 27 cells of 448 px
HALVES = ("mean", "factor", "directions", "own")  # float16 in a file
WORK = 2  # the map is drawn and blurred at half the image's side: the cells are 16 px apart


class MapLevels(NamedTuple):
    """What a map is compared with, in the map's own values."""

    usual: float  # what 999 of 1,000 places of normal images stay below: colour begins there
    level: float  # what a normal image's map passes anywhere with probability alpha at most
    alpha: float


def evenly(total: int, n: int) -> list[int]:
    """n of `total` positions, as even as possible, the first among them.

    Example:
        >>> evenly(16, 4)
        [0, 4, 8, 12]
    """
    return [k * total // n for k in range(whole("n", n, least=1, most=total))]


@dataclasses.dataclass(frozen=True)
class PlaceStatistics:
    """What normal images show at each place."""

    scale: Tensor  # (L,) root mean square norms of the tapped layers
    mean: Tensor  # (D, h, w)
    factor: Tensor  # (D, D), whitens with the covariance of all places: u = factor (Phi - mean)
    directions: Tensor  # (K, D), a = directions (Phi - mean): u where places differ most
    own: Tensor  # (h w, K, K), of each place: d = (|u|^2 - |a|^2 + |own a|^2) / D
    border: Tensor  # (h, w), b, at least 1
    maxima: Tensor  # (n,) largest values of the normal images' own leave-one-out maps
    usual: Tensor  # (1,) what 999 of 1,000 of all values of these maps stay below

    def levels(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> MapLevels:
        """What new maps are compared with, where alpha of normal images may pass the level.

        Args:
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
        return fields | {name: fields[name].half() for name in HALVES}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> PlaceStatistics:
        """From what `tensors` gave."""
        return cls(**{name: tensor.float() for name, tensor in tensors.items()})


def place_features(extractor: MultiScaleExtractor, images: Tensor) -> list[Tensor]:
    """Tapped activations of images (N, 3, size, size) in [0, 1]: L tensors (N, C_l, h, w) float32.

    Tapped are the first and the last activation of the trunk on its grid of 16 pixels: ReLU layers
    where there are any (AlexNet: of its third and fifth convolution), else blocks (ResNet's third
    stage). A trunk without such a grid gives its last maps. Each is averaged over 3 x 3 cells.
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


def distance_map(
    extractor: MultiScaleExtractor, statistics: PlaceStatistics, images: Tensor
) -> Tensor:
    """Maps (N, size, size) float32 of images (N, 3, size, size) in [0, 1]; see above."""
    layers = place_features(extractor, images)
    residual = joined(layers, statistics.scale.to(images)) - statistics.mean.to(images)
    flat = residual.flatten(2)  # (N, D, P)
    a = statistics.directions.to(images) @ flat  # (N, K, P)
    own = torch.einsum("pjk,nkp->njp", statistics.own.to(images), a)
    squares = (statistics.factor.to(images) @ flat).square().sum(1)
    squares = squares - a.square().sum(1) + own.square().sum(1)
    distance = squares.clamp_min(0).view(-1, *residual.shape[2:]) / residual.shape[1]
    return drawn(distance / statistics.border.to(images), extractor.size)


def drawn(distance: Tensor, size: int) -> Tensor:
    """(N, h, w) on the trunk's grid to (N, size, size): each cell drawn where it looks, blurred."""
    h = distance.shape[-1]
    out = size // WORK
    # AlexNet's cell v sees pixel 15 + 16 v in its centre: no padding at its first layer, so fewer
    # cells than size / 16; other grids are taken as centred in the image
    alexnet = 0.5 <= size / 16 - h < 2
    step = 16 if alexnet else size / h
    first = 15 if alexnet else (step - 1) / 2
    pixel = (torch.arange(out, device=distance.device) + 0.5) * size / out - 0.5
    u = (pixel - first) / step * 2 / max(h - 1, 1) - 1
    grid = torch.stack(torch.meshgrid(u, u, indexing="ij")[::-1], -1)[None]
    grid = grid.expand(distance.shape[0], -1, -1, -1)
    maps = F.grid_sample(distance[:, None], grid, padding_mode="border", align_corners=True)
    s = SIGMA * out / size
    maps = gaussian_blur(maps, [2 * int(4 * s + 0.5) + 1] * 2, [s, s])
    whole = F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)
    return whole[:, 0]


def joined(layers: Sequence[Tensor], scale: Tensor) -> Tensor:
    """Phi (N, D, h, w): the tapped layers, each divided by its norm, one below the other."""
    return torch.cat([layer / s for layer, s in zip(layers, scale, strict=True)], dim=1)
