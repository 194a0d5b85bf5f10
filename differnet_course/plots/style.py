"""One look for all figures: palette, paper, axes, and how names and numbers are written."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

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
    "finite",
    "legend_above",
    "legend_inside",
    "literal",
    "log_axis",
    "reference_line",
    "shortened",
    "titled",
    "unit_range",
    "vector",
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
ABOVE = {
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "orientation": "h",
    "borderwidth": 0,
}  # a legend in a line above the axes

AXIS = {
    "showgrid": True,
    "gridcolor": "#E6E6E6",
    "zeroline": False,
    "showline": True,
    "linecolor": GREY,
    "ticks": "outside",
    "tickcolor": GREY,
    "ticklen": 4,
    "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13}},
}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "font": {"family": "Arial, Helvetica, sans-serif", "size": 13, "color": DARK},
        "title": {
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 14},
            "font": {"size": 15},
        },
        "margin": {"l": 70, "r": 24, "t": 64, "b": 56},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "hoverlabel": {
            "bgcolor": "white",
            "bordercolor": GREY,
            "font": {"color": DARK, "size": 12},
            "align": "left",
        },
        "legend": {
            "bgcolor": "rgba(255,255,255,0.85)",
            "bordercolor": "#D0D0D0",
            "borderwidth": 1,
            "font": {"size": 12},
        },
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
    return {
        "x": {"left": 0.02, "right": 0.98}[x],
        "xanchor": x,
        "y": {"bottom": 0.03, "top": 0.97}[y],
        "yanchor": y,
    }


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
    return {"type": "log", "tickformat": "~g"} | (
        {"dtick": "D2"} if decades > 0.7 else {"nticks": 6}
    )


def colour_axis(lo: float, hi: float, title: str) -> dict[str, object]:
    """The scale that all maps of a figure share."""
    return {"cmin": lo, "cmax": hi, "colorscale": "Cividis", "colorbar": colour_bar(title)}


def colour_bar(title: str) -> dict[str, object]:
    """A thin colour bar with its title along it."""
    return {
        "title": {"text": title, "side": "right", "font": {"size": 12}},
        "thickness": 14,
        "outlinewidth": 0,
        "tickformat": "~g",
    }


def reference_line(x: Sequence[float], y: Sequence[float], name: str) -> go.Scatter:
    """The dashed grey line of what one would expect."""
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        name=name,
        hoverinfo="skip",
    )


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, name: str) -> go.Scatter:
    """What lies between two curves, filled."""
    outline = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]]).round(4)}
    return go.Scatter(
        outline,
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name=name,
    )


def literal(value: object) -> str:
    """Any name as text that Plotly shows as it is: no markup, no half characters of file names."""
    return html.escape(str(value).encode("utf-8", "replace").decode(), quote=False)


def shortened(text: str, length: int) -> str:
    """A text of at most this length, its middle left out."""
    return (
        text
        if len(text) <= length
        else f"{text[: length // 2 - 1]}…{text[-(length - length // 2) :]}"
    )


def with_minus(value: float, form: str) -> str:
    """A number in this format, with a proper minus sign."""
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def vector(name: str, values: ArrayLike) -> np.ndarray:
    """A vector of at least one finite number, or a `ValueError` that names it."""
    vector = np.asarray(values, dtype=float)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(
            f"{name}: expected a vector of at least one number, got shape {vector.shape}"
        )
    return finite(name, vector)


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """The values if all are finite, else a `ValueError` that names them."""
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected finite numbers, "
            f"got {int((~np.isfinite(values)).sum())} that are not, of {values.size}"
        )
    return values
