"""Copies among images: they break the promise of a threshold, so they are found, and said.

Copies that fall on both sides of a split make the calibration scores too low, and then new normal
images are flagged far more often than promised.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from differnet_lite.data.images import ImageLike, digest, in_parallel

__all__ = ["apart", "near_copies", "without_copies"]

NEAR = 0.1  # of the median distance between nearest neighbours


def without_copies(images: Sequence[ImageLike]) -> list[ImageLike]:
    """Each content once, and a warning if there were copies.

    Of files with the same bytes the one of the shortest name stays, at the place of the first.
    """
    chosen: dict[str, ImageLike] = {}
    for image, name in zip(images, in_parallel(digest, images), strict=True):
        if name not in chosen or len(_name(image)) < len(_name(chosen[name])):
            chosen[name] = image
    n = len(images) - len(chosen)
    if n:
        warnings.warn(
            f"{n} of {len(images)} normal images have the same content as another; each content "
            f"counts once, so {len(chosen)} are used",
            stacklevel=3,
        )
    return list(chosen.values())


def apart(images: Sequence[ImageLike], others: Sequence[ImageLike]) -> list[ImageLike]:
    """The images whose content is not among the others, and a warning if there were such."""
    known = set(in_parallel(digest, others))
    found = [
        x for x, name in zip(images, in_parallel(digest, images), strict=True) if name not in known
    ]
    if len(found) < len(images):
        warnings.warn(
            f"{len(images) - len(found)} of {len(images)} calibration images are also among the "
            "training images; they cannot calibrate and are left out",
            stacklevel=3,
        )
    return found


def near_copies(features: Tensor) -> list[int]:
    """For each image the number of its group; images whose features hardly differ share one.

    Photographs that were stored again, resized or taken twice of a part that did not move are near
    copies: their distance is less than a tenth of the median distance of nearest neighbours.

    Args:
        features: (N, T, D).

    Returns:
        N numbers. A warning says how many images have near copies.

    Example:
        >>> y = torch.eye(5)[:, None].repeat(1, 2, 1)
        >>> near_copies(torch.cat([y, y[:1] + 1e-4]))
        [0, 1, 2, 3, 4, 0]
    """
    rows = features.double().mean(1)
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    groups = list(range(len(rows)))
    if len(rows) < 3:
        return groups
    nearest = distances.min(1).values
    near = (distances < NEAR * nearest.median()).nonzero().tolist()
    for i, j in near:  # chains of copies become one group
        low, high = sorted((groups[i], groups[j]))
        groups = [low if group == high else group for group in groups]
    n = len({i for i, _ in near})
    if n:
        warnings.warn(
            f"{n} of {len(rows)} normal images are near copies of another (stored again, resized, "
            "or taken twice); they stay on one side of every split, but a threshold promises its "
            "false-alarm rate for new parts only as far as the images are of different parts",
            stacklevel=3,
        )
    return groups


def _name(image: ImageLike) -> str:
    return Path(image).name if isinstance(image, str | Path) else ""
