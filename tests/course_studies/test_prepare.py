"""Bringing downloaded data sets into the layout."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from differnet_course import prepare
from differnet_course.folders import load_category
from differnet_course.prepare import prepare_mtd, prepare_mvtec
from differnet_lite.listing import DatasetError


def _image(path: Path, value: int = 100, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


@pytest.fixture
def toothbrush(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked" / "toothbrush"
    for k in range(60):
        _image(folder / "train" / "good" / f"{k:03d}.png")
    for k in range(12):
        _image(folder / "test" / "good" / f"{k:03d}.png")
    for k in range(30):
        _image(folder / "test" / "defective" / f"{k:03d}.png")
        _image(folder / "ground_truth" / "defective" / f"{k:03d}_mask.png", 255)
    return folder


def _archive(folder: Path, target: Path) -> Path:
    with tarfile.open(target, "w:xz") as tar:
        tar.add(folder, arcname=folder.name)
    return target


def test_an_archive_is_unpacked_and_counted(toothbrush: Path, tmp_path: Path) -> None:
    made = prepare_mvtec(_archive(toothbrush, tmp_path / "t.tar.xz"), tmp_path / "data")
    assert [p.name for p in made] == ["toothbrush"]
    category = load_category(made[0])
    assert (len(category.train), int(category.labels.sum()), category.has_masks) == (60, 30, True)
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["toothbrush"]


def test_an_unpacked_folder_is_copied_and_kept(toothbrush: Path, tmp_path: Path) -> None:
    made = prepare_mvtec(toothbrush.parent, tmp_path / "data")
    assert len(load_category(made[0]).train) == len(load_category(toothbrush).train) == 60


def test_a_missing_image_or_mask_is_noticed_and_nothing_left_behind(
    toothbrush: Path, tmp_path: Path
) -> None:
    (toothbrush / "ground_truth" / "defective" / "003_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"got .* and 29 masks"):
        prepare_mvtec(_archive(toothbrush, tmp_path / "t.tar.xz"), tmp_path / "data")
    (toothbrush / "train" / "good" / "007.png").unlink()
    with pytest.raises(DatasetError, match=r"expected \(60, 12, 30\).*got \(59, 12, 30\)"):
        prepare_mvtec(toothbrush, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_a_cut_archive_an_unknown_category_and_an_existing_one(
    toothbrush: Path, tmp_path: Path
) -> None:
    archive = _archive(toothbrush, tmp_path / "t.tar.xz")
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(DatasetError, match="download it again"):
        prepare_mvtec(cut, tmp_path / "data")
    prepare_mvtec(archive, tmp_path / "data")
    with pytest.raises(FileExistsError, match="is there already"):
        prepare_mvtec(archive, tmp_path / "data")
    toothbrush.rename(toothbrush.parent / "broom")
    with pytest.raises(DatasetError, match="expected a category of MVTec AD"):
        prepare_mvtec(toothbrush.parent, tmp_path / "other")


@pytest.fixture
def magnetic_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A small clone with the repository's structure, and the counts to match it."""
    monkeypatch.setattr(prepare, "MTD_COUNTS", (6, 2, 5))
    clone = tmp_path / "clone"
    for k in range(8):
        _image(clone / "MT_Free" / "Imgs" / f"exp{k}.jpg")
    for kind in ("Blowhole", "Break", "Crack", "Fray", "Uneven"):
        _image(clone / f"MT_{kind}" / "Imgs" / f"{kind}.jpg")
        _image(clone / f"MT_{kind}" / "Imgs" / f"{kind}.png", 255)
    split = tmp_path / "mtd_train_filenames.txt"
    split.write_text("\n".join(f"exp{k}.jpg" for k in range(6)) + "\n")
    return clone, split


def test_magnetic_tiles_are_split_as_published(
    magnetic_tiles: tuple[Path, Path], tmp_path: Path
) -> None:
    category = load_category(prepare_mtd(*magnetic_tiles, tmp_path / "data"))
    assert [p.name for p in category.train] == [f"exp{k}.jpg" for k in range(6)]
    assert [
        p.name for p, kind in zip(category.test, category.kinds, strict=True) if kind == "good"
    ] == [
        "exp6.jpg",
        "exp7.jpg",
    ]
    assert sorted(set(category.kinds)) == ["blowhole", "break", "crack", "fray", "good", "uneven"]
    assert sum(mask is not None for mask in category.masks) == 5


def test_a_wrong_split_or_clone_is_refused(
    magnetic_tiles: tuple[Path, Path], tmp_path: Path
) -> None:
    clone, split = magnetic_tiles
    split.write_text("exp0.jpg\n")
    with pytest.raises(DatasetError, match=r"got \(1, 7, 5\)"):
        prepare_mtd(clone, split, tmp_path / "data")
    with pytest.raises(DatasetError, match=r"got \(0, 0, 0\)"):
        prepare_mtd(tmp_path, split, tmp_path / "data")
    assert not (tmp_path / "data").exists()
