"""Masks: of their photograph's size, and marked above half of white."""

from __future__ import annotations

import warnings
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
    loaded = load_mask(tmp_path / "a.png", 40)
    assert loaded.dtype == bool
    expected = np.zeros((40, 40), bool)
    expected[20:, :20] = True
    np.testing.assert_array_equal(loaded, expected)
    assert not load_mask(None, 7).any()
    assert load_mask(None, 7).shape == (7, 7)


@pytest.mark.parametrize(
    "kind",
    ["255", "1", "bits", "palette", "16 bit", "16 bit of 1", "blue of 1", "32 bit", "transparent"],
)
def test_any_value_but_zero_marks_the_defect(tmp_path: Path, kind: str) -> None:
    truth = np.zeros((8, 8), bool)
    truth[2:4, 3:7] = True
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[truth, 2] = 1
    palette = Image.fromarray(truth.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    image = {
        "255": lambda: Image.fromarray(truth.astype(np.uint8) * 255),
        "1": lambda: Image.fromarray(truth.astype(np.uint8)),
        "bits": lambda: Image.fromarray(truth),
        "palette": lambda: palette,
        "16 bit": lambda: Image.fromarray(truth.astype(np.uint16) * 65535),
        "16 bit of 1": lambda: Image.fromarray(truth.astype(np.uint16)),
        "blue of 1": lambda: Image.fromarray(colour),
        "32 bit": lambda: Image.fromarray(truth.astype(np.int32) * 70000),
        "transparent": lambda: Image.fromarray(
            np.dstack([colour * 255, truth.astype(np.uint8) * 255])
        ),
    }[kind]()
    path = tmp_path / ("a.tif" if kind == "32 bit" else "a.png")
    image.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(load_mask(path, 8), truth)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_of_a_mask_with_soft_edges_above_half_is_a_defect(tmp_path: Path, suffix: str) -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[16:32, 16:40] = 255
    soft = Image.fromarray(truth)
    if suffix == "png":
        soft = soft.filter(ImageFilter.GaussianBlur(1))
    soft.save(tmp_path / f"a.{suffix}", quality=70)
    with pytest.warns(UserWarning, match="values between black and white"):
        marked = load_mask(tmp_path / f"a.{suffix}", 64)
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


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "1_mask.png").write_text("no image")
    with pytest.raises(ImageError, match=r"1_mask\.png"):
        load_mask(tmp_path / "1_mask.png")
