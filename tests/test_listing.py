"""Whatever comes, as a list of images: one image is one, an array of many is many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite.images import ImageError, as_rgb
from differnet_lite.listing import DatasetError, as_images, list_images

Put = Callable[..., Path]


def names(paths: object) -> list[str]:
    return [path.name for path in paths]  # type: ignore[attr-defined]


def test_a_plain_folder_with_sub_folders(put: Put, tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a/1.JPG", "0.mpo", ".hidden/1.png", "b/.cache/1.png"):
        put(name)
    found = list_images(tmp_path / "part")
    inside = [path.relative_to(tmp_path / "part").as_posix() for path in found]
    assert inside == ["0.mpo", "a/1.JPG", "b/2.png", "b/10.png"]
    (tmp_path / "part/b/notes.txt").touch()
    with pytest.warns(UserWarning, match=r"1 file\(s\) ignored, they are no images: notes\.txt"):
        assert list_images(str(tmp_path / "part")) == found


def test_listing_one_file_nothing_and_no_images(put: Put, tmp_path: Path) -> None:
    path = put("a.png")
    assert list_images(path) == [path]
    with pytest.raises(FileNotFoundError, match="gone: there is no such file or folder"):
        list_images(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty: expected images"):
        list_images(tmp_path / "empty")


def test_folders_of_masks_are_not_scored(put: Put, tmp_path: Path) -> None:
    for name in ("a/1.png", "ground_truth/a/1_mask.png", "masks/1.png"):
        put(name)
    with pytest.warns(UserWarning, match=r"left out: ground_truth/ \(1\), masks/ \(1\)"):
        assert names(list_images(tmp_path / "part")) == ["1.png"]
    assert names(list_images(tmp_path / "part" / "masks")) == ["1.png"]


def test_a_link_to_a_folder_counts_nothing_twice(put: Put, tmp_path: Path) -> None:
    put("a/1.png")
    (tmp_path / "part/b").symlink_to(tmp_path / "part/a")
    (tmp_path / "part/a/up").symlink_to(tmp_path / "part")
    assert names(list_images(tmp_path / "part")) == ["1.png"]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 2), (5, 7, 3), (5, 7, 4), (3, 3, 3)])
def test_one_array_is_one_image(shape: tuple[int, ...]) -> None:
    tensor = torch.zeros(shape if len(shape) == 2 else (shape[2], *shape[:2]))
    for image in (np.zeros(shape, np.uint8), tensor):
        (only,) = as_images(image)
        assert only is image
        assert as_rgb(only).size == (shape[1], shape[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_many_images(channels: int) -> None:
    array = np.arange(6 * 5 * 7 * channels, dtype=np.uint8).reshape(6, 5, 7, channels)
    np.testing.assert_array_equal(np.stack(as_images(array)), array)  # type: ignore[arg-type]
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    assert torch.equal(torch.stack(as_images(tensor)), tensor)  # type: ignore[arg-type]
    assert as_images(array[:0]) == []


@pytest.mark.parametrize(
    "wrong", [np.zeros((45, 64, 64)), torch.zeros(64, 64, 3), np.zeros((2, 3, 64, 64)), np.zeros(5)]
)
def test_neither_one_nor_many_is_an_error_with_a_remedy(wrong: Any) -> None:
    message = r"expected one image \(H, W\), or one or N images .*got shape .*axis of length 1"
    with pytest.raises(ImageError, match=message):
        as_images(wrong)


def test_paths_lists_and_pillow_images(photographs: list[Path]) -> None:
    one = Image.open(photographs[0])
    assert as_images(one) == [one]
    assert as_images(str(photographs[1])) == [photographs[1]]
    assert as_images(photographs[0].parent) == photographs
    assert as_images(iter(photographs)) == photographs
    assert as_images(np.array(photographs)) == photographs
    mixed = [one, photographs[0], np.zeros((4, 4))]
    assert as_images(mixed) == mixed
    content = photographs[0].read_bytes()
    assert as_images(content) == [content]


@pytest.mark.parametrize("wrong", [None, {"a.png": 1}])
def test_other_things_are_type_errors(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a path, an image or a list of images, got"):
        as_images(wrong)
