"""The sample generator: the same images everywhere, exact masks, the layout, honest failures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from differnet_course.samples import DEFECTS, SAMPLE_CATEGORIES, make_sample_category, render

SMALL: dict[str, Any] = {"n_train": 2, "n_test_good": 1, "n_per_defect": 1, "progress": False}
KINDS = [(c, d) for c in SAMPLE_CATEGORIES for d in DEFECTS[c]]

# sha256 of pixels and mask of `render(category, default_rng(2021), defect=<first kind>)`,
# and the mean grey values of its 4 x 4 blocks, which every machine must reproduce.
# `python tests/samples/test_samples.py` pins anew, after an intended change.
PINS = Path(__file__).parent / "samples_pinned.json"
PINNED: dict[str, tuple[str, list[float]]] = json.loads(PINS.read_text(encoding="utf-8"))


def pinned_view(category: str) -> tuple[str, list[float]]:
    image, mask = render(category, np.random.default_rng(2021), defect=DEFECTS[category][0])
    digest = hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest()
    blocks = image.reshape(4, 112, 4, 112, -1).mean(axis=(1, 3, 4))
    return digest, [round(float(b), 3) for b in blocks.ravel()]


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES)
def test_pixels_are_the_pinned_ones(category: str) -> None:
    digest, blocks = pinned_view(category)
    # A changed generator (or NumPy random stream) moves whole blocks: raise VERSION, pin anew.
    np.testing.assert_allclose(blocks, PINNED[category][1], atol=0.02)
    assert digest == PINNED[category][0], "same picture, but single pixels are rounded differently"


@pytest.mark.parametrize(("category", "defect"), KINDS)
def test_defect_changes_pixels_inside_its_mask_only(category: str, defect: str) -> None:
    one, two = np.random.default_rng(11), np.random.default_rng(11)
    normal, nothing = render(category, one)
    flawed, mask = render(category, two, defect=defect)
    assert one.integers(2**63) == two.integers(2**63), "the generator advances alike"
    assert not nothing.any() and mask.sum() >= 30 and mask.mean() < 0.25
    assert normal.shape[:2] == (448, 448)
    change = np.abs(flawed.astype(int) - normal.astype(int)).reshape(448, 448, -1).max(-1)
    assert not change[~mask].any()
    assert (change[mask] > 0).mean() > 0.75 and change.max() >= 8


@pytest.mark.parametrize(
    ("category", "options", "message"),
    [
        ("bottle", {}, r"flange.*got 'bottle'"),
        ("flange", {"defect": "turned"}, r"scratch.*got 'turned'"),
        ("weave", {"defect": "hole", "ageing": 0.999}, "lower it"),
    ],
)
def test_what_cannot_be_rendered_is_explained(
    category: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render(category, np.random.default_rng(0), **options)


def test_layout_and_manifest(tmp_path: Path) -> None:
    folder = make_sample_category("switch", tmp_path / "data", **SMALL)
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")}
    expected = {"train/good/000.png", "train/good/001.png", "test/good/000.png"}
    for defect in DEFECTS["switch"]:
        expected |= {f"test/{defect}/000.png", f"ground_truth/{defect}/000_mask.png"}
    assert files == expected
    white = np.asarray(Image.open(folder / "ground_truth" / "crack" / "000_mask.png"))
    assert set(np.unique(white)) == {0, 255}
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert make_sample_category("switch", tmp_path / "data", **SMALL) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before, "nothing is written again"
    more = make_sample_category("switch", tmp_path / "more", **SMALL | {"n_train": 3})
    for path in folder.rglob("*.png"):  # image k is the same whatever the counts
        assert path.read_bytes() == (more / path.relative_to(folder)).read_bytes()
    assert len({path.read_bytes() for path in more.glob("t*/good/*.png")}) == 4


def test_other_content_is_refused_with_advice(tmp_path: Path) -> None:
    folder = make_sample_category("flange", tmp_path, **SMALL)
    with pytest.raises(FileExistsError, match=r"'seed': 1.*'seed': 0.*delete"):
        make_sample_category("flange", tmp_path, seed=1, **SMALL)
    (folder / "test" / "good" / "000.png").unlink()
    with pytest.raises(FileExistsError, match="holds 7 images"):
        make_sample_category("flange", tmp_path, **SMALL)
    (tmp_path / "weave").mkdir()
    with pytest.raises(FileExistsError, match=r"manifest\.json says"):
        make_sample_category("weave", tmp_path, **SMALL)


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_sample_category("weave", tmp_path, **SMALL)
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    pins = {category: pinned_view(category) for category in SAMPLE_CATEGORIES}
    PINS.write_text(json.dumps(pins, indent=1) + "\n", encoding="utf-8")
