"""Scores by kind of image: the threshold, the order, hover texts, errors. No browser is needed."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from differnet_course import plots
from differnet_lite.thresholds import Threshold


def traces(figure: go.Figure, kind: str) -> list:
    return [trace for trace in figure.data if trace.type == kind]


def named(figure: go.Figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


SCORES = np.array([5.0, 1.0, 1.2, 9.0, 0.9])


KINDS = ["scratch", "good", "good", "crack", "good"]


@pytest.mark.parametrize("log", [True, False])
def test_threshold_line_sits_at_theta(log):
    rule = Threshold(1.1, 0.05, 19, "conformal", 0.05)
    for theta in (1.1, rule):
        line = named(plots.plot_scores(SCORES, KINDS, threshold=theta, log=log), "threshold")
        assert list(line.x) == [1.1, 1.1]


def test_good_comes_first_and_flagged_counts_include_equality():
    ticks = plots.plot_scores(SCORES, KINDS, threshold=1.2).layout.yaxis.ticktext
    assert [tick.split("<br>")[0] for tick in ticks] == ["good", "scratch", "crack"]
    assert "n = 3, 1 flagged" in ticks[0]  # 1.2 >= 1.2


def test_hover_names_belong_to_their_scores():
    names = [f"{kind}/{i}.png" for i, kind in enumerate(KINDS)]
    figure = plots.plot_scores(SCORES, KINDS, names=names)
    shown = {
        text: x
        for trace in traces(figure, "scatter")
        for text, x in zip(trace.text, trace.x, strict=True)
    }
    assert shown == dict(zip(names, SCORES, strict=True))


def test_scores_in_a_given_order():
    rows = {}
    for order in (None, ["b", "a", "good", "none of these"]):
        figure = plots.plot_scores([1.0, 2.0, 3.0], ["good", "a", "b"], order=order)
        rows[order is None] = [tick.split("<br>")[0] for tick in figure.layout.yaxis.ticktext]
    assert rows == {True: ["good", "a", "b"], False: ["b", "a", "good"]}
    with pytest.raises(ValueError, match="missing"):
        plots.plot_scores([1.0, 2.0], ["good", "a"], order=["good"])


def test_scores_are_drawn_without_chance_and_leave_the_global_generator_alone():
    state = np.random.get_state()[1].copy()
    assert plots.plot_scores(SCORES, KINDS).to_json() == plots.plot_scores(SCORES, KINDS).to_json()
    assert (np.random.get_state()[1] == state).all()


def test_markup_in_names_is_shown_literally():
    figure = plots.plot_scores([1.0], ["<b>&"], names=["</script><i>\udcff.png"])
    marker = next(trace for trace in traces(figure, "scatter") if trace.mode == "markers")
    assert marker.text[0] == "&lt;/script&gt;&lt;i&gt;?.png"
    assert marker.name == "&lt;b&gt;&amp;"
    figure.to_json()


def test_kinds_differ_in_colour_or_shape():
    kinds = [f"kind {i}" for i in range(20)]
    markers = [t.marker for t in traces(plots.plot_scores(np.arange(1.0, 21), kinds), "scatter")]
    assert len({(marker.color, marker.symbol) for marker in markers}) == 20


@pytest.mark.parametrize(
    ("scores", "kinds", "options", "message"),
    [
        ([1.0, 2.0], ["good"], {}, "got 1 kinds and 2 names"),
        ([[1.0]], ["good"], {}, r"got shape \(1, 1\)"),
        ([], [], {}, "at least one"),
        ([1.0, np.nan], ["good"] * 2, {}, "1 that are not, of 2"),
        ([1.0, -1.0], ["good"] * 2, {}, "log=False"),
        ([1.0, 2.0], ["good"] * 2, {"threshold": 0.0}, "log=False"),
        ([1.0, 2.0], ["good"] * 2, {"names": ["a"]}, "2 kinds and 1 names"),
    ],
)
def test_scores_errors(scores, kinds, options, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_scores(scores, kinds, **options)


def test_negative_scores_on_a_linear_axis():
    figure = plots.plot_scores([-1.0, 2.0], ["good", "good"], threshold=-0.5, log=False)
    assert figure.layout.xaxis.type != "log"
