"""Rotations against Pillow and torchvision, exact quarter turns, jitter, and bad arguments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from differnet_lite.transforms import (
    Transformations,
    View,
    iter_resampled,
    iter_views,
    jitter,
    rotate,
    turn_back,
)

Picture = Callable[..., np.ndarray]


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array).permute(2, 0, 1)[None].float() / 255


def disc(size: int, margin: float = 2.0) -> torch.Tensor:
    """True inside the inscribed circle, whose pixels stay in the image at every angle."""
    axis = torch.arange(size) - (size - 1) / 2
    return axis[:, None] ** 2 + axis[None] ** 2 < (size / 2 - margin) ** 2


@pytest.mark.parametrize("fill", ["reflection", "black"])
@pytest.mark.parametrize("turns", [-5, -1, 0, 1, 2, 3, 4, 9])
def test_quarter_turns_move_pixels_exactly(turns: int, fill: Any) -> None:
    images = torch.rand(2, 3, 9, 9)
    expected = torch.rot90(images, turns % 4, (2, 3))
    assert torch.equal(rotate(images, 90.0 * turns, fill=fill), expected)
    assert torch.equal(rotate(images, torch.full((2,), 90.0 * turns), fill=fill), expected)


@pytest.mark.parametrize("angle", [22.5, 45, 110, 200.3, -30])
def test_bilinear_rotation_is_counter_clockwise_like_pillow(picture: Picture, angle: float) -> None:
    array = picture(1, 96)
    expected = as_tensor(
        np.asarray(Image.fromarray(array).rotate(angle, Image.Resampling.BILINEAR))
    )
    difference = (rotate(as_tensor(array), angle, fill="black") - expected).abs()[..., disc(96)]
    assert difference.max() < 1.5 / 255  # Pillow rounds to grey levels
    wrong_way = (rotate(as_tensor(array), -angle, fill="black") - expected).abs()[..., disc(96)]
    assert wrong_way.mean() > 0.05


@pytest.mark.parametrize("angle", [22.5, 80, 133, -30])
def test_black_corners_are_those_of_torchvision(picture: Picture, angle: float) -> None:
    image = as_tensor(picture(2, 96)).clamp_min(0.1)
    expected = TF.rotate(image, angle, InterpolationMode.BILINEAR)
    ours = rotate(image, angle, fill="black")
    outside = (expected == 0).all(1)[0]
    assert outside.sum() > 100
    assert ours[0, :, outside].max() < 0.01
    inside = (
        torch.nn.functional.avg_pool2d((~outside).float()[None, None], 3, 1, 1)[0, 0] == 1
    )  # not the soft border
    torch.testing.assert_close(ours[0][:, inside], expected[0][:, inside], atol=2e-3, rtol=0)


@pytest.mark.parametrize("angle", [17.0, 107.0])
def test_nearest_rotation_takes_pixels_that_exist(picture: Picture, angle: float) -> None:
    image = as_tensor(picture(3, 96)).clamp_min(0.1)
    ours = rotate(image, angle, fill="black", interpolation="nearest")
    assert set(ours.unique().tolist()) <= {0.0, *image.unique().tolist()}
    expected = TF.rotate(image, angle, InterpolationMode.NEAREST)
    assert (
        ours == expected
    ).float().mean() > 0.98  # the rest: ties of distance, rounded differently


def test_reflected_corners_continue_the_picture() -> None:
    flat = torch.full((1, 3, 64, 64), 0.7)
    assert rotate(flat, 45, fill="reflection").sub(0.7).abs().max() < 1e-6
    assert rotate(flat, 45, fill="black").min() == 0


@pytest.mark.parametrize("angle", [10.0, 45.0, 77.0])
def test_there_and_back_gives_the_image_inside_the_inscribed_disc(
    picture: Picture, angle: float
) -> None:
    image = as_tensor(picture(4, 128, smooth=6))
    there = rotate(image, angle)
    back = rotate(there, -angle)
    assert (back - image).abs()[..., disc(128, 4)].max() < 0.02
    assert (there - image).abs()[..., disc(128, 4)].mean() > 0.05


def test_an_angle_for_each_image_equals_one_by_one(picture: Picture) -> None:
    images = torch.cat([as_tensor(picture(k)) for k in range(4)])
    angles = torch.tensor([0.0, -12.5, 90.0, 211.0])
    one_by_one = torch.cat(
        [rotate(image[None], float(a)) for image, a in zip(images, angles, strict=True)]
    )
    torch.testing.assert_close(rotate(images, angles), one_by_one, atol=1e-6, rtol=0)


def test_rotation_is_differentiable() -> None:
    image = torch.rand(1, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotate(x, 33.0), (image,))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 8, 9)])
def test_only_square_batches_are_rotated(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square images"):
        rotate(torch.zeros(shape), 10)


def test_grid_and_none() -> None:
    assert Transformations.grid(16).angles == tuple(22.5 * k for k in range(16))
    assert Transformations.grid(16).test_angles(7) == Transformations.grid(16).angles
    assert Transformations.none().angles == (0.0,)
    assert Transformations.grid(2, fill="black").fill == "black"


def test_random_angles_are_uniform_and_a_function_of_the_seed() -> None:
    t = Transformations(n_test=64, max_angle=30)
    assert t.test_angles(3) == t.test_angles(3)
    assert t.test_angles(3) != t.test_angles(4)
    assert len(t.test_angles()) == 64
    drawn = t.draw_angles(100_000, torch.Generator().manual_seed(0))
    assert drawn.abs().max() <= 30
    assert abs(drawn.mean()) < 0.2  # deviation of the mean: 30 / sqrt(3) / sqrt(100000) = 0.055
    assert abs(drawn.std() - 30 / math.sqrt(3)) < 0.2


NUMBERS_ARE_NO = ("0.5", True, None, [1], math.nan, math.inf, -math.inf)
WHOLE_NUMBERS_ARE_NO = (*NUMBERS_ARE_NO, 2.0, 2.5, 0, -1)
WORDS_ARE_NO = (None, True, 1, "", "white", "REFLECTION", ["black"])
WRONG: dict[str, tuple[Any, ...]] = {
    "angles": ("0, 90", b"1", 3.0, True, (), [math.nan], (0.0, math.inf), ["0"], [True], {0.0: 1}),
    "n_train": WHOLE_NUMBERS_ARE_NO,
    "n_test": WHOLE_NUMBERS_ARE_NO,
    "max_angle": (*NUMBERS_ARE_NO, -1e-9, 180.5),
    "fill": WORDS_ARE_NO,
    "interpolation": (*WORDS_ARE_NO, "cubic"),
    "zoom": (*NUMBERS_ARE_NO, -0.1, 0.6),
    "shift": (*NUMBERS_ARE_NO, -0.1, 0.3),
    "brightness": (*NUMBERS_ARE_NO, -0.1, 1.0),
    "contrast": (*NUMBERS_ARE_NO, -0.1, 1.0, 2),
}


def test_every_field_is_named_in_the_table_of_wrong_values() -> None:
    assert set(WRONG) == {field.name for field in dataclasses.fields(Transformations)}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, wrong in WRONG.items() for v in wrong])
def test_bad_transformations_are_named(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: expected .*, got "):
        Transformations(**{name: value})


def test_good_transformations_come_in_plain_types() -> None:
    t = Transformations(
        angles=np.array([0, 90], dtype=np.int32),  # type: ignore[arg-type]
        n_train=np.int64(3),  # type: ignore[arg-type]
        max_angle=0,
        brightness=np.float32(0.5),  # type: ignore[arg-type]
    )
    assert t.angles == (0.0, 90.0) and {type(a) for a in t.angles} == {float}
    assert [type(v) for v in (t.n_train, t.max_angle, t.brightness)] == [int, float, float]
    assert t.jitters and not Transformations().jitters
    assert Transformations(contrast=0.1).jitters
    with pytest.raises(dataclasses.FrozenInstanceError):
        t.n_train = 5  # type: ignore[misc]


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_views_are_rotations_and_quarter_turns_share_one_resampling(
    picture: Picture, interpolation: Any
) -> None:
    images = torch.cat([as_tensor(picture(k)) for k in range(2)])
    angles = (10.0, 100.0, 0.0, -80.0, 270.0, 45.0)
    t = Transformations(fill="black", interpolation=interpolation)
    seen = dict(iter_views(images, angles, t))
    assert sorted(seen) == list(range(6))
    for k, angle in enumerate(angles):
        expected = rotate(images, angle, fill="black", interpolation=interpolation)
        torch.testing.assert_close(seen[k], expected, rtol=0, atol=1e-6)
    shared = [views for _, views in iter_resampled(images, angles, t)]
    assert shared == [[(0, 0), (1, 1), (3, 3)], [(2, 0), (4, 3)], [(5, 0)]]


VIEWED = [
    Transformations.grid(16),
    Transformations.upright(6),
    Transformations.grid(7, fill="black"),
]


@pytest.mark.parametrize("t", VIEWED, ids=["grid", "upright", "black"])
def test_views_are_zoomed_and_shifted_and_drawn_back(picture: Picture, t: Transformations) -> None:
    image, angles = as_tensor(picture(5, 160, smooth=8)), t.angles or ()
    made = t.views(angles)
    assert (made[0].zoom, made[0].shift) == (1, (0, 0))
    assert len({(v.rest, v.zoom, v.shift) for v in made}) == len({v[1:] for v in made})
    for k, seen in iter_views(image, angles, t):
        back = turn_back(seen, made[k], fill=t.fill)
        assert (back - image).abs()[..., disc(160, 24)].max() < 0.03
        moved = rotate(image, angles[k], fill=t.fill)
        assert ((seen - moved).abs().mean() < 1e-6) == (made[k].zoom == 1)


@pytest.mark.parametrize(("zoom", "shift"), [(0.8, (0.0, 0.0)), (1.0, (0.1, -0.2))])
def test_a_view_shows_the_picture_smaller_and_moved(
    zoom: float, shift: tuple[float, float]
) -> None:
    image = torch.zeros(1, 1, 101, 101)
    image[..., 50, 80] = 1  # 30 px right of the centre
    t = Transformations(angles=(0.0,), fill="black")
    chosen = View(0, 0.0, zoom, shift)
    object.__setattr__(t, "views", lambda angles: [chosen])
    seen = dict(iter_views(image, (0.0,), t))[0][0, 0]
    y, x = divmod(int(seen.argmax()), 101)
    assert abs(x - 50 - (30 * zoom + 101 * shift[0] * zoom)) < 1
    assert abs(y - 50 - 101 * shift[1] * zoom) < 1


def test_only_some_views_are_made_as_they_would_be_among_all(picture: Picture) -> None:
    image, t = as_tensor(picture(6)), Transformations.grid(16)
    everything = dict(iter_views(image, t.test_angles(), t))
    some = dict(iter_views(image, t.test_angles(), t, only={3, 9}))
    assert sorted(some) == [3, 9]
    assert all(torch.equal(view, everything[k]) for k, view in some.items())


def test_zoom_and_shift_belong_to_a_grid() -> None:
    for name in ("zoom", "shift"):
        with pytest.raises(ValueError, match="fixed grid"):
            Transformations(**{name: 0.1})


def test_brightness_multiplies_each_image_by_a_factor_of_its_own() -> None:
    images = torch.full((500, 3, 2, 2), 0.5)
    brighter = jitter(images, Transformations(brightness=0.2), torch.Generator().manual_seed(0))
    factors = brighter[:, 0, 0, 0] / 0.5
    torch.testing.assert_close(brighter, images * factors[:, None, None, None])
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2
    assert factors.std() == pytest.approx(0.4 / math.sqrt(12), rel=0.1)


def test_contrast_keeps_the_mean_grey() -> None:
    images = 0.4 + 0.2 * torch.rand(50, 3, 8, 8)
    varied = jitter(images, Transformations(contrast=0.5), torch.Generator().manual_seed(0))
    torch.testing.assert_close(varied.mean((1, 2, 3)), images.mean((1, 2, 3)))
    ratio = varied.std((1, 2, 3)) / images.std((1, 2, 3))
    assert ratio.min() >= 0.5 - 1e-5
    assert ratio.max() <= 1.5 + 1e-5
    assert ratio.std() > 0.2


def test_jitter_is_clipped_and_off_by_default() -> None:
    images = torch.rand(20, 3, 8, 8)
    strong = jitter(
        images, Transformations(brightness=0.9, contrast=0.9), torch.Generator().manual_seed(0)
    )
    assert strong.min() >= 0
    assert strong.max() <= 1
    assert jitter(images, Transformations(), torch.Generator()) is images
