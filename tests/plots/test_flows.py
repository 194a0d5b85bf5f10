"""Figures of flows in two dimensions hold what they are given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differnet_course import plots
from differnet_course.flows import MADE, Chain, density_on_grid
from differnet_course.plots.motion import plot_mapping, plot_motion


def test_grids_densities_and_matrices_hold_what_they_are_given():
    outline = plots.square((1.0, 2.0), 0.5)
    lines = plots.grid_lines(n_lines=3, n_points=5)
    assert lines.shape == (6, 5, 2)
    figure = plots.plot_grids({"a": lines, "b": 3 * lines}, cells={"a": [outline], "b": []})
    assert figure.layout.xaxis2.matches == "x" and figure.layout.yaxis.scaleanchor == "x"
    cell, grid, _ = figure.data
    assert area(cell) == pytest.approx(0.25)
    assert np.isnan(grid.x).sum() == 6
    x, y, density = density_on_grid(Chain([MADE(2)]), n=7)
    figure = plots.plot_densities({"p": (x, y, density)}, points=torch.zeros(3, 2))
    np.testing.assert_allclose(figure.data[0].z, density, rtol=1e-6)
    assert len(figure.data[1].x) == 3
    assert np.array_equal(plots.plot_matrices({"I": torch.eye(3)}).data[0].z, np.eye(3))


def area(outline) -> float:
    x, y = np.asarray(outline.x, float), np.asarray(outline.y, float)
    return abs(0.5 * float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()))


@pytest.mark.parametrize(("slope", "shape"), [(1.0, "a peak"), (2**0.5, "flat"), (2.0, "a valley")])
def test_strips_of_equal_probability_keep_their_area(slope, shape):
    figure = plot_mapping([0.5, slope], shown=slope)
    assert [frame.name.split(":")[0] for frame in figure.frames] == ["k = 0.50", f"k = {slope:.2f}"]
    assert f"{shape} at 0.5; area 1.00" in figure.frames[1].name
    assert figure.layout.sliders[0].active == 1
    inner = slice(1, 9)  # the outer strips have tails
    below, side = figure.data[:10][inner], figure.data[10:20][inner]
    np.testing.assert_allclose([area(strip) for strip in (*below, *side)], 0.1, atol=2e-3)
    moved = figure.frames[0].data[:10][inner]
    np.testing.assert_allclose([area(strip) for strip in moved], 0.1, atol=4e-3)


def test_an_animation_holds_each_state_and_shows_the_one_it_is_told():
    points, lines = torch.rand(4, 2), plots.grid_lines(n_lines=3, n_points=5)
    states = {"step 0": {"y": (points, lines)}, "step 9": {"y": (2 * points, 2 * lines)}}
    figure = plot_motion(states, title="t", shown="step 9", hues=[torch.zeros(4)])
    np.testing.assert_allclose(figure.data[1].x, 2 * points[:, 0], atol=1e-3)
    first, last = figure.frames
    np.testing.assert_allclose(first.data[1].x, points[:, 0], atol=1e-3)
    np.testing.assert_allclose(last.data[0].y, figure.data[0].y)
    play, back, _ = figure.layout.updatemenus[0].buttons
    assert (list(play.args[0]), list(back.args[0])) == (["step 0", "step 9"], ["step 9", "step 0"])
