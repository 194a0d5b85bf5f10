"""Which normal images train a detector, and which calibrate it: by image, never by view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

__all__ = ["CALIBRATIONS", "SMALLEST_CALIBRATION", "Split", "cross_splits", "held_out_split"]
__all__ += ["splits"]

CALIBRATIONS = ("cross", "split", "none")
SMALLEST_CALIBRATION = 19  # images: the fewest that can promise 5 % false alarms


class Split(NamedTuple):
    """Positions of the images that train, and of those that calibrate what was trained."""

    train: list[int]
    calibrate: list[int]


def splits(
    calibration: str, groups: Sequence[int], *, folds: int, holdout: float, seed: int
) -> list[Split]:
    """The splits of a way to calibrate: "cross" or "split" (see below), or "none"."""
    if calibration == "none":
        return [Split(list(range(len(groups))), [])]
    if calibration == "cross":
        ways = cross_splits(groups, folds, seed=seed)
    else:
        ways = [held_out_split(groups, holdout, seed=seed)]
    if not any(way.calibrate for way in ways):
        raise ValueError(
            f"all or most of {len(groups)} images are of one group (copies, or by groups), so none "
            "can calibrate; take images of more parts, or calibration='none' for scores alone"
        )
    return ways


def held_out_split(groups: Sequence[int], share: float, *, seed: int) -> Split:
    """Hold a share of the images out, at least 19 where half or more remain to train on.

    Args:
        groups: for each image the number of its group; groups are never torn apart. At least half
            of the images train: a group that is too large for the other half trains.
        share: of the images that calibrate.

    Example:
        >>> [len(part) for part in held_out_split(range(200), 0.2, seed=0)]
        [160, 40]
    """
    n = len(groups)
    most = n // 2
    wanted = min(max(SMALLEST_CALIBRATION, round(share * n)), most)
    held_out: list[int] = []
    for members in _shuffled(groups, seed):
        if len(held_out) < wanted and len(held_out) + len(members) <= most:
            held_out += members
    return Split(sorted(set(range(n)) - set(held_out)), sorted(held_out))


def cross_splits(groups: Sequence[int], folds: int, *, seed: int) -> list[Split]:
    """All images train the first detector; each of the others trains on all but one fold.

    Every image is scored by the detector that did not see its fold. New images are scored by the
    mean of the fold detectors (DifferNet), which keeps the rate that was asked for; or by the
    first (the baselines), whose scores of new normals are lower, as it has seen more (notebook 06).

    Args:
        groups: as in `held_out_split`. A group of more than half of the images always trains.
        folds: K; fewer where there are fewer groups, more where a fold would else hold more than
            half of the images.

    Returns:
        K + 1 splits; the first has nothing to calibrate. Only the first, if all images are of one
        group.

    Example:
        >>> [len(split.calibrate) for split in cross_splits(range(12), 5, seed=0)]
        [0, 3, 3, 2, 2, 2]
    """
    n = len(groups)
    members = [group for group in _shuffled(groups, seed) if 2 * len(group) <= n]
    members.sort(key=len, reverse=True)  # large groups first, to even out
    parts: list[list[int]] = []
    for n_parts in range(min(folds, len(members)), len(members) + 1):
        parts = [[] for _ in range(n_parts)]
        for group in members:
            min(parts, key=len).extend(group)
        if all(2 * len(part) <= n for part in parts):
            break
    everyone = set(range(n))
    cross = [Split(sorted(everyone - set(part)), sorted(part)) for part in parts]
    return [Split(list(range(n)), []), *cross]


def _shuffled(groups: Sequence[int], seed: int) -> list[list[int]]:
    """The images of each group, the groups in an order drawn from the seed."""
    members: dict[int, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(group, []).append(image)
    order = torch.randperm(len(members), generator=torch.Generator().manual_seed(seed)).tolist()
    in_order = list(members.values())
    return [in_order[i] for i in order]
