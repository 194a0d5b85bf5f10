"""Groups of images that are not independent: copies by a relative rule, frames, labels."""

from __future__ import annotations

import io
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite.groups import apart, group_labels, sequence_note
from differnet_lite.listing import DatasetError
from differnet_lite.shown import survey

Picture = Callable[..., np.ndarray]
RNG = np.random.default_rng(0)


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


def flickers(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(float)
    return grey(values * 1.03 + RNG.normal(0, 3, values.shape))


def sheet(seed: int, grain: float = 5.0) -> Image.Image:
    """A plain sheet, of which two pictures differ in their grain alone."""
    return grey(150 + np.random.default_rng(seed).normal(0, grain, (256, 256)))


def on_a_table(seed: int) -> Image.Image:
    """A small round part somewhere on a plain table."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(70, 190, 2)
    rows, columns = np.mgrid[:256, :256]
    part = ((columns - x) ** 2 + (rows - y) ** 2 < 20**2) * 110
    return grey(90 + part + rng.normal(0, 2, (256, 256)))


def fixed_camera(seed: int) -> Image.Image:
    """The same scene again, with noise and a light that flickers."""
    scene = np.kron(np.random.default_rng(99).normal(128, 40, (16, 16)), np.ones((16, 16)))
    rng = np.random.default_rng(seed)
    return grey(scene * (1 + rng.normal(0, 0.02)) + rng.normal(0, 3, scene.shape))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [sheet, on_a_table, fixed_camera])
def test_products_that_vary_little_are_no_copies(make: Callable[[int], Image.Image]) -> None:
    assert group_labels(survey([make(seed) for seed in range(40)])) == list(range(40))


@pytest.mark.parametrize("again", [as_jpeg, flickers])
@pytest.mark.parametrize("make", [sheet, on_a_table, None])
def test_near_copies_form_groups_and_are_counted(
    make: Callable[[int], Image.Image] | None,
    again: Callable[[Image.Image], Image.Image],
    picture: Picture,
) -> None:
    make = make or (lambda seed: Image.fromarray(picture(seed, 192, 9.0)))
    images = [make(seed) for seed in range(22)]
    with pytest.warns(UserWarning, match="44 of 44 images are near copies"):
        labels = group_labels(survey([*images, *map(again, images)]))
    assert labels == [*range(22), *range(22)]


def test_the_same_bytes_are_one_group_even_of_a_picture_without_contrast() -> None:
    flat = np.full((64, 64, 3), 100, np.uint8)
    assert group_labels(survey([flat, flat + 9, flat])) == [0, 1, 0]
    assert group_labels(survey([flat])) == [0]
    assert group_labels([]) == []


def test_labels_that_are_given_join_the_copies(photographs: list[Path], tmp_path: Path) -> None:
    assert group_labels(survey(photographs), ["a", "b", "a", "c", "b"]) == [0, 1, 0, 2, 1]
    with pytest.raises(DatasetError, match="a label for each of 5 images, got"):
        group_labels(survey(photographs), [1, 2])
    series = np.array(["a", "b", "a", "c", "b"])
    for same in (series, torch.tensor([1, 2, 1, 3, 2]), list(torch.tensor([1, 2, 1, 3, 2]))):
        assert group_labels(survey(photographs), same) == [0, 1, 0, 2, 1]
    for wrong in (dict.fromkeys(photographs, 1), series[:, None], ["a", "b", None, "a", "b"]):
        with pytest.raises(DatasetError, match="groups: expected"):
            group_labels(survey(photographs), wrong)
    with pytest.raises(DatasetError, match="these images are none"):
        group_labels(survey([np.zeros((4, 4))]), "folder")
    names = ["cam1/part1.png", "cam2/part1.png", "cam1/part2.png", "cam3/other.png"]
    paths = [tmp_path / name for name in names]
    for path, source in zip(paths, photographs, strict=False):
        path.parent.mkdir(exist_ok=True)
        shutil.copy(source, path)
    assert group_labels(survey(paths), r"(part\d)") == [0, 0, 1, 2]
    assert group_labels(survey(paths), "folder") == [0, 1, 0, 2]
    with pytest.raises(DatasetError, match="fits none"):
        group_labels(survey(paths), r"frame\d+")
    twin = shutil.copy(photographs[0], tmp_path / "part7.png")
    assert group_labels(survey([*paths, Path(twin)]), r"part\d") == [0, 0, 1, 2, 0]


def test_what_trains_cannot_calibrate(picture: Picture) -> None:
    images = [Image.fromarray(picture(seed, 192, 9.0)) for seed in range(40)]
    calibration = [as_jpeg(images[0]), images[30], images[31], images[1]]
    with pytest.warns(UserWarning, match="2 of 4 calibration images are copies or near copies"):
        assert apart(survey(calibration), survey(images[:30])) == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # copies among themselves are no copies of training images
        assert apart(survey([images[30], as_jpeg(images[30])]), survey(images[:30])) == [0, 1]


@pytest.mark.parametrize(("parts", "frames"), [(6, 10), (12, 5), (4, 20)])
def test_frames_are_noted(parts: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(parts, 1, 64, generator=generator)
    moved = base + 0.4 * torch.randn(parts, frames, 64, generator=generator)
    rows = moved.flatten(0, 1)
    assert "groups" in str(sequence_note(rows, range(len(rows))))
    if frames == 5:
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        assert "groups" in str(sequence_note(shuffled, range(len(rows))))
    known = [k // frames for k in range(len(rows))]
    assert sequence_note(rows, known) is None, "copies that are known are no news"


def test_independent_images_and_two_days_are_not_noted() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(60, 16, 48, generator=generator)
    assert sequence_note(rows, range(60)) is None
    rows[30:] += 1.5  # another day, other light
    assert sequence_note(rows, range(60)) is None
    assert sequence_note(rows[:3], range(3)) is None
