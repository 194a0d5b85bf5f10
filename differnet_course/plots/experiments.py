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
from plotly.colors import hex_to_rgb
from plotly.subplots import make_subplots

from differnet_course.plots.style import (
    COLOURS,
    DARK,
    DASHES,
    GREY,
    SKY,
    SYMBOLS,
    band,
    colour_bar,
    curve,
    error_bars,
    literal,
    titled,
)
from differnet_course.published import METHODS, published_auroc

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


def plot_few_shot(summary: pd.DataFrame) -> go.Figure:
    """AUROC over the number of training images, a panel for each category.

    The band reaches from the lowest to the highest seed.
    """
    categories = list(dict.fromkeys(summary["category"]))
    options = {"shared_yaxes": True, "horizontal_spacing": 0.05}
    figure = make_subplots(1, len(categories), subplot_titles=categories, **options)
    for column, category in enumerate(categories, 1):
        for k, method in enumerate(dict.fromkeys(summary["method"])):
            chosen = (summary["category"] == category) & (summary["method"] == method)
            rows = summary[chosen & summary["auroc"].notna()].sort_values("n_train")
            for trace in _few_shot_traces(rows, method, category, DASHES[k % 6]):
                trace.showlegend = trace.mode == "lines+markers" and column == 1
                figure.add_trace(trace.update(legendgroup=method), row=1, col=column)
    counts = sorted(set(summary["n_train"].dropna().astype(int)))
    ticks = {"tickvals": counts, "ticktext": [str(n) for n in counts]}
    figure.update_xaxes(ticks, type="log", title_text="training images")
    figure.update_yaxes(_auroc_axis(summary), title_text="")
    figure.update_yaxes(title_text="image AUROC, %", col=1)
    note = "; open marks: the paper, with all images" if summary["paper"].notna().any() else ""
    words = f"mean over seeds; band from the lowest to the highest{note}"
    titled(figure, "How many training images?", words)
    return figure.update_layout(height=440, margin_t=100)


def _few_shot_traces(rows: pd.DataFrame, method: str, category: str, dash: str) -> list[go.Scatter]:
    """The band over seeds, the mean, and the paper's mark if there is one."""
    name = METHODS.get(method, method)
    mark = _mark(method)
    red, green, blue = hex_to_rgb(mark["color"])
    low, high = (100 * rows[end].to_numpy() for end in ("low", "high"))
    pale = f"rgba({red},{green},{blue},0.15)"
    counts = rows["n_train"].to_numpy()
    mean = curve(counts, 100 * rows["auroc"], name, mark["color"], dash=dash)
    hover = "%{x} images<br>%{fullData.name}<br>AUROC %{y:.1f} %<br>%{customdata}<extra></extra>"
    mean.update(customdata=_hover_lines(rows), hovertemplate=hover)
    mean.update(mode="lines+markers", marker=mark | {"size": 8})
    traces = [band(counts, low, high, pale, None), mean]
    paper = published_auroc(method, category)
    if paper is not None:
        trace = _open_mark([counts.max()], [100 * paper], name, mark)
        hover = "%{fullData.name}, all images<br>AUROC %{y:.1f} %<extra></extra>"
        traces.append(trace.update(cliponaxis=False, hovertemplate=hover))
    return traces


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
    return {"color": (*COLOURS, DARK, GREY)[k % 8], "symbol": SYMBOLS[k % 11]}


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
