"""Which images calibrate: how many, which, and that no image does both."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_lite.calibration.splits import SMALLEST_CALIBRATION, held_out_split
from differnet_lite.calibration.thresholding import conformal_threshold
from differnet_lite.data.listing import DatasetError


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
        (9, 0.0, 0),
        (1, 0.0, 0),
    ],
)
def test_how_many_images_are_held_out(n: int, share: float, expected: int) -> None:
    train, calibrate = held_out_split(n, share, seed=0)
    assert len(calibrate) == expected
    assert sorted(train + calibrate) == list(range(n))
    assert train == sorted(train) and calibrate == sorted(calibrate)


@pytest.mark.usefixtures("untouched_generators")
def test_the_choice_is_a_function_of_the_seed_and_favours_no_image() -> None:
    assert held_out_split(40, 0.5, seed=3) == held_out_split(40, 0.5, seed=3)
    chosen = [held_out_split(40, 0.5, seed=seed).calibrate for seed in range(200)]
    assert len({tuple(c) for c in chosen}) == 200
    counts = np.bincount(np.concatenate(chosen), minlength=40)
    assert np.abs(counts - 100).max() < 4.5 * np.sqrt(200 / 4)


def test_the_smallest_calibration_can_promise_five_percent() -> None:
    assert conformal_threshold(range(SMALLEST_CALIBRATION), 0.05).guaranteed == 0.05


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_cannot_do_both(n: int) -> None:
    message = rf"at least 2 normal images.*got {n}; add images, or pass holdout=0"
    with pytest.raises(DatasetError, match=message):
        held_out_split(n, 0.2, seed=0)
