"""The MVTec layout and plain folders, tidy and untidy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from differnet_lite.folders import (
    DatasetError,
    list_images,
    load_category,
    load_mask,
    training_images,
)
from differnet_lite.images import ImageError

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """put("train/good/a.png", value) writes a small grey image of its own content."""
    counter = iter(range(1, 250))

    def write(name: str, value: int | None = None, size: tuple[int, int] = (8, 8)) -> Path:
        path = tmp_path / "part" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size, next(counter) if value is None else value).save(path)
        return path

    return write


@pytest.fixture
def root(put: Put, tmp_path: Path) -> Path:
    """Two normal training images; one normal and three anomalous ones to test, two with masks."""
    for name in (
        "train/good/1.png",
        "train/good/2.png",
        "test/good/1.png",
        "test/crack/1.png",
        "test/crack/2.png",
        "test/dent/1.jpg",
    ):
        put(name)
    put("ground_truth/crack/1_mask.png", 255)
    put("ground_truth/dent/1.png", 255)
    return tmp_path / "part"


def names(paths: object) -> list[str]:
    return [path.name for path in paths]  # type: ignore[attr-defined]


def test_a_category_lists_everything_once_in_order(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        category = load_category(str(root))
    assert category.name == "part"
    assert names(category.train) == ["1.png", "2.png"]
    assert [path.relative_to(root).as_posix() for path in category.test] == [
        "test/crack/1.png",
        "test/crack/2.png",
        "test/dent/1.jpg",
        "test/good/1.png",
    ]
    assert category.kinds == ("crack", "crack", "dent", "good")
    assert category.labels.tolist() == [True, True, True, False]
    assert category.labels.dtype == bool
    assert category.masks == (
        root / "ground_truth/crack/1_mask.png",
        None,
        root / "ground_truth/dent/1.png",
        None,
    )
    assert category.has_masks
    assert category.ignored == ()
    assert category.leaks() == []


def test_training_images_alone_are_enough(put: Put, tmp_path: Path) -> None:
    put("train/good/1.png")
    category = load_category(tmp_path / "part")
    assert len(category.train) == 1
    assert (category.test, category.kinds, category.masks, category.has_masks) == (
        (),
        (),
        (),
        False,
    )
    assert category.labels.shape == (0,)


def test_no_masks_and_no_defects(put: Put, root: Path, tmp_path: Path) -> None:
    for path in (root / "ground_truth").rglob("*.png"):
        path.unlink()
    assert not load_category(root).has_masks
    assert load_category(root).masks == (None,) * 4


def test_order_is_natural(put: Put, tmp_path: Path) -> None:
    for name in ("10.png", "9.png", "100.png", "a2.png", "a10.png", "b1.png", "3²4.png"):
        put(f"train/good/{name}")
    assert names(load_category(tmp_path / "part").train) == [
        "3²4.png",
        "9.png",
        "10.png",
        "100.png",
        "a2.png",
        "a10.png",
        "b1.png",
    ]


def test_stray_files_are_ignored_with_a_note(root: Path) -> None:
    stray = [
        "train/good/Thumbs.db",
        "train/good/.DS_Store",
        "train/good/._1.png",
        "test/readme.txt",
        "test/crack/notes.txt",
    ]
    for name in stray:
        (root / name).write_text("stray")
    (root / "test" / "good" / "folder").mkdir()
    with pytest.warns(UserWarning, match=r"part: 6 file\(s\) ignored.*\.\.\.") as caught:
        category = load_category(root)
    assert len(caught) == 1
    assert sorted(category.ignored) == sorted(
        [*(root / name for name in stray), root / "test/good/folder"]
    )
    assert len(category.train) == 2
    assert category.labels.tolist() == [True, True, True, False]


def test_missing_and_empty_folders_are_named(tmp_path: Path, put: Put) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: there is no such folder.*data/README\.md"
    ):
        load_category(tmp_path / "nowhere")
    put("good/1.png")
    with pytest.raises(
        FileNotFoundError, match=r"expected train/good/ with normal images, found \['good'\]"
    ):
        load_category(tmp_path / "part")
    (tmp_path / "part/train/good").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"good: expected images \(\.bmp.*found none among 0"):
        load_category(tmp_path / "part")
    (tmp_path / "part/train/good/a.txt").write_text("no image")
    with pytest.raises(DatasetError, match="found none among 1 file"):
        load_category(tmp_path / "part")


def test_an_empty_file_is_named_at_once(root: Path) -> None:
    (root / "train/good/3.png").touch()
    with pytest.raises(ImageError, match=r"3\.png: the image file is empty \(1 such file"):
        load_category(root)


def test_two_images_of_one_name_need_masks_of_their_own(put: Put, root: Path) -> None:
    put("test/crack/2.jpg")
    assert len(load_category(root).test) == 5, "no mask is called 2, so nothing is unclear"
    put("test/crack/1.jpg")
    with pytest.raises(DatasetError, match="'1' names several images but one mask"):
        load_category(root)


def test_leaks_between_training_and_test_are_found(root: Path) -> None:
    copied = root / "test/good/copied.png"
    copied.write_bytes((root / "train/good/2.png").read_bytes())
    assert load_category(root).leaks() == [(copied, root / "train/good/2.png")]


def test_a_plain_folder_with_sub_folders(put: Put, tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a/1.JPG", "0.bmp", ".hidden/1.png", "b/.cache/1.png"):
        put(name)
    found = list_images(tmp_path / "part")
    assert [path.relative_to(tmp_path / "part").as_posix() for path in found] == [
        "0.bmp",
        "a/1.JPG",
        "b/2.png",
        "b/10.png",
    ]
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


def test_training_images_come_from_train_good_a_folder_or_a_list(
    root: Path, put: Put, tmp_path: Path
) -> None:
    assert names(training_images(root)) == ["1.png", "2.png"]
    assert len(training_images(root / "test")) == 4
    array = np.zeros((4, 4), np.uint8)
    assert training_images([array, root / "test/good/1.png"]) == [array, root / "test/good/1.png"]
    with pytest.raises(DatasetError, match="got none"):
        training_images([])
    Image.new("L", (4, 4)).save((tmp_path / "half").with_suffix(".png"))
    (tmp_path / "wrong/train/normal").mkdir(parents=True)
    with pytest.raises(
        DatasetError, match="but no train/good/; expected the MVTec layout or a plain folder"
    ):
        training_images(tmp_path / "wrong")


def test_the_sample_category_is_in_the_layout(category_folder: Path) -> None:
    category = load_category(category_folder)
    assert (len(category.train), int((~category.labels).sum())) == (12, 4)
    assert category.labels.sum() >= 8
    assert all(
        (mask is not None) == label
        for mask, label in zip(category.masks, category.labels, strict=True)
    )
    assert all(
        load_mask(mask, 64).any() == label
        for mask, label in zip(category.masks, category.labels, strict=True)
    )


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
    np.testing.assert_array_equal(load_mask(path, 8), truth)


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "1_mask.png").write_text("no image")
    with pytest.raises(ImageError, match=r"1_mask\.png"):
        load_mask(tmp_path / "1_mask.png")
