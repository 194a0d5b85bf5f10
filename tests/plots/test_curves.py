"""Curves and bars, and the training curve."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_course import plots


def test_history_skips_what_was_not_measured():
    figure = plots.plot_history(
        {"epoch": [1, 2, 3], "train": [1.0, 0.5, -0.25], "held_out": [None, 0.75, None]}
    )
    train, held_out = figure.data
    assert list(train.y) == [1, 0.5, -0.25]
    assert (list(held_out.x), list(held_out.y)) == ([2], [0.75])
    assert "\N{MINUS SIGN}0.250" in train.name
    assert train.line.dash != held_out.line.dash
    assert "nats per dimension" in figure.layout.yaxis.title.text


def test_history_without_held_out_images():
    for history in ({"epoch": [1], "train": [1.0]}, {"epoch": [1], "train": [1.0], "held_out": []}):
        assert len(plots.plot_history(history).data) == 1


@pytest.mark.parametrize(
    "history", [{}, {"epoch": [1]}, {"epoch": [1, 2], "train": [1.0]}, {"train": [1.0]}]
)
def test_history_errors(history):
    with pytest.raises(ValueError, match="of one length"):
        plots.plot_history(history)


def test_curves_differ_in_colour_dash_and_marker():
    curves = plots.plot_curves(
        [0, 1], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, x_title="x", y_title="y", line=("limit", 0.5)
    )
    assert [curve.name for curve in curves.data] == ["a", "b", "limit"]
    assert len({(curve.line.color, curve.line.dash) for curve in curves.data}) == 3
    assert len(curves.to_json()) < 30_000


def test_curves_with_bars_a_level_a_title_and_options_of_the_axes():
    figure = plots.plot_curves(
        [1, 2],
        {"a": [3, 4], "b": [4, 5]},
        bands={"a": ([2, 3], [4, 6])},
        x_title="x",
        y_title="y",
        title="both",
        level=3.5,
        x_type="log",
        y_range=[0, 9],
    )
    first, second = figure.data
    assert first.error_y.array.tolist() == [1, 2] and first.error_y.arrayminus.tolist() == [1, 1]
    assert second.error_y.array is None
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 3.5
    assert figure.layout.xaxis.type == "log" and figure.layout.yaxis.range == (0, 9)
    assert figure.layout.title.text == "both" and figure.layout.showlegend


def test_a_single_curve_needs_no_legend_and_many_points_no_markers():
    figure = plots.plot_curves(range(100), {"a": range(100)}, x_title="x", y_title="y", log=True)
    assert not figure.layout.showlegend and figure.data[0].mode == "lines"
    assert (figure.layout.yaxis.type, figure.layout.yaxis.dtick) == ("log", 1)


def test_small_positions_are_kept():
    x = np.array([1, 2]) / 3000
    figure = plots.plot_curves(x, {"a": [1, 2]}, x_title="x", y_title="y")
    np.testing.assert_allclose(figure.data[0].x, x, rtol=1e-3)


def test_options_of_no_axis_are_named():
    with pytest.raises(TypeError, match="colour"):
        plots.plot_curves([1], {"a": [1]}, x_title="x", y_title="y", colour="red")
