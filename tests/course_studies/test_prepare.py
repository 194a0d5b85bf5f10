"""Bringing the magnetic tiles into the layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from differnet_course import prepare
from differnet_course.folders import load_category
from differnet_course.prepare import prepare_mtd
from differnet_lite.listing import DatasetError


@pytest.fixture
def magnetic_tiles(
    tmp_path: Path, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A small clone with the repository's structure, and the counts to match it."""
    monkeypatch.setattr(prepare, "MTD_COUNTS", (6, 2, 5))
    clone = tmp_path / "part"
    for k in range(8):
        put(f"MT_Free/Imgs/exp{k}.jpg", 100)
    for kind in ("Blowhole", "Break", "Crack", "Fray", "Uneven"):
        put(f"MT_{kind}/Imgs/{kind}.jpg", 100)
        put(f"MT_{kind}/Imgs/{kind}.png", 255)
    split = tmp_path / "mtd_train_filenames.txt"
    split.write_text("\n".join(f"exp{k}.jpg" for k in range(6)) + "\n")
    return clone, split


def test_magnetic_tiles_are_split_as_published(
    magnetic_tiles: tuple[Path, Path], tmp_path: Path
) -> None:
    category = load_category(prepare_mtd(*magnetic_tiles, tmp_path / "data"))
    assert [path.name for path in category.train] == [f"exp{k}.jpg" for k in range(6)]
    good = [path.name for path, bad in zip(category.test, category.labels, strict=True) if not bad]
    assert good == ["exp6.jpg", "exp7.jpg"]
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
