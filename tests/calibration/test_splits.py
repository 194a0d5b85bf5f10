"""Which images calibrate: how many, which, and that no image does both."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_lite.listing import DatasetError
from differnet_lite.splits import (
    SMALLEST_CALIBRATION,
    cross_splits,
    held_out_split,
    splits,
)
from differnet_lite.thresholds import conformal_threshold


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [
        (2, 0.2, 1),
        (3, 0.9, 1),
        (12, 0.2, 6),
        (37, 0.2, 18),
        (38, 0.01, 19),
        (40, 0.2, 19),
        (100, 0.2, 20),
        (200, 0.3, 60),
        (200, 0.9, 100),
    ],
)
def test_how_many_images_are_held_out(n: int, share: float, expected: int) -> None:
    train, calibrate = held_out_split(range(n), share, seed=0)
    assert len(calibrate) == expected
    assert sorted(train + calibrate) == list(range(n))
    assert train == sorted(train) and calibrate == sorted(calibrate)


@pytest.mark.usefixtures("untouched_generators")
def test_the_choice_is_a_function_of_the_seed_and_favours_no_image() -> None:
    assert held_out_split(range(40), 0.5, seed=3) == held_out_split(range(40), 0.5, seed=3)
    chosen = [held_out_split(range(40), 0.5, seed=seed).calibrate for seed in range(200)]
    assert len({tuple(c) for c in chosen}) == 200
    counts = np.bincount(np.concatenate(chosen), minlength=40)
    assert np.abs(counts - 100).max() < 4.5 * np.sqrt(200 / 4)


def test_the_smallest_calibration_can_promise_five_percent() -> None:
    assert conformal_threshold(range(SMALLEST_CALIBRATION), 0.05).guaranteed == 0.05


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_cannot_do_both(n: int) -> None:
    message = (
        rf"at least 2 different normal images.*got {n}; add images, or pass calibration='none'"
    )
    with pytest.raises(DatasetError, match=message):
        held_out_split(range(n), 0.2, seed=0)
    with pytest.raises(DatasetError, match=message):
        cross_splits(range(n), 5, seed=0)


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (3, 3), (5, 5), (48, 5), (209, 5)])
def test_cross_fitting_scores_each_image_once_by_one_that_never_saw_it(n: int, folds: int) -> None:
    first, *others = cross_splits(range(n), 5, seed=1)
    assert first == (list(range(n)), [])
    assert len(others) == folds
    assert sorted(i for split in others for i in split.calibrate) == list(range(n))
    for split in others:
        assert sorted(split.train + split.calibrate) == list(range(n))
    sizes = [len(split.calibrate) for split in others]
    assert max(sizes) - min(sizes) <= 1
    assert cross_splits(range(n), 5, seed=1)[1:] == others


def test_copies_are_never_torn_apart() -> None:
    groups = [k // 2 for k in range(40)]  # each image twice
    for seed in range(20):
        for split in (*cross_splits(groups, 5, seed=seed), held_out_split(groups, 0.2, seed=seed)):
            both = {groups[i] for i in split.train} & {groups[i] for i in split.calibrate}
            assert not both
    assert len(held_out_split(groups, 0.2, seed=0).calibrate) == 20  # 19, and the last one's twin


def test_splits_by_name() -> None:
    common = {"folds": 5, "holdout": 0.2, "seed": 3}
    assert splits("none", range(7), **common) == [(list(range(7)), [])]
    assert splits("split", range(60), **common) == [held_out_split(range(60), 0.2, seed=3)]
    assert splits("cross", range(60), **common) == cross_splits(range(60), 5, seed=3)
