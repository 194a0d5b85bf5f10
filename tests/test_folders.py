"""The MVTec layout and plain folders, tidy and untidy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from differnet_course.folders import load_category
from differnet_lite.listing import DatasetError, training_images, training_set

Put = Callable[..., Path]


@pytest.fixture
def root(put: Put, tmp_path: Path) -> Path:
    """Two normal training images; one normal and three anomalous ones to test, two with masks."""
    for name in ("train/good/1.png", "train/good/2.png", "test/good/1.png", "test/crack/1.png"):
        put(name)
    for name in ("test/crack/2.png", "test/dent/1.jpg"):
        put(name)
    put("ground_truth/crack/1_mask.png", 255)
    put("ground_truth/dent/1.png", 255)
    return tmp_path / "part"


def names(paths: object) -> list[str]:
    return [path.name for path in paths]  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("error")
def test_a_category_lists_everything_once_in_order(root: Path) -> None:
    category = load_category(str(root))
    assert category.name == "part"
    assert names(category.train) == ["1.png", "2.png"]
    assert names(category.test) == ["1.png", "2.png", "1.jpg", "1.png"]
    assert category.kinds == ("crack", "crack", "dent", "good")
    assert category.labels.tolist() == [True, True, True, False]
    masks = root / "ground_truth"
    assert category.masks == (masks / "crack/1_mask.png", None, masks / "dent/1.png", None)
    assert category.has_masks and category.ignored == () and category.leaks() == []


def test_stray_files_are_ignored_with_a_note(root: Path) -> None:
    for name in ("train/good/Thumbs.db", "train/good/.DS_Store", "test/crack/notes.txt"):
        (root / name).write_text("stray")
    with pytest.warns(UserWarning, match=r"part: 2 file\(s\) ignored.*notes\.txt"):
        assert len(load_category(root).train) == 2


def test_a_mask_fits_one_image(put: Put, root: Path) -> None:
    put("test/crack/2.jpg")
    assert len(load_category(root).test) == 5, "no mask is called 2, so nothing is unclear"
    put("test/crack/1.jpg")
    with pytest.raises(DatasetError, match=r"1_mask\.png: the name of this mask fits 2 images"):
        load_category(root)


@pytest.mark.parametrize(
    ("good", "masks"), [("OK", "masks"), ("Good ", "ground_truth"), ("normal", "Ground Truth")]
)
def test_the_same_words_mean_good_in_train_and_test(put: Put, good: str, masks: str) -> None:
    for name in (f"train/{good}/1.png", f"test/{good}/1.png", "test/NG/1.png", "test/NG/2.png"):
        put(name)
    category = load_category(put(f"{masks}/NG/1_mask.png", 255).parents[2])
    assert sorted(category.kinds) == ["NG", "NG", "good"]
    assert [mask is not None for mask in category.masks].count(True) == 1, "a partial set is fine"
    assert len(category.train) == 1 and category.ignored == ()


def test_folders_of_good_and_bad_images_are_a_test_set(put: Put) -> None:
    for name in ("OK/1.png", "NG/1.png", "NG/2.png"):
        put(name)
    root = put("masks/2.png", 255).parents[1]
    category = load_category(root)
    assert category.kinds == ("NG", "NG", "good")
    assert category.masks == (None, root / "masks" / "2.png", None)
    assert category.train == ()


def test_sub_folders_of_a_kind_are_read_or_named(put: Put, root: Path) -> None:
    for name in ("test/scratch/cam1/1.png", "test/scratch/cam2/1.png", "test/good/more/2.png"):
        put(name)
    put("train/good/old/7.png")
    with pytest.warns(UserWarning, match="left out: test/good/more/ .1., train/good/old/"):
        category = load_category(root)
    assert category.kinds.count("scratch") == 2
    assert dict(category.ignored) == {"test/good/more": 1, "train/good/old": 1}


def test_masks_that_fit_no_image_are_noted(put: Put, root: Path) -> None:
    put("ground_truth/Scratch/1_mask.png", 255)
    with pytest.warns(UserWarning, match=r"1 mask\(s\) fit no image by name: 1_mask\.png"):
        load_category(root)


def test_leaks_between_training_and_test_are_found(root: Path) -> None:
    copied = root / "test/good/copied.png"
    copied.write_bytes((root / "train/good/2.png").read_bytes())
    assert load_category(root).leaks() == [(copied, root / "train/good/2.png")]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["OK/1", "OK/2", "NG/1", "masks/1"], "2 images of part/OK; left out: NG/ (1), masks/ (1)"),
        (["normal/1", "abnormal/1"], "1 images of part/normal; left out: abnormal/ (1)"),
        (["pass/1", "pass/2", "fail/1"], "2 images of part/pass; left out: fail/ (1)"),
        (["good/day1/1", "good/day2/1", "good/NG/1", "bad/1"],
         "2 images of part/good: day1/ (1), day2/ (1); left out: bad/ (1), good/NG/ (1)"),
        (["train/good/1", "test/good/1", "test/dent/1", "ground_truth/dent/1"],
         "1 images of part/train/good; left out: ground_truth/ (1), test/ (2)"),
        (["train/OK/1", "train/NG/1", "preview"], "1 images of part/train/OK; left out: ./ (1), "
         "train/NG/ (1)"),
        (["train/1", "train/2", "test/1"], "2 images of part/train; left out: test/ (1)"),
        (["1", "2", "old/1", "masks/1"], "2 images of part; left out: masks/ (1), old/ (1)"),
    ],
)  # fmt: skip
def test_which_images_train(put: Put, tmp_path: Path, files: list[str], expected: str) -> None:
    for name in files:
        put(f"{name}.png")
    assert str(training_set(tmp_path / "part")) == f"training on {expected}"


@pytest.mark.parametrize(
    ("files", "listed"),
    [
        (["monday/1", "tuesday/1", "tuesday/2"], r"monday/ \(1\), tuesday/ \(2\)"),
        (["OK/1", "good/1", "NG/1"], r"NG/ \(1\), OK/ \(1\), good/ \(1\)"),
        (["one/train/good/1", "two/test/dent/1"], r"expected one category.*one/ \(1\), two/ \(1\)"),
        ([], "no image"),
    ],
)
def test_what_is_not_clear_is_refused_with_a_list(
    put: Put, tmp_path: Path, files: list[str], listed: str
) -> None:
    (tmp_path / "part").mkdir()
    for name in files:
        put(f"{name}.png")
    with pytest.raises(DatasetError, match=listed):
        training_set(tmp_path / "part")


def test_recursive_takes_sub_folders_but_not_bad_ones(put: Put, tmp_path: Path) -> None:
    for name in ("monday/1", "tuesday/cam1/1", "tuesday/NG-cam1/1", "masks/1", "defect type A/1"):
        put(f"{name}.png")
    assert str(training_set(tmp_path / "part", recursive=True)) == (
        "training on 2 images of part: monday/ (1), tuesday/cam1/ (1); "
        "left out: defect type A/ (1), masks/ (1), tuesday/NG-cam1/ (1)"
    )


def test_lists_and_files_train_as_they_are(put: Put) -> None:
    array = np.zeros((4, 4), np.uint8)
    path = put("a.png")
    assert training_images([array, path]) == [array, path]
    assert str(training_set(iter([array, path]))) == "training on 2 images"
    assert training_images(path) == [path]
    with pytest.raises(DatasetError, match="got none"):
        training_images([])


def test_masks_and_bad_images_beside_good_ones_are_told(put: Put, tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "1_mask.png", "2-GT.png", "3_mask.png"):
        put(name)
    with pytest.warns(UserWarning, match=r"2 file\(s\) ignored, they are masks: 1_mask\.png, 2-GT"):
        chosen = training_set(tmp_path / "part")
    assert [Path(str(image)).name for image in chosen.images] == ["1.png", "2.png", "3_mask.png"]
    put("NG_4.png")
    with pytest.warns(UserWarning, match=r"1 of the 4 images that train .* mean bad: NG_4\.png"):
        training_set(tmp_path / "part")
