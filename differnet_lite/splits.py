"""Which normal images train a detector, and which calibrate it: by image, never by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from differnet_lite.oldchecks import checked, rate, whole
from differnet_lite.listing import DatasetError

__all__ = [
    "CALIBRATIONS",
    "SMALLEST_CALIBRATION",
    "Split",
    "cross_splits",
    "held_out_split",
    "splits",
]

CALIBRATIONS = ("cross", "split", "none")

SMALLEST_CALIBRATION = 19  # images: the fewest that can promise 5 % false alarms


class Split(NamedTuple):
    """Positions of the images that train, and of those that calibrate what was trained."""

    train: list[int]
    calibrate: list[int]


def splits(
    calibration: str, groups: Sequence[int], *, folds: int, holdout: float, seed: int
) -> list[Split]:
    """The splits of a way to calibrate: "cross", "split" or "none"; see the two functions below."""
    if calibration == "cross":
        return cross_splits(groups, folds, seed=seed)
    if calibration == "split":
        return [held_out_split(groups, holdout, seed=seed)]
    return [Split(list(range(len(groups))), [])]


@checked(share=rate)
def held_out_split(groups: Sequence[int], share: float, *, seed: int) -> Split:
    """Hold a share of the images out, at least 19 where half or more remain to train on.

    Args:
        groups: for each image the number of its group; copies of one another share one, and are
            never torn apart.
        share: of the images that calibrate.
        seed: of the choice.

    Raises:
        DatasetError: there are fewer than two groups.

    Example:
        >>> [len(part) for part in held_out_split(range(200), 0.2, seed=0)]
        [160, 40]
    """
    members, n = _shuffled(groups, seed), len(groups)
    wanted = min(max(SMALLEST_CALIBRATION, round(share * n)), n // 2)
    held_out: list[int] = []
    for group in members[:-1]:
        if len(held_out) < max(wanted, 1):
            held_out += group
    return Split(sorted(set(range(n)) - set(held_out)), sorted(held_out))


@checked(folds=whole(2))
def cross_splits(groups: Sequence[int], folds: int, *, seed: int) -> list[Split]:
    """All images train the first detector; each of the others trains on all but one fold.

    Every image lies in one fold, and is scored by the detector that did not see that fold. New
    images are scored by the mean of the fold detectors (DifferNet), which is as good at the rate
    that was asked for, or by the first (the baselines), which has seen more than they have: its
    scores of new normals are lower, and then fewer are flagged than was asked for (notebook 06).

    Args:
        groups: as in `held_out_split`.
        folds: K; fewer where there are fewer groups.
        seed: of the folds.

    Returns:
        K + 1 splits; the first has nothing to calibrate.

    Raises:
        DatasetError: there are fewer than two groups.

    Example:
        >>> [len(split.calibrate) for split in cross_splits(range(12), 5, seed=0)]
        [0, 3, 3, 2, 2, 2]
    """
    members, n = _shuffled(groups, seed), len(groups)
    parts: list[list[int]] = [[] for _ in range(min(folds, len(members)))]
    for group in sorted(members, key=len, reverse=True):  # large groups first, to even out
        min(parts, key=len).extend(group)
    everyone = set(range(n))
    cross = [Split(sorted(everyone - set(part)), sorted(part)) for part in parts]
    return [Split(list(range(n)), []), *cross]


def _shuffled(groups: Sequence[int], seed: int) -> list[list[int]]:
    """The images of each group, the groups in an order drawn from the seed."""
    found: dict[int, list[int]] = {}
    for image, group in enumerate(groups):
        found.setdefault(group, []).append(image)
    if len(found) < 2:
        raise DatasetError(
            "expected at least 2 different normal images, one to train on and one to calibrate "
            f"the threshold with, got {len(found)}; add images, or pass calibration='none' to "
            "train without a threshold"
        )
    members = list(found.values())
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed)).tolist()
    return [members[i] for i in order]
