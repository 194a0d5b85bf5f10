"""Copies among images: they break the promise of a threshold, so they are found, and said.

Copies that fall on both sides of a split make the calibration scores too low, and then new normal
images are flagged far more often than promised.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from differnet_lite.oldchecks import checked
from differnet_lite.images import ImageLike, decode, digest, in_parallel

__all__ = ["apart", "near_copies", "without_copies"]

SIDE = 64  # pixels, of a thumbnail
GREY_LEVELS = 1.5  # root mean square


@checked
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


@checked
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


@checked
def near_copies(images: Sequence[ImageLike]) -> list[int]:
    """For each image the number of its group; near copies of one another share one.

    Photographs that were stored again, resized, or taken twice of a part that did not move: as
    thumbnails of 64 x 64 pixels they differ by less than 1.5 grey levels (root mean square).
    Measured: JPEG at quality 75 and two thirds of the size move a thumbnail by 0.4 to 1.3 levels,
    and different normal images of six categories, five of them real or aligned, by 2.0 at least.

    Args:
        images: N images.

    Returns:
        N numbers. A warning says how many images have near copies.

    Example:
        >>> import numpy as np
        >>> flat = np.full((64, 64, 3), 100, np.uint8)
        >>> near_copies([flat, flat + 9, flat + 20])
        [0, 1, 2]
    """
    groups = list(range(len(images)))
    thumbnails = list(in_parallel(lambda image: decode(image, SIDE).flatten().float(), images))
    if len(thumbnails) < 2:
        return groups
    rows = torch.stack(thumbnails) / len(thumbnails[0]) ** 0.5
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    near = (distances < GREY_LEVELS).triu(1).nonzero().tolist()
    for i, j in near:  # chains of copies become one group
        low, high = sorted((groups[i], groups[j]))
        groups = [low if group == high else group for group in groups]
    n = len({k for pair in near for k in pair})
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
