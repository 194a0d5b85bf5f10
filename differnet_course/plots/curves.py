"""Curves over a common x, bars, and the evidence of a drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.drift import Drift
from differnet_course.plots import style

FEW = 60  # points of a curve that are drawn as marks, too


def plot_curves(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    x_title: str,
    y_title: str,
    title: str = "",
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    line: tuple[str, float] | None = None,
    level: float | None = None,
    log: bool = False,
    **axes: Any,
) -> go.Figure:
    """Curves over a common x, told apart by colour, dash and, up to 60 points, marker.

    Args:
        x, curves: (n,), and name to (n,).
        bands: name to lower and upper ends, (n,) each, of some of the curves; drawn as error bars.
        line: name and height of a dotted horizontal line, such as what chance would give.
        level: height of a grey horizontal line without a name, such as a rate that was asked for.
        log: a logarithmic y axis with a mark for each power of ten.
        **axes: options of Plotly's axes by prefix: `x_type="log"`, `y_range=[0, 1]`.
    """
    at = np.asarray(x, dtype=float)
    largest = float(np.abs(at).max(initial=0.0)) or 1.0
    decimals = 4 + max(0, -math.floor(math.log10(largest)))
    mode = "lines+markers" if len(at) <= FEW else "lines"
    figure = go.Figure()
    for k, (name, values) in enumerate(curves.items()):
        y = np.asarray(values, dtype=np.float32)
        dash = style.DASHES[k % 6]
        drawn = style.curve(at.round(decimals), y, name, style.COLOURS[k % 6], dash=dash)
        drawn.update(mode=mode, marker={"symbol": style.SYMBOLS[k % 11], "size": 6})
        if bands and name in bands:
            drawn.error_y = style.error_bars(values, *bands[name], thickness=1.2, width=4)
        figure.add_trace(drawn)
    if line is not None:
        name, height = line
        ends = [float(at.min()), float(at.max())]
        figure.add_trace(style.curve(ends, [height] * 2, name, style.DARK, dash="dot", width=1.5))
    if level is not None:
        figure.add_hline(y=level, line={"color": style.GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text=x_title)
    decades = {"type": "log", "dtick": 1, "exponentformat": "power"}
    figure.update_yaxes(decades if log else {}, title_text=y_title)
    shown = len(figure.data) > 1
    figure.update_layout({key.replace("_", "axis_", 1): value for key, value in axes.items()})
    figure.update_layout(
        template=style.TEMPLATE, legend=style.ABOVE, showlegend=shown, width=760, height=400
    )
    return figure.update_layout(title_text=title, margin_t=88) if title else figure


def plot_bars(names: Sequence[str], bars: Mapping[str, ArrayLike], *, y_title: str) -> go.Figure:
    """Groups of bars, one colour and pattern for each name in `bars`, (len(names),) each."""
    figure = go.Figure()
    for k, (name, heights) in enumerate(bars.items()):
        pattern = {"fillmode": "overlay", "fgcolor": "white", "solidity": 0.25}
        pattern["shape"] = ("", "/", ".", "x", "-", "+")[k % 6]
        figure.add_bar(
            x=list(names),
            y=np.asarray(heights, dtype=float).round(5),
            name=name,
            marker={"color": style.COLOURS[k % 6], "pattern": pattern},
            hovertemplate=f"%{{x}}<br>{name} %{{y:.3g}}<extra></extra>",
        )
    figure.update_yaxes(title_text=y_title)
    return style.legend_above(figure, len(bars) > 1).update_layout(barmode="group", bargap=0.3)


def plot_drift(drift: Drift) -> go.Figure:
    """The martingale of a stream on a logarithmic axis, the bar of the alarm, and the first alarm.

    Of more than 200 images every so many-th is drawn, and that of the alarm.
    """
    n = len(drift.log_martingale)
    alarm = drift.alarm
    shown = np.linspace(0, n - 1, min(n, style.MAX_POINTS)).round()
    t = np.union1d(shown, [0 if alarm is None else alarm]).astype(int)
    evidence = np.exp(np.clip(drift.log_martingale, -690, 690))  # what a float can still hold
    bar = 1 / drift.delta
    hover = "%{text}, the %{x}-th<br>M = %{y:.3g}<extra></extra>"
    text = [f"image {i + 1}" for i in t]
    figure = go.Figure(
        style.curve(t + 1, evidence[t], "evidence M", style.BLUE, text=text, hovertemplate=hover)
    )
    figure.add_trace(style.reference_line([1, n], [bar, bar], f"alarm at 1/δ = {bar:.4g}"))
    if alarm is not None:
        figure.add_scatter(
            x=[alarm + 1],
            y=[evidence[alarm]],
            mode="markers",
            name="first alarm",
            text=[f"image {alarm + 1}"],
            marker={"color": style.VERMILLION, "symbol": "diamond", "size": 11},
            hovertemplate="first alarm: %{text}, the %{x}-th<extra></extra>",
        )
    decades = np.ptp(np.log10(np.append(evidence[t], bar)))
    figure.update_xaxes(title_text="images, in the order in which they came")
    figure.update_yaxes(title_text="evidence of a change, M (no unit, logarithmic)", type="log")
    figure.update_yaxes(dtick=max(1, int(np.ceil(decades / 8))), exponentformat="power")
    outcome = "no alarm" if alarm is None else f"first alarm at image {alarm + 1}"
    promise = f"a false alarm in the whole stream: at most {drift.delta:.3g}; {n} images"
    style.titled(figure, f"Drift: {outcome}", promise)
    return figure.update_layout(legend=style.legend_inside("left", "top"))
