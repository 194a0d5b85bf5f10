"""What the figures of studies share: a mark for each method, seeds as a line, the axis of AUROC.

A filled mark is the mean over seeds, its line reaches from the lowest to the highest of them, and
an open mark is the paper's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from differnet_course.plots.style import COLOURS, DARK, GREY, SYMBOLS, literal
from differnet_course.published import METHODS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "HEAD",
    "add_dots",
    "auroc_axis",
    "error_bars",
    "hover_lines",
    "in_percent",
    "label_rows",
    "legend_line",
    "mark_of",
    "open_mark",
    "separate",
]

HEAD = 120  # px around the rows of a figure


def add_dots(
    figure: go.Figure, rows: pd.DataFrame, at: Sequence[float], *, name: str, mark: dict[str, Any]
) -> None:
    """Filled marks with a line from the lowest to the highest seed, and open ones for the paper."""
    mean, low, high = (in_percent(rows[column]) for column in ("auroc", "low", "high"))
    figure.add_scatter(
        x=mean,
        y=at,
        mode="markers",
        name=literal(name),
        legendgroup=name,
        error_x=error_bars(mean, low, high, color=mark["color"], thickness=2),
        marker=mark | {"size": 9},
        customdata=hover_lines(rows),
        hovertemplate="%{fullData.name}<br>AUROC %{x:.1f} %<br>%{customdata}<extra></extra>",
    )
    paper = [(100 * value, y) for y, value in zip(at, rows["paper"], strict=True) if value == value]
    if paper:
        x, y = zip(*paper, strict=True)
        hover = "%{fullData.name}<br>AUROC %{x:.1f} %<extra></extra>"
        trace = open_mark(x, y, literal(name), name, mark)
        figure.add_trace(trace.update(hovertemplate=hover))


def open_mark(
    x: Sequence[float], y: Sequence[float], name: str, group: str, mark: dict[str, Any]
) -> go.Scatter:
    """The paper's numbers."""
    look = {"symbol": f"{mark['symbol']}-open", "size": 11, "line": {"width": 1.5}}
    trace = go.Scatter(x=x, y=y, mode="markers", name=f"{name}, paper", marker=mark | look)
    return trace.update(legendgroup=group, showlegend=False)


def error_bars(
    mean: Sequence[float], low: Sequence[float], high: Sequence[float], **look: Any
) -> dict[str, Any]:
    """Plotly's error bars from the lower to the upper ends."""
    above = [h - m for h, m in zip(high, mean, strict=True)]
    below = [m - v for m, v in zip(mean, low, strict=True)]
    ends = {"array": above, "arrayminus": below}
    return {"type": "data", "symmetric": False, "width": 0} | ends | look


def mark_of(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and symbol; a method keeps its own from figure to figure, and DifferNet is blue."""
    if name in METHODS:
        names = ["differnet", *(method for method in METHODS if method != "differnet")]
    k = list(names).index(name)
    colours = (*COLOURS, DARK, GREY)
    return {"color": colours[k % len(colours)], "symbol": SYMBOLS[k % len(SYMBOLS)]}


def hover_lines(rows: pd.DataFrame) -> list[str]:
    """Seeds, their reach and failures of each row, in words."""
    columns = zip(rows["seeds"], rows["low"], rows["high"], rows["failed"], strict=True)
    return [
        f"{n} seed(s), {100 * a:.1f} to {100 * b:.1f} %" + (f", {failed} failed" if failed else "")
        for n, a, b, failed in columns
    ]


def in_percent(values: pd.Series) -> list[float]:
    """Shares as percentages."""
    return [100 * float(value) for value in values]


def legend_line(summary: pd.DataFrame) -> str:
    """What the marks mean."""
    text = "mean over seeds; line from the lowest to the highest"
    return text + "; open marks: the paper" if summary["paper"].notna().any() else text


def label_rows(figure: go.Figure, labels: Sequence[str], height: int, title: str) -> None:
    """A row for each label, from top to bottom."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": list(labels)}
    figure.update_yaxes(ticks, range=[len(labels) - 0.5, -0.5], showgrid=False, title_text=title)
    figure.update_layout(height=height)


def separate(figure: go.Figure, y: float) -> None:
    """A thin line between two groups of rows."""
    figure.add_hline(y=y, line={"color": "#D0D0D0", "width": 1})


def auroc_axis(figure: go.Figure, axis: str, summary: pd.DataFrame) -> None:
    """From the lowest value, or chance, to 100 %."""
    low = min([0.5, *summary["low"].dropna(), *summary["paper"].dropna()])
    settings = {"title_text": "image AUROC, % (50 is chance)", "range": [100 * low - 2, 101.5]}
    (figure.update_xaxes if axis == "x" else figure.update_yaxes)(**settings)
