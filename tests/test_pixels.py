"""Values of every kind and depth become 8-bit RGB as documented."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite.images import ImageError, as_rgb, decode
from differnet_lite.shown import survey, white_in

Picture = Callable[..., np.ndarray]


def grey_levels(path: Path) -> np.ndarray:
    array = np.asarray(as_rgb(path))
    assert (array == array[..., :1]).all(), "a grey image has three equal channels"
    return array[..., 0]


def test_grey_and_one_bit_images(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(grey_levels(tmp_path / "grey.png"), levels)
    Image.fromarray(levels > 99).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(grey_levels(tmp_path / "bits.png"), 255 * (levels > 99))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (3, 1), 0)
    colour = (100,) if mode == "LA" else (100, 100, 100)
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (*colour, alpha))
    image.save(tmp_path / "a.png")
    expected = [255 + (100 - 255) * alpha / 255 for alpha in (0, 128, 255)]
    np.testing.assert_allclose(grey_levels(tmp_path / "a.png")[0], expected, atol=1)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_images_are_divided_by_257(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 128 * 257], [65535, 300, 40000]], dtype=np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(grey_levels(path), np.rint(values / 257))


@pytest.mark.parametrize(
    ("values", "grey", "message"),
    [
        (np.array([[0, 65535], [257, 514]], np.int32), [[0, 255], [1, 2]], r"values in 0\.\.65535"),
        (np.array([[0, 0.5], [0.2, 1]], np.float32), [[0, 128], [51, 255]], r"values in \[0, 1\]"),
    ],
)
def test_tiff_files_of_32_bits(
    tmp_path: Path, values: np.ndarray, grey: list[list[int]], message: str
) -> None:
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(grey_levels(tmp_path / "a.tif"), grey)
    Image.fromarray(values + 1).save(tmp_path / "b.tif")
    with pytest.raises(ImageError, match=rf"b\.tif: expected .*{message}"):
        as_rgb(tmp_path / "b.tif")


def test_arrays_and_tensors_of_all_kinds_agree(picture: Picture) -> None:
    array = picture(0, 16)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    deep = array.astype(np.uint16) * 257
    for same in (array, array / 255.0, deep, tensor, tensor / 255, Image.fromarray(array)):
        np.testing.assert_array_equal(np.asarray(as_rgb(same)), array)
    grey = array[..., 0]
    for same in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None]):
        np.testing.assert_array_equal(np.asarray(as_rgb(same)), np.repeat(grey[..., None], 3, 2))
    np.testing.assert_array_equal(np.asarray(as_rgb(grey > 128))[..., 0], 255 * (grey > 128))
    assert (np.asarray(as_rgb(np.dstack([array, np.zeros_like(grey)]))) == 255).all(), "on white"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.full((4, 4), 1.01),
            r"float values in \[0, 1\], got 1\.01\.\.1\.01; of 0 to 255",
        ),
        (np.array([[0.5, np.nan]]), r"\[0, 1\]"),
        (np.zeros((4, 4), np.int64), "int64; convert"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
    ],
)
def test_bad_arrays_are_named(array: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_rgb(array)


def deep_png(values: np.ndarray) -> bytes:
    """A PNG file of 16-bit colours (H, W, 3), which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_tiff(values: np.ndarray) -> bytes:
    """A TIFF file of 16-bit colours (H, W, 3), high bytes first."""
    body = zlib.compress(values.astype(">u2").tobytes())
    height, width, _ = values.shape
    tags = {256: width, 257: height, 258: 134, 259: 8, 262: 2, 273: 140, 277: 3, 278: height}
    tags |= {279: len(body), 284: 1}
    kinds = {258: (3, 3)}  # three numbers of 16 bits, where `head` ends; the others have 32 bits
    rows = [(tag, *kinds.get(tag, (4, 1)), value) for tag, value in tags.items()]
    head = struct.pack(">2sHIH", b"MM", 42, 8, len(tags))
    entries = b"".join(struct.pack(">HHII", *row) for row in rows)
    return head + entries + bytes(4) + struct.pack(">HHH", 16, 16, 16) + body


@pytest.mark.parametrize("write", [deep_png, deep_tiff])
def test_16_bit_colours_have_all_of_their_bits(write: Callable[[np.ndarray], bytes]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (7, 5, 3)).astype(np.uint16)
    np.testing.assert_array_equal(np.asarray(as_rgb(write(values))), np.rint(values / 257))
    twelve = write(values // 16)
    expected = np.rint(values // 16 / 4095 * 255)
    np.testing.assert_array_equal(np.asarray(as_rgb(twelve, white=4095)), expected)
    assert white_in(survey([twelve])) == 4095


@pytest.mark.parametrize(("bits", "expected"), [(10, 1023), (12, 4095), (13, 8191), (14, 16383)])
def test_the_white_level_comes_from_all_images(tmp_path: Path, bits: int, expected: int) -> None:
    values = np.array([[0, 2 ** (bits - 1), 2**bits - 1]], np.uint16)
    dark = values // 8
    Image.fromarray(values).save(tmp_path / "bright.png")
    images = [tmp_path / "bright.png", dark, np.zeros((4, 4), np.uint8)]
    with pytest.warns(UserWarning, match=f"above {expected}, so {expected} is taken for white"):
        assert white_in(survey(images)) == expected
    assert white_in(survey(images[2:])) is None
    bad_pixel = np.array([[0, 65535]], np.uint16)
    with pytest.warns(UserWarning, match=rf"if it is a bad pixel, give white={expected}"):
        assert (
            white_in(survey([tmp_path / "bright.png", tmp_path / "bright.png", bad_pixel])) == 65535
        )
    shown = np.asarray(as_rgb(dark, white=expected))[..., 0]
    np.testing.assert_array_equal(shown, np.rint(dark / expected * 255))
    with pytest.warns(UserWarning, match=f"above {expected}, so {expected} is taken for white"):
        assert decode(tmp_path / "bright.png", 4).max() == 255
    with pytest.warns(UserWarning, match="above the white level, 100; they are cut"):
        assert np.asarray(as_rgb(values, white=100)).max() == 255


@pytest.mark.filterwarnings("error")
def test_the_header_of_a_pgm_file_says_what_is_white() -> None:
    pgm = b"P5 4 3 1023 " + np.full((3, 4), 512, ">u2").tobytes()
    assert np.asarray(as_rgb(pgm))[0, 0, 0] == 128
    assert white_in(survey([pgm])) is None
