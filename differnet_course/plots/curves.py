"""Curves over a common x."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

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
    figure.update_layout({key.replace("_", "axis_", 1): value for key, value in axes.items()})
    figure.update_layout(template=style.TEMPLATE, legend=style.ABOVE, width=760, height=400)
    figure.update_layout(showlegend=len(figure.data) > 1)
    return figure.update_layout(title_text=title, margin_t=88) if title else figure
