"""The transformations T of an image: in-plane rotations and, if wanted, brightness and contrast.

They are part of the model: a score is an expectation over them, and what they cover is what the
model calls normal. Rotate a part that lies in any pose; do not rotate one whose pose matters, or a
turned label will look normal (`Transformations.none`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from differnet_lite.checks import check_fields, one_of, real, reals, whole

__all__ = ["Transformations", "iter_resampled", "iter_views", "jitter", "rotate"]

Fill = Literal["reflection", "black"]


def _angles(name: str, value: object) -> tuple[float, ...] | None:
    return None if value is None else reals(real())(name, value)


_RULES = {
    "angles": _angles,
    "n_train": whole(1),
    "n_test": whole(1),
    "max_angle": real(0, 180),
    "fill": one_of("reflection", "black"),
    "interpolation": one_of("bilinear", "nearest"),
    "brightness": real(0, below=1),
    "contrast": real(0, below=1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformations:
    """Which views of an image are taken, in training and in scoring.

    Either `angles` names a fixed grid, the same in training and in scoring, or it is None and
    angles are drawn uniformly from [-max_angle, max_angle]: `n_train` fresh ones for every image
    in every epoch, and `n_test` for scoring, drawn once from the seed (so that the score of an
    image does not depend on the company it is scored in).

    Args:
        angles: fixed angles in degrees, counter-clockwise; None for random ones.
        n_train: random views of an image per epoch. Unused with a grid.
        n_test: random views of an image when scoring. Unused with a grid.
        max_angle: half-width of the range that random angles are drawn from, degrees.
        fill: what the corners of a rotated square show. "reflection" mirrors the image at its
            border. "black" is the published protocol, and harmful: see notebook 03.
        interpolation: "bilinear", or "nearest" as in the published protocol.
        brightness: the image is multiplied by a factor from [1 - brightness, 1 + brightness].
        contrast: its distance from its mean grey by one from [1 - contrast, 1 + contrast].

    Example:
        >>> Transformations.grid(4).angles
        (0.0, 90.0, 180.0, 270.0)
        >>> Transformations.none().angles
        (0.0,)
    """

    angles: tuple[float, ...] | None = None
    n_train: int = 4
    n_test: int = 64
    max_angle: float = 180.0
    fill: Fill = "reflection"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, _RULES)

    @classmethod
    def grid(cls, n: int = 16, **settings: object) -> Transformations:
        """`n` angles evenly over the full circle, from 0."""
        angles = tuple(360.0 * k / n for k in range(n))
        return cls(angles=angles, **settings)  # type: ignore[arg-type]

    @classmethod
    def none(cls) -> Transformations:
        """The image as it is, for products that must not be rotated."""
        return cls(angles=(0.0,))

    @property
    def jitters(self) -> bool:
        """Whether brightness or contrast is varied."""
        return self.brightness > 0 or self.contrast > 0

    def test_angles(self, seed: int = 0) -> tuple[float, ...]:
        """The angles used for scoring, in degrees; random ones are a function of `seed` alone."""
        if self.angles is not None:
            return self.angles
        generator = torch.Generator().manual_seed(seed)
        return tuple(self.draw_angles(self.n_test, generator).tolist())

    def draw_angles(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` angles in degrees, uniform over [-max_angle, max_angle], shape (n,)."""
        return (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1) * self.max_angle


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
    images: Tensor, angles: Sequence[float], transformations: Transformations
) -> Iterator[tuple[Tensor, list[tuple[int, int]]]]:
    """Images rotated by less than 90 degrees, each with the views that are quarter turns of them.

    Args:
        images: (N, C, H, H), float.
        angles: T angles in degrees, the same for all images.
        transformations: gives the fill and the interpolation.

    Yields:
        The resampled images (N, C, H, H), and for each angle that they serve its position in
        `angles` and its quarter turns.
    """
    by_rest: dict[float, list[tuple[int, int]]] = {}
    for t, angle in enumerate(angles):
        turns, rest = divmod(float(angle), 90.0)
        by_rest.setdefault(rest, []).append((t, int(turns) % 4))
    for rest, views in by_rest.items():
        yield (
            rotate(
                images, rest, fill=transformations.fill, interpolation=transformations.interpolation
            ),
            views,
        )


def iter_views(
    images: Tensor, angles: Sequence[float], transformations: Transformations
) -> Iterator[tuple[int, Tensor]]:
    """The rotated images for each angle; angles a quarter turn apart share one resampling.

    Args:
        images, angles, transformations: as in `iter_resampled`.

    Yields:
        The position of an angle in `angles` and its views (N, C, H, H); every position once, in any
        order.

    Example:
        >>> [t for t, _ in iter_views(torch.zeros(1, 3, 8, 8), (0, 45, 90, 135), Transformations())]
        [0, 2, 1, 3]
    """
    for resampled, views in iter_resampled(images, angles, transformations):
        for t, turns in views:
            yield t, torch.rot90(resampled, turns, (2, 3)) if turns else resampled


def _resample(images: Tensor, degrees: Tensor, fill: str, interpolation: str) -> Tensor:
    """Rotate by interpolation: (N, C, H, H) by (N,) degrees, or (1,) for all."""
    radians = torch.deg2rad(degrees)
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    # affine_grid maps output to input positions, y downwards: the inverse of the turn wanted
    matrices = torch.stack(
        [torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1
    )  # (N or 1, 2, 3)
    grid = F.affine_grid(
        matrices.to(images), [len(degrees), *images.shape[1:]], align_corners=False
    ).expand(len(images), -1, -1, -1)
    padding = {"reflection": "reflection", "black": "zeros"}[fill]
    return F.grid_sample(
        images, grid, mode=interpolation, padding_mode=padding, align_corners=False
    )


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
