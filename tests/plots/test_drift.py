"""The figure of a stream: the alarm, its bar, names as they are, errors."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_course import plots
from differnet_course.drift import Drift, drift_martingale


def named(figure, name):
    return next(trace for trace in figure.data if trace.name.startswith(name))


def test_bar_alarm_and_curve_are_where_the_test_says():
    drift = drift_martingale(np.r_[np.full(500, 0.5), np.full(40, 0.01)], delta=0.02)
    figure = plots.plot_drift(drift)
    assert list(named(figure, "alarm at").y) == [50, 50]
    alarm = named(figure, "first alarm")
    assert list(alarm.x) == [drift.alarm + 1] and alarm.y[0] >= 50
    curve = named(figure, "evidence")
    assert len(curve.x) <= 201 and curve.x[0] == 1 and curve.x[-1] == 540
    assert drift.alarm + 1 in curve.x
    np.testing.assert_allclose(np.log(curve.y), drift.log_martingale[np.array(curve.x) - 1])
    assert f"image {drift.alarm + 1}" in figure.layout.title.text


def test_without_an_alarm_there_is_no_marker_and_names_are_literal():
    figure = plots.plot_drift(drift_martingale([0.5, 0.4]), names=["<b>", "b.png"])
    assert [trace.name.split(" ")[0] for trace in figure.data] == ["evidence", "alarm"]
    assert list(figure.data[0].text) == ["&lt;b&gt;", "b.png"]
    assert "no alarm" in figure.layout.title.text


def test_a_very_long_run_of_evidence_can_be_drawn():
    drift = Drift(np.zeros(2), np.array([1e4, -1e4]), 0.01, 0)
    assert np.isfinite(plots.plot_drift(drift).data[0].y).all()


@pytest.mark.parametrize(
    ("drift", "names", "message"),
    [
        (drift_martingale([]), None, "drift: expected a stream of at least one image"),
        (drift_martingale([0.5]), ["a", "b"], "names: expected 1, one for each image, got 2"),
        (drift_martingale([0.5]), "a", "names: expected"),
        (3, None, "drift: expected a Drift, got 3"),
    ],
)
def test_errors(drift, names, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plots.plot_drift(drift, names=names)
