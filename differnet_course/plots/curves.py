"""Curves over a common x, the training curve among them, and bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.style import (
    ABOVE,
    BLUE,
    COLOURS,
    DARK,
    DASHES,
    GREY,
    SYMBOLS,
    TEMPLATE,
    VERMILLION,
    curve,
    legend_above,
    with_minus,
)

__all__ = ["plot_bars", "plot_curves", "plot_history"]

FEW = 60  # points of a curve that are drawn as marks, too
PATTERN = {"fillmode": "overlay", "fgcolor": "white", "solidity": 0.25}
HISTORY = {
    "train": ("training images", BLUE, "solid", "circle"),
    "held_out": ("held-out normal images", VERMILLION, "dash", "diamond"),
}


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
        x: (n,).
        curves: name to (n,).
        x_title: of the axis, with its unit.
        y_title: of the axis, with its unit.
        title: of the figure.
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
        marker = {"symbol": SYMBOLS[k % 11], "size": 6}
        look = {"dash": DASHES[k % 6], "mode": mode, "marker": marker}
        figure.add_trace(curve(at.round(decimals), y, name, COLOURS[k % 6], **look))
        if bands and name in bands:
            figure.data[-1].error_y = _error_bars(values, *bands[name])
    if line is not None:
        ends = [float(at.min()), float(at.max())]
        figure.add_trace(curve(ends, [line[1]] * 2, line[0], DARK, dash="dot", width=1.5))
    if level is not None:
        figure.add_hline(y=level, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text=x_title)
    figure.update_yaxes({"type": "log", "dtick": 1} if log else {}, title_text=y_title)
    shown = len(figure.data) > 1
    figure.update_layout({key.replace("_", "axis_", 1): value for key, value in axes.items()})
    figure.update_layout(template=TEMPLATE, legend=ABOVE, showlegend=shown, width=760, height=400)
    return figure.update_layout(title_text=title, margin_t=88) if title else figure


def _error_bars(values: ArrayLike, low: ArrayLike, high: ArrayLike) -> dict[str, Any]:
    y, below, above = (np.asarray(part, dtype=float) for part in (values, low, high))
    ends = {"array": (above - y).round(5), "arrayminus": (y - below).round(5)}
    return {"type": "data", "symmetric": False, **ends, "thickness": 1.2, "width": 4}


def plot_history(history: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """Training curve.

    Args:
        history: "epoch", "train" and, if there is one, "held_out": lists of one length; None or NaN
            where a loss was not measured. Losses in nats per dimension.
    """
    epoch = np.asarray(history["epoch"], dtype=float)
    figure = go.Figure()
    for key, (label, colour, dash, symbol) in HISTORY.items():
        loss = np.array(history.get(key) or [None] * len(epoch), dtype=float)
        measured = np.isfinite(loss)
        if not measured.any():
            continue
        name = f"{label}, at the end {with_minus(loss[measured][-1], '.3f')}"
        mode = "lines+markers" if measured.sum() <= FEW else "lines"
        hover = f"epoch %{{x}}<br>{label} %{{y:.4f}}<extra></extra>"
        look = {"dash": dash, "mode": mode, "marker": {"symbol": symbol, "size": 6}}
        x, y = epoch[measured], loss[measured].round(5)
        figure.add_trace(curve(x, y, name, colour, hovertemplate=hover, **look))
    figure.update_xaxes(title_text="epoch (passes over the training images)", tickformat="~d")
    figure.update_yaxes(title_text="loss (nats per dimension)")
    return figure.update_layout(template=TEMPLATE, legend=ABOVE, showlegend=True)


def plot_bars(names: Sequence[str], bars: Mapping[str, ArrayLike], *, y_title: str) -> go.Figure:
    """Groups of bars, one colour and pattern for each name in `bars`, (len(names),) each."""
    figure = go.Figure()
    for i, (name, heights) in enumerate(bars.items()):
        pattern = PATTERN | {"shape": ("", "/", ".", "x", "-", "+")[i % 6]}
        figure.add_bar(
            x=list(names),
            y=np.asarray(heights, dtype=float).round(5),
            name=name,
            marker={"color": COLOURS[i % 6], "pattern": pattern},
            hovertemplate=f"%{{x}}<br>{name} %{{y:.3g}}<extra></extra>",
        )
    figure.update_yaxes(title_text=y_title)
    return legend_above(figure, len(bars) > 1).update_layout(barmode="group", bargap=0.3)
