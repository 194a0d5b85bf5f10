"""The widget that shows a figure, without a browser."""

from __future__ import annotations

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

import plotly.graph_objects as go

from differnet_course.widgets.plot import Plot


def test_it_sends_what_has_changed_and_one_library_for_all():
    figure = go.Figure([go.Scatter(y=[1, 2]), go.Scatter(y=[3, 4])])
    plot = Plot(figure)
    sent = []
    plot.observe(lambda change: sent.append(change["name"]), names=["trace0", "trace1"])
    plot.draw()
    figure.data[1].y = [5, 6]
    plot.draw()
    assert sent == ["trace1"] and plot.get_state()["trace1"]["y"] == [5, 6]
    assert Plot(figure).library is plot.library
    state = plot.get_state()
    assert state["library"].startswith("IPY_MODEL_") and len(str(state)) < 15_000
    plot.library.close()  # as Widget.close_all() does
    assert Plot(figure).library.comm is not None
