"""How the views of images are made: rotated, zoomed, shifted, and drawn back."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from differnet_lite.oldchecks import checked, one_of
from differnet_lite.transforms.views import Fill, Transformations, View

__all__ = ["iter_resampled", "iter_views", "jitter", "rotate", "turn_back"]


@checked(fill=one_of("reflection", "black"), interpolation=one_of("bilinear", "nearest"))
def rotate(
    images: Tensor,
    angles: float | Tensor,
    *,
    fill: Fill = "reflection",
    interpolation: str = "bilinear",
) -> Tensor:
    """Rotate square images about their centre, counter-clockwise.

    Every rotation is a quarter turn of a rotation by less than 90 degrees. Quarter turns only move
    pixels, so they are exact, and who needs several views 90 degrees apart resamples once.

    Args:
        images: (N, C, H, H), float.
        angles: degrees; one for all, or a tensor (N,) with one for each image.
        fill: "reflection" mirrors the image at its border; "black" fills with 0.
        interpolation: "bilinear" or "nearest".

    Returns:
        (N, C, H, H), the rotated images.

    Raises:
        ValueError: if the images are not square.
    """
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images: expected square images (N, C, H, H), got {tuple(images.shape)}")
    if isinstance(angles, Tensor):
        turns = torch.div(angles.detach().cpu().double(), 90, rounding_mode="floor")
        rest = angles.detach().cpu().double() - 90 * turns
        moved = (rest != 0).to(images.device)[:, None, None, None]
        resampled = (
            torch.where(moved, _resample(images, rest, fill, interpolation), images)
            if rest.any()
            else images
        )
        return torch.stack(
            [torch.rot90(x, int(k) % 4, (1, 2)) for x, k in zip(resampled, turns, strict=True)]
        )
    turn, remainder = divmod(float(angles), 90.0)
    if remainder:
        images = _resample(
            images, torch.tensor([remainder], dtype=torch.float64), fill, interpolation
        )
    return torch.rot90(images, int(turn) % 4, (2, 3)) if int(turn) % 4 else images


def iter_resampled(
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
    fill, interpolation = transformations.fill, transformations.interpolation
    for view, served in shared.items():
        if (view.rest, view.zoom, *view.shift) == (0, 1, 0, 0):
            yield images, served
            continue
        degrees = torch.tensor([view.rest], dtype=torch.float64)
        yield _resample(images, degrees, fill, interpolation, view.zoom, view.shift), served


def iter_views(
    images: Tensor,
    angles: Sequence[float],
    transformations: Transformations,
    *,
    only: Collection[int] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """The view at each angle; angles a quarter turn apart share one resampling.

    Args:
        images, angles, transformations, only: as in `iter_resampled`.

    Yields:
        The position of an angle in `angles` and its views (N, C, H, H); every position once, in any
        order.

    Example:
        >>> [t for t, _ in iter_views(torch.zeros(1, 3, 8, 8), (0, 45, 90, 135), Transformations())]
        [0, 2, 1, 3]
    """
    for resampled, views in iter_resampled(images, angles, transformations, only=only):
        for t, turns in views:
            yield t, torch.rot90(resampled, turns, (2, 3)) if turns else resampled


def turn_back(maps: Tensor, view: View, *, fill: Fill = "reflection") -> Tensor:
    """What was drawn over a view, (N, C, H, H), in the pose of the image: its way back."""
    maps = torch.rot90(maps, -view.turns % 4, (2, 3)) if view.turns else maps
    if (view.rest, view.zoom, *view.shift) == (0, 1, 0, 0):
        return maps
    cos, sin = (f(math.radians(view.rest)) * view.zoom for f in (math.cos, math.sin))
    x, y = (2 * d for d in view.shift)  # a view's place p shows the image's R p / zoom - (x, y)
    back = torch.tensor(
        [[cos, sin, cos * x + sin * y], [-sin, cos, cos * y - sin * x]], dtype=torch.float64
    )
    return _sample(maps, back[None], fill)


def _resample(
    images: Tensor,
    degrees: Tensor,
    fill: str,
    interpolation: str,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Rotate, zoom and shift by interpolation: (N, C, H, H) by (N,) degrees, or (1,) for all."""
    radians = torch.deg2rad(degrees)
    cos, sin = radians.cos() / zoom, radians.sin() / zoom
    x, y = (torch.full_like(cos, -2 * d) for d in shift)  # -1 to 1 over the image
    # affine_grid maps output to input positions, y downwards: the inverse of what is wanted
    matrices = torch.stack([torch.stack([cos, -sin, x], -1), torch.stack([sin, cos, y], -1)], 1)
    return _sample(images, matrices, fill, interpolation)


def _sample(images: Tensor, matrices: Tensor, fill: str, mode: str = "bilinear") -> Tensor:
    """Images (N, C, H, H) at the places that affine matrices (N or 1, 2, 3) name."""
    shape = [len(matrices), *images.shape[1:]]
    grid = F.affine_grid(matrices.to(images), shape, align_corners=False)
    padding = {"reflection": "reflection", "black": "zeros"}[fill]
    grid = grid.expand(len(images), -1, -1, -1)
    return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)


def jitter(images: Tensor, transformations: Transformations, generator: torch.Generator) -> Tensor:
    """Vary the brightness, then the contrast, of images in [0, 1], each by factors of its own.

    Args:
        images: (N, 3, H, W) in [0, 1].
        transformations: gives the two ranges; with both 0 the images come back as they are.
        generator: a CPU generator.

    Returns:
        (N, 3, H, W), clipped to [0, 1].
    """
    if not transformations.jitters:
        return images
    factors = (2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1).to(images)
    images = (images * (1 + transformations.brightness * factors[0])).clamp(0, 1)
    grey = images.mean((1, 2, 3), keepdim=True)
    return ((images - grey) * (1 + transformations.contrast * factors[1]) + grey).clamp(0, 1)
