"""Which normal images train a detector, and which calibrate it: by image, never by view."""

from __future__ import annotations

from typing import NamedTuple

import torch

from differnet_lite.data.listing import DatasetError

__all__ = ["SMALLEST_CALIBRATION", "Split", "held_out_split"]

SMALLEST_CALIBRATION = 19  # images: the fewest that can promise 5 % false alarms


class Split(NamedTuple):
    """Positions of the images that train, and of those that calibrate what was trained."""

    train: list[int]
    calibrate: list[int]


def held_out_split(n: int, share: float, *, seed: int) -> Split:
    """Hold a share of n images out, at least 19 where half or more remain to train on.

    Args:
        n: number of images.
        share: of the images that calibrate; 0 holds none out.
        seed: of the choice.

    Raises:
        DatasetError: there are fewer than two.

    Example:
        >>> [len(part) for part in held_out_split(200, 0.2, seed=0)]
        [160, 40]
    """
    if share == 0:
        return Split(list(range(n)), [])
    if n < 2:
        raise DatasetError(
            "expected at least 2 normal images, one to train on and one to calibrate the "
            f"threshold with, got {n}; add images, or pass holdout=0 to train without"
        )
    n_held_out = min(max(SMALLEST_CALIBRATION, round(share * n)), n // 2)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    return Split(sorted(order[n_held_out:]), sorted(order[:n_held_out]))
