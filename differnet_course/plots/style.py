"""One look for all figures: palette, paper, axes, and how names and numbers are written."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

__all__ = [
    "ABOVE",
    "BLUE",
    "COLOURS",
    "DARK",
    "DASHES",
    "GREEN",
    "GREY",
    "MAX_POINTS",
    "ORANGE",
    "PURPLE",
    "SKY",
    "SQUARE",
    "SYMBOLS",
    "TEMPLATE",
    "VERMILLION",
    "band",
    "colour_axis",
    "colour_bar",
    "curve",
    "legend_above",
    "legend_inside",
    "literal",
    "log_axis",
    "reference_line",
    "shortened",
    "titled",
    "unit_range",
    "with_minus",
]

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
SQUARE = {"width": 490, "height": 500}

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


def legend_inside(x: str, y: str) -> dict[str, object]:
    """A legend in a corner of the axes: left or right, bottom or top."""
    at = {"left": 0.02, "right": 0.98, "bottom": 0.03, "top": 0.97}
    return {"x": at[x], "xanchor": x, "y": at[y], "yanchor": y}


def legend_above(figure: go.Figure, shown: bool) -> go.Figure:
    """The usual paper, with the legend in a line above the axes."""
    return figure.update_layout(
        template=TEMPLATE, legend=ABOVE, showlegend=shown, margin_t=56, height=380
    )


def unit_range() -> dict[str, object]:
    """An axis of shares, 0 to 100 %."""
    return {"range": [-0.01, 1.01], "tickformat": ".0%", "dtick": 0.2, "constrain": "domain"}


def log_axis(values: np.ndarray) -> dict[str, object]:
    """A logarithmic axis labelled 1, 2, 5, 10 over few decades and by powers of ten over many."""
    decades = math.log10(values.max() / values.min())
    if decades > 2.5:
        return {"type": "log", "dtick": math.ceil(decades / 8), "exponentformat": "power"}
    axis: dict[str, object] = {"type": "log", "tickformat": "~g"}
    return axis | {"dtick": "D2"} if decades > 0.7 else axis | {"nticks": 6}


def colour_axis(lo: float, hi: float, title: str) -> dict[str, object]:
    """The scale that all maps of a figure share."""
    return {"cmin": lo, "cmax": hi, "colorscale": "Cividis", "colorbar": colour_bar(title)}


def colour_bar(title: str) -> dict[str, object]:
    """A thin colour bar with its title along it."""
    words = {"text": title, "side": "right", "font": {"size": 12}}
    return {"title": words, "thickness": 14, "outlinewidth": 0, "tickformat": "~g"}


def curve(
    x: ArrayLike,
    y: ArrayLike,
    name: str,
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


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, name: str) -> go.Scatter:
    """What lies between two curves, filled."""
    around = np.concatenate([high, low[::-1]]).round(4)
    look = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}, "mode": "lines"}
    return go.Scatter(look, x=np.concatenate([x, x[::-1]]), y=around, name=name, hoverinfo="skip")


def literal(value: object) -> str:
    """Any name as text that Plotly shows as it is: no markup, no half characters of file names."""
    return html.escape(str(value).encode("utf-8", "replace").decode(), quote=False)


def shortened(text: str, length: int) -> str:
    """A text of at most this length, its middle left out."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2 - 1]}…{text[-(length - length // 2) :]}"


def with_minus(value: float, form: str) -> str:
    """A number in this format, with a proper minus sign."""
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")
