"""Bringing the magnetic tiles into the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from differnet_course import prepare
from differnet_course.folders import load_category
from differnet_course.prepare import prepare_mtd
from differnet_lite.listing import DatasetError


def _image(path: Path, value: int = 100, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


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
