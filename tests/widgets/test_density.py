"""The density explorer, without a browser: exact at every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.flows import MADE, AdditiveCoupling, Chain, Inverse, Permute, two_moons
from differnet_course.widgets import DensityExplorer
from differnet_course.widgets.density import Deformation


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    swap = Permute([1, 0])
    parts = [Chain([swap, MADE(2)]), AdditiveCoupling(2), Chain([swap, Inverse(MADE(2))])]
    return Chain(parts)


def test_between_two_blocks_the_density_is_exact_and_nothing_jumps(flow):
    y = two_moons(300)
    deformation = Deformation(flow, y)
    swaps = [0, 1, 1, 2]  # so many lie before each time
    for k in range(4):
        points, log_det = Chain(list(flow.parts)[:k])(y)
        here = deformation.rows(k)[:300]
        torch.testing.assert_close(here, points.flip(1) if swaps[k] % 2 else points)
        assert deformation.log_det(k) == pytest.approx(log_det.mean().item(), abs=1e-5)
    across, up, density = deformation.density(3)
    normal = np.exp(-0.5 * (across[None] ** 2 + up[:, None] ** 2)) / (2 * np.pi)
    np.testing.assert_allclose(density, normal, atol=1e-5)
    for time in (0.2, 0.5, 0.8, 1.3, 2.7):
        across, up, density = deformation.density(time, n=151)
        assert 0.9 < density.sum() * (across[1] - across[0]) ** 2 < 1.001
        moved = deformation.rows(time + 1e-3) - deformation.rows(time)
        assert float(moved[:300].abs().max()) < 0.05


def test_the_slider_moves_the_drawing_and_a_click_follows_a_point(flow):
    explorer = DensityExplorer(flow, two_moons(50))
    assert "after 0 of 3 blocks (the data y)" in explorer.label.value
    before = explorer.plot.trace1
    explorer.slider.value = 0.35
    assert explorer.plot.trace1 != before and "between y and z" in explorer.label.value
    explorer.plot.clicked = {"trace": 1, "index": 7, "x": 0.0, "y": 0.0}
    way, point = explorer.figure.data[3:]
    assert point.x[0] == explorer.figure.data[1].x[7] and len(way.x) == 61
    explorer.slider.value = 3
    assert point.y[0] == pytest.approx(way.y[-1]) and "the latent z" in explorer.label.value
