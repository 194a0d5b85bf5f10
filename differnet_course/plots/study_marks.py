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
    "hover_lines",
    "in_percent",
    "label_rows",
    "legend_line",
    "mark_of",
    "pale",
]

HEAD = 120  # px around the rows of a figure


def add_dots(
    figure: go.Figure, rows: pd.DataFrame, at: Sequence[float], *, name: str, mark: dict[str, Any]
) -> None:
    """Filled marks with a line from the lowest to the highest seed, and open ones for the paper."""
    mean, low, high = (in_percent(rows[column]) for column in ("auroc", "low", "high"))
    reach = {
        "array": [h - m for h, m in zip(high, mean, strict=True)],
        "arrayminus": [m - v for m, v in zip(mean, low, strict=True)],
        "color": mark["color"],
        "thickness": 2,
        "width": 0,
    }
    figure.add_scatter(
        x=mean,
        y=at,
        mode="markers",
        name=literal(name),
        legendgroup=name,
        error_x={"type": "data", "symmetric": False, **reach},
        marker={**mark, "size": 9},
        customdata=hover_lines(rows),
        hovertemplate="%{fullData.name}<br>AUROC %{x:.1f} %<br>%{customdata}<extra></extra>",
    )
    known = [(y, 100 * paper) for y, paper in zip(at, rows["paper"], strict=True) if paper == paper]
    if known:
        figure.add_scatter(
            x=[x for _, x in known],
            y=[y for y, _ in known],
            mode="markers",
            name=f"{literal(name)}, paper",
            legendgroup=name,
            showlegend=False,
            marker={
                "symbol": f"{mark['symbol']}-open",
                "color": mark["color"],
                "size": 11,
                "line": {"width": 1.5},
            },
            hovertemplate="%{fullData.name}<br>AUROC %{x:.1f} %<extra></extra>",
        )


def mark_of(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and symbol; a method keeps its own from figure to figure, and DifferNet is blue."""
    order = (
        ["differnet", *(method for method in METHODS if method != "differnet")]
        if name in METHODS
        else list(names)
    )
    colours, k = (*COLOURS, DARK, GREY), order.index(name)
    return {"color": colours[k % len(colours)], "symbol": SYMBOLS[k % len(SYMBOLS)]}


def pale(colour: str) -> str:
    """A colour such as #0072B2 as the filling of a band."""
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.15)"


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
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        title_text=title,
    )
    figure.update_layout(height=height)


def auroc_axis(figure: go.Figure, axis: str, summary: pd.DataFrame) -> None:
    """From the lowest value, or chance, to 100 %."""
    low = min([0.5, *summary["low"].dropna(), *summary["paper"].dropna()])
    settings = {"title_text": "image AUROC, % (50 is chance)", "range": [100 * low - 2, 101.5]}
    (figure.update_xaxes if axis == "x" else figure.update_yaxes)(**settings)
