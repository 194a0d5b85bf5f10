"""Figures of the studies, from a summary of `differnet_course.experiments`.

A filled mark is the mean over seeds, its line reaches from the lowest to the highest of them, and
an open mark is the paper's number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from differnet_course.plots.style import (
    COLOURS,
    DARK,
    GREY,
    SKY,
    SYMBOLS,
    colour_bar,
    curve,
    error_bars,
    literal,
    titled,
)
from differnet_course.published import METHODS

if TYPE_CHECKING:
    import pandas as pd


HEAD = 120  # px around the rows of a figure
BORDER = {"color": "#D0D0D0", "width": 1}  # between two groups of rows
SEEDS = "mean over seeds; line from the lowest to the highest"


def plot_comparison(summary: pd.DataFrame) -> go.Figure:
    """AUROC by category: a row of marks for each, a method in each row of marks."""
    categories = list(dict.fromkeys(summary["category"]))
    methods = list(dict.fromkeys(summary["method"]))
    figure = go.Figure()
    for k, method in enumerate(methods):
        rows = summary[(summary["method"] == method) & summary["auroc"].notna()]
        shift = (k - (len(methods) - 1) / 2) * 0.8 / len(methods)
        at = [categories.index(category) + shift for category in rows["category"]]
        _add_dots(figure, rows, at, METHODS.get(method, method), _mark(method))
    for border in range(1, len(categories)):
        figure.add_hline(y=border - 0.5, line=BORDER)
    _label_rows(figure, [literal(category) for category in categories], "category")
    note = "; open marks: the paper" if summary["paper"].notna().any() else ""
    titled(figure, "All methods on all categories", SEEDS + note).update_xaxes(_auroc_axis(summary))
    return figure.update_layout(height=HEAD + max(2, len(categories)) * max(15 * len(methods), 40))


def plot_ablations(summary: pd.DataFrame) -> go.Figure:
    """AUROC for each level of each factor; the default is the level in bold."""
    keys = list(zip(summary["factor"], summary["level"], summary["default"], strict=True))
    levels = list(dict.fromkeys(keys))
    rows_of = summary.assign(row=[levels.index(key) for key in keys])
    categories = list(dict.fromkeys(summary["category"]))
    figure = go.Figure()
    for k, category in enumerate(categories):
        rows = rows_of[(rows_of["category"] == category) & rows_of["auroc"].notna()]
        shift = 0.5 * (k - (len(categories) - 1) / 2) / len(categories)
        mark = {"color": COLOURS[k % 6], "symbol": SYMBOLS[k % 11]}
        _add_dots(figure, rows, rows["row"] + shift, category, mark)
    for i, (above, below) in enumerate(pairwise(levels)):
        if above[0] != below[0]:
            figure.add_hline(y=i + 0.5, line=BORDER)
    labels = [
        f"{factor}: <b>{level}</b>" if default else f"{factor}: {level}"
        for factor, level, default in levels
    ]
    _label_rows(figure, labels, "")
    words = f"DifferNet, the default in bold; {SEEDS}"
    titled(figure, "One factor at a time", words).update_xaxes(_auroc_axis(summary))
    return figure.update_layout(height=HEAD + 30 * len(labels))


def plot_published(table: pd.DataFrame) -> go.Figure:
    """`published_table` as a heat map with numbers; the last row is the mean of each column."""
    percent = 100 * table
    percent.loc["mean"] = percent.mean()
    heat = go.Heatmap(
        z=percent.to_numpy(),
        x=[METHODS[method] for method in table],
        y=list(percent.index),
        zmin=50,
        zmax=100,
        colorscale=[[0, "white"], [1, SKY]],
        texttemplate="%{z:.1f}",
        textfont={"color": DARK, "size": 13},
        colorbar=colour_bar("AUROC, %; 50 is chance"),
        xgap=1,
        ygap=1,
        hovertemplate="%{x} on %{y}: %{z:.1f} %<extra></extra>",
    )
    subtitle = "best epoch on the test set for the trained methods; the last row is the mean"
    figure = titled(go.Figure(heat), "The paper's table, image AUROC in %", subtitle)
    bare = {"showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(bare, side="top")
    figure.update_yaxes(bare, autorange="reversed")
    figure.add_hline(y=len(table) - 0.5, line={"color": DARK, "width": 2})
    height = 120 + 24 * len(percent)
    return figure.update_layout(width=760, height=height, margin={"t": 100, "b": 20})


def plot_shifts(shifts: Mapping[str, float], *, title: str) -> go.Figure:
    """By how much a defect raises the score of the same part: a mark for each method.

    Shifts are in standard deviations of normal images' scores.
    """
    figure = go.Figure()
    names = [METHODS.get(method, method) for method in shifts]
    for row, (method, shift) in enumerate(shifts.items()):
        stem = curve([0, float(shift)], [row, row], None, GREY, width=1, hoverinfo="skip")
        figure.add_trace(stem.update(showlegend=False))
        figure.add_scatter(
            x=[round(float(shift), 3)],
            y=[row],
            mode="markers",
            name=names[row],
            marker=_mark(method) | {"size": 11},
            hovertemplate="%{fullData.name}: %{x:.2f} deviations<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=1, line={"color": DARK, "dash": "dot", "width": 1.5})
    _label_rows(figure, names, "")
    axis = "score with the defect minus score without, in standard deviations of normal scores"
    figure.update_xaxes(title_text=axis).update_layout(height=HEAD + 34 * len(names))
    return titled(figure, literal(title), "dotted: as far as normal images differ among themselves")


def _add_dots(
    figure: go.Figure, rows: pd.DataFrame, at: Sequence[float], name: str, mark: dict[str, Any]
) -> None:
    """Filled marks with a line from the lowest to the highest seed, and open ones for the paper."""
    y = np.asarray(at)
    mean, low, high = (100 * rows[column].to_numpy() for column in ("auroc", "low", "high"))
    figure.add_scatter(
        x=mean,
        y=y,
        mode="markers",
        name=literal(name),
        legendgroup=name,
        error_x=error_bars(mean, low, high, width=0, color=mark["color"], thickness=2),
        marker=mark | {"size": 9},
        customdata=_hover_lines(rows),
        hovertemplate="%{fullData.name}<br>AUROC %{x:.1f} %<br>%{customdata}<extra></extra>",
    )
    known = rows["paper"].notna().to_numpy()
    if known.any():
        trace = _open_mark(100 * rows["paper"].to_numpy()[known], y[known], literal(name), mark)
        hover = "%{fullData.name}<br>AUROC %{x:.1f} %<extra></extra>"
        figure.add_trace(trace.update(legendgroup=name, showlegend=False, hovertemplate=hover))


def _open_mark(
    x: Sequence[float], y: Sequence[float], name: str, mark: dict[str, Any]
) -> go.Scatter:
    """The paper's numbers."""
    look = {"symbol": f"{mark['symbol']}-open", "size": 11, "line": {"width": 1.5}}
    return go.Scatter(x=x, y=y, mode="markers", name=f"{name}, paper", marker=mark | look)


def _mark(method: str) -> dict[str, Any]:
    """Colour and symbol; a method keeps its own from figure to figure, and DifferNet is blue."""
    k = sorted(METHODS, key=lambda name: name != "differnet").index(method)
    return {"color": (*COLOURS, DARK, GREY, "#8B4A2B")[k % 9], "symbol": SYMBOLS[k % 11]}


def _hover_lines(rows: pd.DataFrame) -> list[str]:
    """Seeds, their reach and failures of each row, in words."""
    columns = zip(rows["seeds"], rows["low"], rows["high"], rows["failed"], strict=True)
    return [
        f"{n} seed(s), {100 * a:.1f} to {100 * b:.1f} %" + (f", {failed} failed" if failed else "")
        for n, a, b, failed in columns
    ]


def _label_rows(figure: go.Figure, labels: Sequence[str], title: str) -> None:
    """A row for each label, from top to bottom."""
    ticks = {"tickvals": list(range(len(labels))), "ticktext": list(labels)}
    figure.update_yaxes(ticks, range=[len(labels) - 0.5, -0.5], showgrid=False, title_text=title)


def _auroc_axis(summary: pd.DataFrame) -> dict[str, Any]:
    """From the lowest value, or chance, to 100 %."""
    low = min([0.5, *summary["low"].dropna(), *summary["paper"].dropna()])
    return {"title_text": "image AUROC, % (50 is chance)", "range": [100 * low - 2, 101.5]}
