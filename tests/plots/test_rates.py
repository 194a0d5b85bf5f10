"""The ROC curve and false-alarm rates: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from differnet_course import plots
from differnet_lite.metrics import auroc


def named(figure: go.Figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def test_roc_of_a_perfect_score():
    figure = plots.plot_roc([0] * 10 + [1] * 10, range(20))
    curve = named(figure, "ROC")
    assert "AUROC 1.000 [1.000, 1.000]" in figure.layout.title.text
    assert (0.0, 1.0) in set(zip(curve.x, curve.y, strict=True))
    assert curve.text[0] == "above every score"


def test_roc_is_thinned_but_keeps_its_ends_and_its_area():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 4000)
    scores = y + generator.normal(size=4000)
    curve = named(plots.plot_roc(y, scores, n_resamples=20), "ROC")
    assert len(curve.x) <= 201
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(auroc(y, scores), abs=2e-3)


def test_roc_band_contains_the_curve_and_repeats_with_its_seed():
    generator = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    scores = y + generator.normal(size=80)
    figure = plots.plot_roc(y, scores, seed=3)
    x, band = (
        np.split(np.asarray(figure.data[0].x), 2)[0],
        np.split(np.asarray(figure.data[0].y), 2),
    )
    curve = named(figure, "ROC")
    middle = np.interp(x, curve.x, curve.y)
    assert ((band[1][::-1] <= middle + 0.03) & (middle <= band[0] + 0.03)).all()
    assert figure.to_json() == plots.plot_roc(y, scores, seed=3).to_json()


def test_roc_errors():
    with pytest.raises(ValueError, match="both present"):
        plots.plot_roc([0, 0], [1.0, 2.0])
    with pytest.raises(
        ValueError, match="n_resamples: expected a whole number of at least 1, got 0"
    ):
        plots.plot_roc([0, 1], [1.0, 2.0], n_resamples=0)


def test_calibration_curve_is_the_share_of_p_values_at_most_alpha():
    p = np.array([0.05, 0.05, 0.2, 0.9])
    curve = named(plots.plot_calibration(p), "obtained")
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.0], at[0.05], at[0.2], at[0.9], at[1.0]) == (0, 0.5, 0.75, 1, 1)
    assert curve.line.shape == "hv"


def test_calibration_of_many_is_thinned():
    curve = named(plots.plot_calibration(np.random.default_rng(0).random(5000)), "obtained")
    assert len(curve.x) <= 201
    assert np.abs(np.asarray(curve.x) - curve.y).max() < 0.03


def test_calibration_errors():
    with pytest.raises(ValueError, match=r"\[0, 1\], got -0.1..0.5"):
        plots.plot_calibration([-0.1, 0.5])
    with pytest.raises(ValueError, match="at least one"):
        plots.plot_calibration([])
