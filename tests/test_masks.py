"""Masks: of their photograph's size, and marked above half of white."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from differnet_course.folders import load_mask
from differnet_lite.images import ImageError

Put = Callable[..., Path]


def test_masks_of_another_size_are_resized_by_nearest_neighbour(tmp_path: Path) -> None:
    mask = np.zeros((10, 20), np.uint8)
    mask[5:, :10] = 255
    Image.fromarray(mask).save(tmp_path / "a.png")
    expected = np.zeros((40, 40), bool)
    expected[20:, :20] = True
    np.testing.assert_array_equal(load_mask(tmp_path / "a.png", 40), expected)
    np.testing.assert_array_equal(load_mask(None, 7), np.zeros((7, 7), bool))


TRUTH = np.zeros((8, 8), bool)
TRUTH[2:4, 3:7] = True
COLOUR = TRUTH[..., None] * np.array([0, 0, 1], np.uint8)
TRANSPARENT = np.dstack([COLOUR * 255, TRUTH.astype(np.uint8) * 255])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("255.png", TRUTH.astype(np.uint8) * 255),
        ("1.png", TRUTH.astype(np.uint8)),
        ("bits.png", TRUTH),
        ("16_bit.png", TRUTH.astype(np.uint16) * 65535),
        ("16_bit_of_1.png", TRUTH.astype(np.uint16)),
        ("blue_of_1.png", COLOUR),
        ("32_bit.tif", TRUTH.astype(np.int32) * 70000),
        ("transparent.png", TRANSPARENT),
    ],
)
def test_any_value_but_zero_marks_the_defect(tmp_path: Path, name: str, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / name)
    np.testing.assert_array_equal(load_mask(tmp_path / name, 8), TRUTH)


def test_of_a_mask_with_soft_edges_above_half_is_a_defect(tmp_path: Path) -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[16:32, 16:40] = 255
    soft = Image.fromarray(truth).filter(ImageFilter.GaussianBlur(1))
    soft.save(tmp_path / "a.jpg", quality=70)
    with pytest.warns(UserWarning, match="values between black and white"):
        marked = load_mask(tmp_path / "a.jpg", 64)
    assert abs(int(marked.sum()) - 16 * 24) <= 12


def test_a_mask_has_the_size_of_its_photograph_as_it_is_turned(put: Put, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = tmp_path / "photo.jpg"
    Image.new("L", (40, 24), 100).save(photograph, exif=exif)
    values = np.zeros((40, 24), np.uint8)
    values[:4] = 255
    Image.fromarray(values).save(tmp_path / "upright.png")
    Image.fromarray(values.T).save(tmp_path / "lying.png")
    assert load_mask(tmp_path / "upright.png", 40, image=photograph)[:4].all()
    with pytest.raises(ImageError, match=r"40 x 24 pixels and its photograph.*24 x 40"):
        load_mask(tmp_path / "lying.png", 40, image=photograph)


def test_empty_and_inverted_masks_are_noted(put: Put) -> None:
    with pytest.warns(UserWarning, match="the mask marks nothing"):
        assert not load_mask(put("black.png", 0), 8).any()
    with pytest.warns(UserWarning, match="more than half of the picture; is it inverted"):
        assert load_mask(put("white.png", 255), 8).all()
