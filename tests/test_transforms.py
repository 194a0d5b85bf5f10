"""Which views an image has: grids, random angles, zooms and shifts, and fields out of range."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from differnet_lite.transforms import Transformations


def test_grid_upright_and_none() -> None:
    grid = Transformations.grid(16)
    assert grid.angles == tuple(22.5 * k for k in range(16))
    assert grid.test_angles(7) == grid.angles
    assert Transformations.upright(3).angles == (0.0, 0.0, 0.0)
    assert Transformations.none().angles == (0.0,)


def test_random_angles_are_uniform_and_a_function_of_the_seed() -> None:
    t = Transformations(n_test=64, max_angle=30)
    assert t.test_angles(3) == t.test_angles(3) != t.test_angles(4)
    assert len(t.test_angles()) == 64
    drawn = t.draw_angles(100_000, torch.Generator().manual_seed(0))
    assert drawn.abs().max() <= 30
    assert abs(drawn.mean()) < 0.2  # deviation of the mean: 30 / sqrt(3) / sqrt(100000) = 0.055
    assert abs(drawn.std() - 30 / math.sqrt(3)) < 0.2


@pytest.mark.parametrize("t", [Transformations.grid(16), Transformations.upright(6)])
def test_quarter_turns_share_a_zoom_and_a_shift_and_all_else_differs(t: Transformations) -> None:
    views = t.views(t.test_angles())
    assert (views[0].zoom, views[0].shift) == (1, (0, 0))
    made = {}
    for view, angle in zip(views, t.test_angles(), strict=True):
        assert (90 * view.turns + view.rest - angle) % 360 == 0
        assert 1 - t.zoom <= view.zoom <= 1
        assert max(map(abs, view.shift)) <= t.shift
        made.setdefault((view.zoom, view.shift), []).append(view.rest)
    assert len(made) == (4 if t.angles[1] else 6)  # 16 angles over 4 quarter turns; 6 times 0
    assert all(len(set(rests)) == 1 for rests in made.values())
    assert min(zoom for zoom, _ in made) < 1 - 0.8 * t.zoom


@pytest.mark.parametrize(
    "changes",
    [
        {"angles": ()},
        {"angles": (0.0, math.inf)},
        {"n_train": 2.5},
        {"max_angle": 180.5},
        {"fill": "white"},
        {"zoom": 0.6},
        {"shift": -0.1},
        {"contrast": math.nan},
    ],
)
def test_a_field_out_of_range_is_named(changes: dict[str, Any]) -> None:
    (name,) = changes
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got "):
        Transformations(**{"angles": (0.0,)} | changes)


def test_zoom_and_shift_belong_to_a_grid() -> None:
    with pytest.raises(ValueError, match="fixed grid"):
        Transformations(shift=0.1)
