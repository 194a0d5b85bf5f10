"""How the views of images are made: rotated, zoomed, shifted, and drawn back."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from differnet_lite.transforms import PADDING, Fill, Transformations, View

__all__ = ["iter_views", "jitter", "rotate", "shared_views", "turn_back"]


def rotate(
    images: Tensor,
    angles: float | Tensor,
    *,
    fill: Fill = "reflection",
    interpolation: str = "bilinear",
) -> Tensor:
    """Rotate square images about their centre, counter-clockwise.

    Every rotation is a quarter turn of a rotation by less than 90 degrees. Quarter turns only move
    pixels, so they are exact.

    Args:
        images: (N, C, H, H), float.
        angles: degrees; one for all, or a tensor (N,) with one for each image.
        fill, interpolation: see `Transformations`.

    Raises:
        ValueError: the images are not square.
    """
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images: expected square images (N, C, H, H), got {tuple(images.shape)}")
    degrees = torch.as_tensor(angles, dtype=torch.float64, device="cpu").reshape(-1)
    turns = torch.div(degrees, 90, rounding_mode="floor")
    rest = degrees - 90 * turns
    if rest.any():
        images = _resample(images, rest, fill, interpolation)
    if len(turns) == 1:
        return torch.rot90(images, int(turns) % 4, (2, 3))
    turned = [torch.rot90(x, int(k) % 4, (1, 2)) for x, k in zip(images, turns, strict=True)]
    return torch.stack(turned)


def shared_views(
    images: Tensor,
    angles: Sequence[float],
    transformations: Transformations,
    *,
    only: Collection[int] | None = None,
) -> Iterator[tuple[Tensor, list[tuple[int, int]]]]:
    """Resampled images, each with the views that are quarter turns of them.

    Args:
        images: (N, C, H, H), float.
        angles: T angles in degrees, the same for all images.
        transformations: give fill, interpolation, zoom and shift.
        only: positions in `angles` that are wanted; None wants all.

    Yields:
        The resampled images (N, C, H, H), and for each angle that they serve its position in
        `angles` and its quarter turns.
    """
    shared: dict[View, list[tuple[int, int]]] = {}
    for t, view in enumerate(transformations.views(angles)):
        if only is None or t in only:
            shared.setdefault(view._replace(turns=0), []).append((t, view.turns))
    fill = transformations.fill
    interpolation = transformations.interpolation
    for view, turns in shared.items():
        if view.resamples:
            rest = torch.tensor([view.rest], dtype=torch.float64)
            yield _resample(images, rest, fill, interpolation, view.zoom, view.shift), turns
        else:
            yield images, turns


def iter_views(
    images: Tensor,
    angles: Sequence[float],
    transformations: Transformations,
    *,
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """The position of each angle and its views (N, C, H, H), in any order; see `shared_views`.

    Example:
        >>> [t for t, _ in iter_views(torch.zeros(1, 3, 8, 8), (0, 45, 90, 135), Transformations())]
        [0, 2, 1, 3]
    """
    for resampled, views in shared_views(images, angles, transformations, only=only):
        for t, turns in views:
            yield t, torch.rot90(resampled, turns, (2, 3))


def turn_back(maps: Tensor, view: View, *, fill: Fill = "reflection") -> Tensor:
    """What was drawn over a view, (N, C, H, H), in the pose of the image: its way back."""
    maps = torch.rot90(maps, -view.turns % 4, (2, 3))
    if not view.resamples:
        return maps
    cos = math.cos(math.radians(view.rest)) * view.zoom
    sin = math.sin(math.radians(view.rest)) * view.zoom
    # position p of the view shows the image's R p / zoom - (x, y)
    x, y = (2 * d for d in view.shift)
    rows = [[cos, sin, cos * x + sin * y], [-sin, cos, cos * y - sin * x]]
    return _sample(maps, torch.tensor([rows], dtype=torch.float64), fill)


def jitter(
    images: Tensor, transformations: Transformations, generator: torch.Generator | None
) -> Tensor:
    """Vary the brightness, then the contrast, of images in [0, 1], by factors for each image.

    Args:
        images: (N, 3, H, W) in [0, 1]; so are the results.
        transformations: gives the two ranges.
        generator: a CPU generator; not needed where nothing is varied.
    """
    if not transformations.jitters:
        return images
    if generator is None:
        raise ValueError("the transformations jitter: pass a torch.Generator")
    factors = (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1).to(images)
    images = (images * (1 + transformations.brightness * factors[0])).clamp(0, 1)
    grey = images.mean((1, 2, 3), keepdim=True)
    return ((images - grey) * (1 + transformations.contrast * factors[1]) + grey).clamp(0, 1)


def _resample(
    images: Tensor,
    degrees: Tensor,
    fill: Fill,
    interpolation: str,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Rotate, zoom and shift by interpolation: (N, C, H, H) by (N,) degrees, or (1,) for all."""
    radians = torch.deg2rad(degrees)
    cos = radians.cos() / zoom
    sin = radians.sin() / zoom
    x, y = (torch.full_like(cos, -2 * d) for d in shift)  # -1 to 1 over the image
    # `affine_grid` maps output to input positions, y downwards: the inverse of what is wanted
    matrices = torch.stack([torch.stack([cos, -sin, x], -1), torch.stack([sin, cos, y], -1)], 1)
    return _sample(images, matrices, fill, interpolation)


def _sample(images: Tensor, matrices: Tensor, fill: Fill, mode: str = "bilinear") -> Tensor:
    """Images (N, C, H, H) at the positions that affine matrices (N or 1, 2, 3) name."""
    shape = [len(matrices), *images.shape[1:]]
    grid = F.affine_grid(matrices.to(images), shape, align_corners=False)
    grid = grid.expand(images.shape[0], -1, -1, -1)  # `len` would fix it in an export
    padding = PADDING[fill]
    return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)
