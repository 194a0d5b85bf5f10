"""A stream of scores: the evidence, image by image, that the line has changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from differnet_course.drift import Drift
from differnet_course.plots.style import (
    BLUE,
    MAX_POINTS,
    VERMILLION,
    curve,
    legend_inside,
    literal,
    reference_line,
    titled,
)

__all__ = ["plot_drift"]


def plot_drift(drift: Drift, *, names: Sequence[str] | None = None) -> go.Figure:
    """The martingale of a stream on a logarithmic axis, the bar of the alarm, and the first alarm.

    Of more than 200 images every so many-th is drawn, and that of the alarm.

    Args:
        drift: see `drift_test`; of at least one image.
        names: N names of images for the hover text; None numbers them.
    """
    n = len(drift.log_martingale)
    alarm = drift.alarm
    labels = [literal(name) for name in names or [f"image {t + 1}" for t in range(n)]]
    shown = np.linspace(0, n - 1, min(n, MAX_POINTS)).round()
    t = np.union1d(shown, [0 if alarm is None else alarm]).astype(int)
    evidence = np.exp(np.clip(drift.log_martingale, -690, 690))  # what a float can still hold
    bar = 1 / drift.delta
    hover = "%{text}, the %{x}-th<br>M = %{y:.3g}<extra></extra>"
    text = [labels[i] for i in t]
    figure = go.Figure(
        curve(t + 1, evidence[t], "evidence M", BLUE, text=text, hovertemplate=hover)
    )
    figure.add_trace(reference_line([1, n], [bar, bar], f"alarm at 1/δ = {bar:.4g}"))
    if alarm is not None:
        figure.add_scatter(
            x=[alarm + 1],
            y=[evidence[alarm]],
            mode="markers",
            name="first alarm",
            text=[labels[alarm]],
            marker={"color": VERMILLION, "symbol": "diamond", "size": 11},
            hovertemplate="first alarm: %{text}, the %{x}-th<extra></extra>",
        )
    decades = np.ptp(np.log10(np.append(evidence[t], bar)))
    figure.update_xaxes(title_text="images, in the order in which they came")
    figure.update_yaxes(title_text="evidence of a change, M (no unit, logarithmic)", type="log")
    figure.update_yaxes(dtick=max(1, int(np.ceil(decades / 8))), exponentformat="power")
    outcome = "no alarm" if alarm is None else f"first alarm at image {alarm + 1}"
    promise = f"a false alarm in the whole stream: at most {drift.delta:.3g}; {n} images"
    titled(figure, f"Drift: {outcome}", promise)
    return figure.update_layout(legend=legend_inside("left", "top"))
