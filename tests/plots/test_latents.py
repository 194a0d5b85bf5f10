"""Latents against the standard normal."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from differnet_course import plots


def latents(n: int = 100, d: int = 80) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


def named(figure: go.Figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def test_qq_of_normals_lies_on_the_diagonal():
    curve = plots.plot_qq(latents(2000, 50)).data[0]
    inner = np.abs(curve.x) < 3
    assert np.abs(np.asarray(curve.y) - curve.x)[inner].max() < 0.1
    assert len(curve.x) <= 201
    assert max(curve.x) > 4  # the tails are shown


def test_qq_of_scaled_latents_has_their_slope():
    curve = plots.plot_qq(3 * latents(1000)).data[0]
    assert np.polyfit(curve.x, curve.y, 1)[0] == pytest.approx(3, rel=0.05)


def test_qq_of_single_dimensions():
    z = latents()
    z[:, 7] += 10
    figure = plots.plot_qq(z, dimensions=[7, 0])
    assert np.mean(named(figure, "dimension 7").y) == pytest.approx(10, abs=0.5)
    assert np.mean(named(figure, "dimension 0").y) == pytest.approx(0, abs=0.5)


def test_variances_are_sorted_with_the_line_at_one():
    z = latents(500, 30) * np.linspace(0.5, 2, 30)
    figure = plots.plot_variances(z)
    np.testing.assert_allclose(
        named(figure, "measured").y, np.sort(z.var(axis=0, ddof=1))[::-1], rtol=1e-6
    )
    assert list(named(figure, "variance 1").y) == [1, 1]


def test_expected_variances_match_standard_normals():
    z = np.random.default_rng(3).normal(size=(20, 4000))
    figure = plots.plot_variances(z)
    expected, measured = (
        named(figure, "standard normal, N = 20"),
        np.asarray(named(figure, "measured").y),
    )
    inner = slice(10, -10)
    np.testing.assert_allclose(
        np.asarray(expected.y)[inner], measured[np.asarray(expected.x) - 1][inner], rtol=0.06
    )


def test_constant_dimensions_are_counted_not_drawn():
    z = latents(50, 10)
    z[:, :3] = 0
    figure = plots.plot_variances(z)
    assert "3 of variance 0" in figure.layout.title.text
    assert len(named(figure, "measured").y) == 7
    correlation = np.asarray(plots.plot_covariance(z).data[0].z)
    assert np.isnan(correlation[:3]).all()
    with pytest.raises(ValueError, match="latents that vary"):
        plots.plot_variances(np.zeros((5, 4)))


def test_correlation_is_that_of_numpy_on_a_scale_centred_at_zero():
    z = latents(200, 80)
    z[:, 1] = z[:, 0] + 0.5 * z[:, 1]
    heat = plots.plot_covariance(z, n=16).data[0]
    expected = np.corrcoef(z[:, :16], rowvar=False)
    off = ~np.eye(16, dtype=bool)
    np.testing.assert_allclose(np.asarray(heat.z)[off], expected[off], atol=6e-4)
    assert np.isnan(np.diag(heat.z)).all()
    assert heat.zmin == -heat.zmax
    assert heat.zmax >= np.abs(expected[off]).max()


@pytest.mark.parametrize("draw", [plots.plot_qq, plots.plot_variances, plots.plot_covariance])
@pytest.mark.parametrize(
    "z", [np.zeros(5), np.zeros((1, 5)), np.zeros((2, 3, 4)), np.full((4, 4), np.nan)]
)
def test_latents_errors(draw, z):
    with pytest.raises(ValueError, match=r"^z: expected"):
        draw(z)


def test_dimension_errors():
    with pytest.raises(ValueError, match=r"0\.\.79, got \[80\]"):
        plots.plot_qq(latents(), dimensions=[80])
    with pytest.raises(ValueError, match="at most 128"):
        plots.plot_covariance(latents(), n=1)
