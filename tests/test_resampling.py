"""Rotations against Pillow and torchvision, exact quarter turns, views and their way back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from differnet_lite.resampling import iter_views, jitter, rotate, shared_views, turn_back
from differnet_lite.transforms import Transformations, View

Picture = Callable[..., np.ndarray]


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array).permute(2, 0, 1)[None].float() / 255


def disc(size: int, margin: float = 2.0) -> torch.Tensor:
    """True inside the inscribed circle, whose pixels stay in the image at every angle."""
    axis = torch.arange(size) - (size - 1) / 2
    return axis[:, None] ** 2 + axis[None] ** 2 < (size / 2 - margin) ** 2


@pytest.mark.parametrize("turns", [-5, 0, 1, 2, 3, 9])
def test_quarter_turns_move_pixels_exactly(turns: int) -> None:
    images = torch.rand(2, 3, 9, 9)
    expected = torch.rot90(images, turns % 4, (2, 3))
    assert torch.equal(rotate(images, 90.0 * turns), expected)
    assert torch.equal(rotate(images, torch.full((2,), 90.0 * turns), fill="black"), expected)


@pytest.mark.parametrize("angle", [22.5, 133, -30])
def test_rotations_and_black_corners_are_those_of_torchvision(
    picture: Picture, angle: float
) -> None:
    image = as_tensor(picture(2, 96)).clamp_min(0.1)
    expected = TF.rotate(image, angle, InterpolationMode.BILINEAR)
    ours = rotate(image, angle, fill="black")
    outside = (expected == 0).all(1)[0]
    assert outside.sum() > 100
    assert ours[0, :, outside].max() < 0.01
    inside = torch.nn.functional.avg_pool2d((~outside).float()[None, None], 3, 1, 1)[0, 0] == 1
    torch.testing.assert_close(ours[0][:, inside], expected[0][:, inside], atol=2e-3, rtol=0)
    nearest = rotate(image, angle, fill="black", interpolation="nearest")
    same = nearest == TF.rotate(image, angle, InterpolationMode.NEAREST)
    assert same.float().mean() > 0.98  # the rest are ties of distance


def test_reflected_corners_continue_the_picture() -> None:
    flat = torch.full((1, 3, 64, 64), 0.7)
    assert rotate(flat, 45, fill="reflection").sub(0.7).abs().max() < 1e-6
    with pytest.raises(ValueError, match="square images"):
        rotate(flat[:, :, 1:], 10)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_views_are_rotations_and_quarter_turns_share_one_resampling(
    picture: Picture, interpolation: Any
) -> None:
    images = torch.cat([as_tensor(picture(k)) for k in range(2)])
    angles = (10.0, 100.0, 0.0, -80.0, 270.0, 45.0)
    t = Transformations(fill="black", interpolation=interpolation)
    views = dict(iter_views(images, angles, t))
    assert sorted(views) == list(range(6))
    for k, angle in enumerate(angles):
        expected = rotate(images, angle, fill="black", interpolation=interpolation)
        torch.testing.assert_close(views[k], expected, rtol=0, atol=1e-6)
    shared = [turns for _, turns in shared_views(images, angles, t)]
    assert shared == [[(0, 0), (1, 1), (3, 3)], [(2, 0), (4, 3)], [(5, 0)]]
    some = dict(iter_views(images, angles, t, only={3, 4}))
    assert sorted(some) == [3, 4]
    torch.testing.assert_close(some[3], views[3], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "t", [Transformations.grid(16), Transformations.upright(6), Transformations.grid(7)]
)
def test_views_are_zoomed_and_shifted_and_drawn_back(picture: Picture, t: Transformations) -> None:
    image = as_tensor(picture(5, 160, smooth=8))
    views = t.views(t.test_angles())
    for k, pixels in iter_views(image, t.test_angles(), t):
        back = turn_back(pixels, views[k], fill=t.fill)
        assert (back - image).abs()[..., disc(160, 24)].max() < 0.03
        rotated = rotate(image, t.test_angles()[k], fill=t.fill)
        assert ((pixels - rotated).abs().mean() < 1e-6) == (views[k].zoom == 1)


@pytest.mark.parametrize(("zoom", "shift"), [(0.8, (0.0, 0.0)), (1.0, (0.1, -0.2))])
def test_a_view_shows_the_picture_smaller_and_moved(
    zoom: float, shift: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.zeros(1, 1, 101, 101)
    image[..., 50, 80] = 1  # 30 px right of the centre
    view = View(0, 0.0, zoom, shift)
    monkeypatch.setattr(Transformations, "views", lambda self, angles: [view])
    pixels = dict(iter_views(image, (0.0,), Transformations(fill="black")))[0][0, 0]
    y, x = divmod(int(pixels.argmax()), 101)
    assert abs(x - 50 - (30 * zoom + 101 * shift[0] * zoom)) < 1
    assert abs(y - 50 - 101 * shift[1] * zoom) < 1


def test_brightness_multiplies_each_image_by_its_own_factor() -> None:
    images = torch.full((500, 3, 2, 2), 0.5)
    brighter = jitter(images, Transformations(brightness=0.2), torch.Generator().manual_seed(0))
    factors = brighter[:, 0, 0, 0] / 0.5
    torch.testing.assert_close(brighter, images * factors[:, None, None, None])
    assert factors.min() >= 0.8 and factors.max() <= 1.2
    assert factors.std() == pytest.approx(0.4 / math.sqrt(12), rel=0.1)


def test_contrast_leaves_the_mean_grey() -> None:
    images = 0.4 + 0.2 * torch.rand(50, 3, 8, 8)
    varied = jitter(images, Transformations(contrast=0.5), torch.Generator().manual_seed(0))
    torch.testing.assert_close(varied.mean((1, 2, 3)), images.mean((1, 2, 3)))
    ratio = varied.std((1, 2, 3)) / images.std((1, 2, 3))
    assert ratio.min() >= 0.5 - 1e-5 and ratio.max() <= 1.5 + 1e-5
    assert ratio.std() > 0.2
    strong = Transformations(brightness=0.9, contrast=0.9)
    varied = jitter(images, strong, torch.Generator().manual_seed(0))
    assert varied.min() >= 0 and varied.max() <= 1
    assert jitter(images, Transformations(), torch.Generator()) is images
