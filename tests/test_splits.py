"""Which images calibrate: how many, which, and that no image does both."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_lite.splits import cross_splits, held_out_split, splits

GROUPS = {
    "single images": list(range(40)),
    "pairs": [k // 2 for k in range(40)],
    "uneven": [0] * 13 + [1] * 6 + list(range(2, 23)),
    "two large ones": [0] * 20 + [1] * 20,
    "one of more than half": [0] * 25 + [k // 3 for k in range(3, 18)],
    "three": [0, 1, 2],
}


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [(2, 0.2, 1), (3, 0.9, 1), (12, 0.2, 6), (38, 0.01, 19), (100, 0.2, 20), (200, 0.9, 100)],
)
def test_how_many_images_are_held_out(n: int, share: float, expected: int) -> None:
    train, calibrate = held_out_split(range(n), share, seed=0)
    assert len(calibrate) == expected
    assert sorted(train + calibrate) == list(range(n))


@pytest.mark.usefixtures("untouched_generators")
def test_the_choice_is_a_function_of_the_seed_and_favours_no_image() -> None:
    assert held_out_split(range(40), 0.5, seed=3) == held_out_split(range(40), 0.5, seed=3)
    chosen = [held_out_split(range(40), 0.5, seed=seed).calibrate for seed in range(200)]
    assert len({tuple(c) for c in chosen}) == 200
    counts = np.bincount(np.concatenate(chosen), minlength=40)
    assert np.abs(counts - 100).max() < 4.5 * np.sqrt(200 / 4)
    assert cross_splits(range(40), 5, seed=1) == cross_splits(range(40), 5, seed=1)
    assert cross_splits(range(40), 5, seed=1) != cross_splits(range(40), 5, seed=2)


@pytest.mark.parametrize(("n", "folds"), [(2, 2), (3, 3), (48, 5)])
def test_cross_fitting_scores_each_image_once_by_one_that_never_saw_it(n: int, folds: int) -> None:
    first, *others = cross_splits(range(n), 5, seed=1)
    assert first == (list(range(n)), [])
    assert len(others) == folds
    assert sorted(i for split in others for i in split.calibrate) == list(range(n))
    assert all(sorted(split.train + split.calibrate) == list(range(n)) for split in others)
    sizes = [len(split.calibrate) for split in others]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("folds", [2, 5])
def test_groups_stay_whole_and_half_of_the_images_train(name: str, folds: int) -> None:
    groups = GROUPS[name]
    n = len(groups)
    for seed in range(10):
        cross = cross_splits(groups, folds, seed=seed)[1:]
        for split in [*cross, held_out_split(groups, 0.4, seed=seed)]:
            assert not {groups[i] for i in split.train} & {groups[i] for i in split.calibrate}
            assert sorted(split.train + split.calibrate) == list(range(n))
            assert 2 * len(split.train) >= n
            assert split.calibrate
        calibrating = sorted(i for split in cross for i in split.calibrate)
        sizes = np.bincount(groups)
        assert calibrating == [i for i in range(n) if 2 * sizes[groups[i]] <= n]


def test_images_of_one_group_calibrate_nothing() -> None:
    everyone = (list(range(6)), [])
    assert cross_splits([3] * 6, 5, seed=0) == [everyone]
    assert held_out_split([3] * 6, 0.2, seed=0) == everyone
    for way in ("cross", "split"):
        with pytest.raises(ValueError, match=r"6 images are of one group .*take images of more"):
            splits(way, [3] * 6, folds=5, holdout=0.2, seed=0)
