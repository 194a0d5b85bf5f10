"""The sample generator: determinism, exact masks, layout, and honest failures."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_course import samples
from differnet_course.samples import (
    DEFECTS,
    SAMPLE_CATEGORIES,
    folders,
    make_sample_category,
    render,
)

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


@pytest.mark.parametrize("category", SAMPLE_CATEGORIES)
def test_same_generator_state_same_image(category: str) -> None:
    first, _ = render(category, np.random.default_rng(3))
    again, mask = render(category, np.random.default_rng(3))
    other, _ = render(category, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not mask.any()
    colour = category in ("tablet", "switch", "button")
    assert first.shape == ((448, 448, 3) if colour else (448, 448))
    assert first.dtype == np.uint8
    assert first.min() < 60 and first.max() > 120  # neither flat nor clipped away


@pytest.mark.parametrize(("category", "defect"), KINDS)
def test_defect_changes_pixels_inside_its_mask_only(category: str, defect: str) -> None:
    normal, _ = render(category, np.random.default_rng(11))
    flawed, mask = render(category, np.random.default_rng(11), defect=defect)
    change = np.abs(normal.astype(int) - flawed.astype(int)).reshape(448, 448, -1).max(axis=2)
    assert not change[~mask].any()
    assert 30 <= mask.sum() < 0.2 * mask.size
    # Rounding hides little: nearly all of the mask differs visibly.
    assert (change[mask] > 0).mean() > 0.75
    assert change.max() >= 8


def test_generator_advances_alike_with_and_without_defect() -> None:
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    render("flange", one)
    render("flange", two, defect="stain")
    assert one.integers(2**63) == two.integers(2**63)


def test_ageing_darkens() -> None:
    new, _ = render("weave", np.random.default_rng(6))
    old, _ = render("weave", np.random.default_rng(6), ageing=0.2)
    assert old.mean() == pytest.approx(0.8 * new.mean(), rel=0.03)


def test_unknown_names_and_bad_values_are_explained(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"flange.*got 'bottle'"):
        render("bottle", rng)
    with pytest.raises(ValueError, match=r"scratch.*got 'turned'"):
        render("flange", rng, defect="turned")
    with pytest.raises(ValueError, match="ageing"):
        render("weave", rng, ageing=1.0)
    with pytest.raises(ValueError, match="lower it"):
        render("weave", rng, defect="hole", ageing=0.999)
    with pytest.raises(ValueError, match="got 'bottle'"):
        make_sample_category("bottle", tmp_path)
    with pytest.raises(ValueError, match=r"n_train: expected .* got 0"):
        make_sample_category("flange", tmp_path, n_train=0)
    assert list(tmp_path.iterdir()) == []


def test_layout_counts_and_manifest(tmp_path: Path) -> None:
    folder = make_sample_category("switch", tmp_path / "data", **SMALL)
    assert folder == tmp_path / "data" / "switch"
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*.png")}
    expected = {"train/good/000.png", "train/good/001.png", "test/good/000.png"}
    for defect in DEFECTS["switch"]:
        expected |= {f"test/{defect}/000.png", f"ground_truth/{defect}/000_mask.png"}
    assert files == expected
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for kind in ("good", *(DEFECTS["switch"] if split == "test" else ())):
            for path in sorted((folder / split / kind).glob("*.png")):
                image = Image.open(path)
                assert (image.mode, image.size) == ("RGB", (448, 448))
                digest.update(image.tobytes())
                if kind != "good":
                    with Image.open(folder / "ground_truth" / kind / "000_mask.png") as mask:
                        assert mask.mode == "L"
                        pixels = np.asarray(mask)
                    assert set(np.unique(pixels)) == {0, 255}
                    digest.update((pixels > 0).tobytes())
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["sha256"] == digest.hexdigest()
    assert manifest["seed"] == 0 and manifest["version"] == samples.VERSION
    # A second call finds it and touches nothing.
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert make_sample_category("switch", tmp_path / "data", **SMALL) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_other_content_is_refused_with_advice(tmp_path: Path) -> None:
    folder = make_sample_category("flange", tmp_path, **SMALL)
    with pytest.raises(FileExistsError, match=r"'seed': 1.*'seed': 0.*delete"):
        make_sample_category("flange", tmp_path, seed=1, **SMALL)
    with pytest.raises(FileExistsError, match="n_train"):
        make_sample_category("flange", tmp_path, **(SMALL | {"n_train": 3}))
    (folder / "test" / "good" / "000.png").unlink()
    with pytest.raises(FileExistsError, match="found 7"):
        make_sample_category("flange", tmp_path, **SMALL)
    (tmp_path / "weave").mkdir()
    with pytest.raises(FileExistsError, match="without a readable manifest"):
        make_sample_category("weave", tmp_path, **SMALL)


def test_image_k_does_not_depend_on_the_counts(tmp_path: Path) -> None:
    few = make_sample_category("flange", tmp_path / "few", **SMALL)
    many = make_sample_category(
        "flange", tmp_path / "many", n_train=3, n_test_good=2, n_per_defect=1, progress=False
    )
    for path in few.rglob("*.png"):
        twin = many / path.relative_to(few)
        assert path.read_bytes() == twin.read_bytes()
    pixels = {p.read_bytes() for p in many.glob("t*/good/*.png")}
    assert len(pixels) == 5  # train and test never share an image


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        if "test" in str(args[1]):
            raise KeyboardInterrupt
        genuine(*args, **kwargs)  # type: ignore[arg-type]

    genuine = folders._save
    monkeypatch.setattr(folders, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_sample_category("weave", tmp_path, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_global_random_state_is_untouched() -> None:
    before: Any = np.random.get_state()
    render("tablet", np.random.default_rng(1), defect="crack")
    after: Any = np.random.get_state()
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_test_normals_of_the_weave_are_darker() -> None:
    train = [folders._image("weave", "train", "good", k, 0)[0].mean() for k in range(8)]
    test = [folders._image("weave", "test", "good", k, 0)[0].mean() for k in range(8)]
    assert np.mean(test) < 0.97 * np.mean(train)


def test_half_of_the_buttons_are_speckled() -> None:
    images = [folders._image("button", "train", "good", k, 0)[0] for k in range(16)]
    faces = [image[..., 0].astype(float)[120:328, 120:328] for image in images]
    # specks differ from one pixel to the fourth; shading, on plain buttons, does not
    rough = np.array([np.abs(face[:, 4:] - face[:, :-4]).mean() for face in faces])
    speckled = rough > 10
    assert 4 <= speckled.sum() <= 12
    assert rough[speckled].min() > 1.3 * rough[~speckled].max()


if __name__ == "__main__":
    pins = {category: pinned_view(category) for category in SAMPLE_CATEGORIES}
    PINS.write_text(json.dumps(pins, indent=1) + "\n", encoding="utf-8")


def test_two_processes_that_make_the_same_category(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"n_train": 1, "n_test_good": 1, "n_per_defect": 1, "progress": False}
    first = make_sample_category("flange", tmp_path / "first", **few)
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        shutil.copytree(first, target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    folder = make_sample_category("flange", tmp_path / "second", **few)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["flange"], "nothing partial is left"
    assert (folder / "train" / "good" / "000.png").read_bytes() == (
        first / "train" / "good" / "000.png"
    ).read_bytes()
