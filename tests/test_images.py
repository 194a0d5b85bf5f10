"""Every kind of image becomes 8-bit RGB as documented, or an error that names file and remedy."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite.images import (
    ImageError,
    as_rgb,
    decode,
    image_size,
    image_suffixes,
    in_parallel,
    iter_decoded,
    read,
)

Picture = Callable[..., np.ndarray]


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png")
    assert np.asarray(as_rgb(tmp_path / "a.png")).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    image.save(tmp_path / "b.png", transparency=0)
    assert np.asarray(as_rgb(tmp_path / "b.png")).tolist() == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (8000, 60)])
def test_extreme_sizes_fill_the_square(size: tuple[int, int]) -> None:
    pixels = decode(Image.new("RGB", size, (10, 130, 250)), 64)
    assert pixels.shape == (3, 64, 64) and pixels.dtype == torch.uint8
    assert pixels.flatten(1).unique(dim=1).tolist() == [[10], [130], [250]]


@pytest.mark.parametrize(
    ("name", "content"), [("text.png", b"This is no image.\n" * 20), ("empty.png", b"")]
)
def test_what_is_no_image_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=rf"{name}: .*no known image format; remove the file"):
        decode(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png: there is no such image file"):
        decode(tmp_path / "gone.png")


def test_bytes_a_buffer_and_a_path_are_one_image(photographs: list[Path]) -> None:
    content = photographs[0].read_bytes()
    for same in (content, io.BytesIO(content), read(photographs[0])):
        assert read(same).digest == read(photographs[0]).digest
        assert torch.equal(decode(same, 64), decode(photographs[0], 64))


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_paths_pillow_images_and_sizes_turn_alike(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 16)).save(path, exif=exif)
    with Image.open(path) as opened:
        assert torch.equal(decode(opened, 32), decode(path, 32))
        assert read(opened).digest == read(np.asarray(as_rgb(path))).digest
    Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 16)).save(
        tmp_path / "a.tif", exif=exif
    )
    assert torch.equal(decode(tmp_path / "a.tif", 32), decode(path, 32))
    for same in (path, tmp_path / "a.tif"):
        assert image_size(same) == as_rgb(path).size
    assert image_size(np.zeros((4, 9, 3), np.uint8)) == (9, 4)


def test_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("it was started"))
    text = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n"
    (tmp_path / "a.png").write_bytes(text)
    with pytest.raises(ImageError, match="no known image format"):
        decode(tmp_path / "a.png")
    assert {".heic", ".heif"} < {*image_suffixes()}
    with pytest.raises(ImageError, match="pip install pillow-heif"):
        decode(b"\0\0\0\x18ftypheic")
    with Image.open(io.BytesIO(text)) as opened, pytest.raises(ImageError, match="format EPS"):
        decode(opened)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [("jfif", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000"), ("tga", "TGA"), ("webp", "WEBP")],
)
def test_formats_that_pillow_reads_are_images(tmp_path: Path, suffix: str, name: str) -> None:
    Image.new("RGB", (16, 16), (10, 130, 250)).save(tmp_path / f"a.{suffix}", name)
    assert f".{suffix}" in image_suffixes() and ".eps" not in image_suffixes()
    assert np.abs(np.asarray(as_rgb(tmp_path / f"a.{suffix}"))[0, 0] - [10.0, 130, 250]).max() < 9


def test_a_picture_too_large_is_reduced_or_refused_for_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "a.png"):
        Image.new("RGB", (4800, 2400), (10, 130, 250)).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000_000)
    assert as_rgb(tmp_path / "a.jpg").size == (2400, 1200)
    with pytest.raises(ImageError, match=r"a\.png: the picture has 12 megapixels, more than"):
        decode(tmp_path / "a.png")


def test_of_several_frames_the_first_is_used(tmp_path: Path) -> None:
    first, *others = [Image.new("L", (8, 8), 40 + 60 * k) for k in range(3)]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with pytest.warns(UserWarning, match="only the first is used"):
        assert np.asarray(as_rgb(tmp_path / "a.tif")).mean() == 40


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: expected an image file, got a folder, a pipe"):
        decode(tmp_path / "a.png")
    with pytest.raises(TypeError, match="expected an image: a path, bytes"):
        decode(3)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "gif", "webp", "bmp"])
def test_no_damage_gives_an_unnamed_error(tmp_path: Path, picture: Picture, kind: str) -> None:
    """Cut anywhere or with a wrong byte, a file is decoded or reported; nothing else is raised."""
    buffer = io.BytesIO()
    Image.fromarray(picture(0, 24)).save(buffer, kind)
    whole, path = buffer.getvalue(), tmp_path / f"a.{kind}"
    generator = np.random.default_rng(0)
    contents = [whole[:n] for n in range(0, len(whole), max(1, len(whole) // 80))]
    for position in generator.integers(30, len(whole), 80):  # not the size: gigabytes
        wrong = bytes([generator.integers(256)])
        contents.append(whole[:position] + wrong + whole[position + 1 :])
    messages = []
    for content in contents:
        path.write_bytes(content)
        try:
            assert decode(path, 32).shape == (3, 32, 32)
        except ImageError as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert all(str(path) in message and "remove" in message for message in messages)


def test_digest_names_the_content(picture: Picture) -> None:
    assert (
        read(picture(0)).digest
        == read(Image.fromarray(picture(0))).digest
        != read(picture(1)).digest
    )
    flat = np.zeros((2, 6, 3), np.uint8)
    assert read(flat).digest != read(flat.reshape(6, 2, 3)).digest, "same bytes, other shape"


def test_decoding_in_parallel_keeps_the_order_and_stays_lazy(picture: Picture) -> None:
    images = [np.full((4, 4), k, np.uint8) for k in range(10)]
    batches = list(iter_decoded(images, size=8, batch=4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert torch.cat(batches)[:, 0, 0, 0].tolist() == list(range(10))
    taken = []
    stream = in_parallel(lambda k: k, (taken.append(k) or k for k in range(1000)), ahead=5)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 8
    stream.close()
