"""One look for all figures: palette, paper, axes, and how names and numbers are written."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

# Okabe and Ito, "Color Universal Design", 2008; its black is kept for thresholds and text,
# and its yellow left out, which white paper swallows
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, PURPLE, SKY = "#E69F00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
SYMBOLS = (
    *("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "triangle-down"),
    *("pentagon", "hexagon", "bowtie"),
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DARK, GREY = "#222222", "#767676"
MAX_POINTS = 200  # of a curve: kilobytes, not megabytes

# a legend in a line above the axes
ABOVE = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"} | {
    "orientation": "h",
    "borderwidth": 0,
}
LEGEND = {"bgcolor": "rgba(255,255,255,0.85)", "bordercolor": "#D0D0D0", "borderwidth": 1}
LINES = {"showline": True, "linecolor": GREY, "ticks": "outside", "tickcolor": GREY, "ticklen": 4}
AXIS = LINES | {
    "showgrid": True,
    "gridcolor": "#E6E6E6",
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13}},
}
TITLE = {
    **{"x": 0, "xref": "paper", "xanchor": "left", "pad": {"t": 14}, "font": {"size": 15}},
    **{"y": 1, "yref": "container", "yanchor": "top"},
}
LABEL = {"bgcolor": "white", "bordercolor": GREY, "font": {"color": DARK, "size": 12}}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "Arial, Helvetica, sans-serif", "size": 13, "color": DARK},
        "title": TITLE,
        "margin": {"l": 70, "r": 24, "t": 64, "b": 56},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "hoverlabel": LABEL | {"align": "left"},
        "legend": LEGEND | {"font": {"size": 12}},
        "modebar": {"bgcolor": "rgba(255,255,255,0.8)", "color": GREY, "activecolor": DARK},
        "hovermode": "closest",
        "height": 400,
    }
)


def titled(figure: go.Figure, title: str, subtitle: str) -> go.Figure:
    """The usual paper, with a title and a smaller line below it."""
    text = f"{title}<br><span style='font-size:12px;color:#555555'>{subtitle}</span>"
    return figure.update_layout(template=TEMPLATE, title={"text": text, "pad": {"t": 26}})


def legend_above(figure: go.Figure) -> go.Figure:
    """The usual paper, with the legend in a line above the axes."""
    return figure.update_layout(
        template=TEMPLATE, legend=ABOVE, showlegend=True, margin_t=56, height=380
    )


def log_axis(values: np.ndarray) -> dict[str, object]:
    """A logarithmic axis labelled 1, 2, 5, 10 over few decades and by powers of ten over many."""
    decades = math.log10(values.max() / values.min())
    if decades > 2.5:
        return {"type": "log", "dtick": math.ceil(decades / 8), "exponentformat": "power"}
    axis: dict[str, object] = {"type": "log", "tickformat": "~g"}
    return axis | {"dtick": "D2"} if decades > 0.7 else axis | {"nticks": 6}


def colour_bar(title: str) -> dict[str, object]:
    """A thin colour bar with its title along it."""
    words = {"text": title, "side": "right", "font": {"size": 12}}
    return {"title": words, "thickness": 14, "outlinewidth": 0, "tickformat": "~g"}


def marker(k: int, **look: object) -> dict[str, object]:
    """Colour and symbol of the k-th of several groups."""
    return {"color": COLOURS[k % 6], "symbol": SYMBOLS[k % 11]} | look


def curve(
    x: ArrayLike,
    y: ArrayLike,
    name: str | None,
    colour: str,
    *,
    width: float = 2,
    dash: str | None = None,
    **more: Any,
) -> go.Scatter:
    """A line; `more` are further properties of `go.Scatter`."""
    line = {"color": colour, "width": width, "dash": dash}
    return go.Scatter({"x": x, "y": y, "name": name, "mode": "lines", "line": line} | more)


def reference_line(x: ArrayLike, y: ArrayLike, name: str) -> go.Scatter:
    """The dashed grey line of what one would expect."""
    return curve(x, y, name, GREY, dash="dash", width=1.5, hoverinfo="skip")


def band(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, name: str | None
) -> go.Scatter:
    """What lies between two curves, filled."""
    around = np.concatenate([high, low[::-1]]).round(4)
    look = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}, "mode": "lines"}
    return go.Scatter(look, x=np.concatenate([x, x[::-1]]), y=around, name=name, hoverinfo="skip")


def error_bars(values: ArrayLike, low: ArrayLike, high: ArrayLike, **look: Any) -> dict[str, Any]:
    """Plotly's error bars from the lower to the upper ends."""
    y = np.asarray(values, dtype=float)
    ends = {"array": np.asarray(high) - y, "arrayminus": y - np.asarray(low)}
    return {"type": "data", "symmetric": False} | ends | look


def spread(n: int, width: float) -> np.ndarray:
    """Even places around 0 by the golden ratio: no chance in them."""
    return width * ((np.arange(n) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)


def hover_names(names: Sequence[object] | None, n: int) -> np.ndarray:
    """Names of n images for the hover text, as Plotly shows them; None numbers them."""
    return np.array([literal(name) for name in names or [f"image {i}" for i in range(n)]], object)


def literal(value: object) -> str:
    """Any name as text that Plotly shows as it is: no markup, no half characters of file names."""
    return html.escape(str(value).encode("utf-8", "replace").decode(), quote=False)
