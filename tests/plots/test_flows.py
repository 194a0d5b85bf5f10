"""Figures of flows in two dimensions: the stages are those of the flow, and figures hold them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differnet_course import plots
from differnet_course.flows import MADE, Chain, Permute, density_on_grid, two_moons


def test_stages_lead_from_the_data_to_the_latents():
    flow = Chain([MADE(2), Permute([1, 0]), MADE(2)])
    y = two_moons(50)
    first, *_, last = plots.stages(flow, y, n=11)
    assert first.log_det == 0 and torch.equal(first.points, y)
    torch.testing.assert_close(last.points, flow(y)[0].detach())
    assert last.log_det == pytest.approx(flow(y)[1].mean().item())
    u, v = (torch.as_tensor(axis) for axis in last.axes)
    normal = torch.exp(-0.5 * (u[None] ** 2 + v[:, None] ** 2)) / (2 * np.pi)
    np.testing.assert_allclose(last.density, normal, atol=1e-6)
    lines, points, heat = plots.plot_stages({"end": last}).data
    np.testing.assert_allclose(points.x, last.points[:, 0], rtol=1e-6)
    np.testing.assert_allclose(heat.z, last.density, rtol=1e-6)
    assert len(lines.x) == last.lines.shape[0] * (last.lines.shape[1] + 1)  # a gap after each


def test_grids_densities_and_matrices_hold_what_they_are_given():
    outline = plots.square((1.0, 2.0), 0.5)
    a, b = outline.T
    area = 0.5 * (a[:-1] * b[1:] - a[1:] * b[:-1]).sum().item()
    assert area == pytest.approx(0.25)  # and anticlockwise
    lines = plots.grid_lines(n_lines=3, n_points=5)
    assert lines.shape == (6, 5, 2)
    cell, grid = plots.plot_grids({"a": lines}, cells={"a": [outline]}).data
    np.testing.assert_allclose(cell.x, a)
    assert np.isnan(grid.x).sum() == 6
    flow = Chain([MADE(2)])
    x, y, density = density_on_grid(flow, n=7)
    figure = plots.plot_densities({"p": (x, y, density)}, points=torch.zeros(3, 2))
    np.testing.assert_allclose(figure.data[0].z, density, rtol=1e-6)
    assert len(figure.data[1].x) == 3
    matrix = plots.plot_matrices({"I": torch.eye(3)}).data[0]
    assert np.array_equal(matrix.z, np.eye(3)) and matrix.texttemplate
