"""Figures of the studies, from a summary of `differnet_course.experiments`.

A filled mark is the mean over seeds, its line reaches from the lowest to the highest of them, and
an open mark is the paper's number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_course.plots.study_marks import (
    HEAD,
    add_dots,
    auroc_axis,
    hover_lines,
    in_percent,
    label_rows,
    legend_line,
    mark_of,
    open_mark,
    separate,
)
from differnet_course.plots.style import DARK, DASHES, GREY, SKY, colour_bar, curve, literal, titled
from differnet_course.published import METHODS, published_auroc

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_ablations", "plot_comparison", "plot_few_shot", "plot_published", "plot_shifts"]

ROW = 15  # px of a method's row


def plot_comparison(
    summary: pd.DataFrame, *, title: str = "All methods on all categories"
) -> go.Figure:
    """AUROC by category: a row of marks for each, a method in each row of marks.

    Args:
        summary: with `category`, `method` and the columns of `experiments.summarise`.
        title: of the figure.
    """
    categories = list(dict.fromkeys(summary["category"]))
    methods = list(dict.fromkeys(summary["method"]))
    step = 0.8 / len(methods)
    figure = go.Figure()
    for k, method in enumerate(methods):
        rows = summary[(summary["method"] == method) & summary["auroc"].notna()]
        shift = (k - (len(methods) - 1) / 2) * step
        at = [categories.index(category) + shift for category in rows["category"]]
        add_dots(figure, rows, at, name=METHODS.get(method, method), mark=mark_of(method, methods))
    for border in range(1, len(categories)):
        separate(figure, border - 0.5)
    height = HEAD + max(2, len(categories)) * max(ROW * len(methods), 40)
    label_rows(figure, [literal(category) for category in categories], height, "category")
    auroc_axis(figure, "x", summary)
    return titled(figure, literal(title), legend_line(summary))


def plot_few_shot(summary: pd.DataFrame, *, title: str = "How many training images?") -> go.Figure:
    """AUROC over the number of training images, a panel for each category.

    The band reaches from the lowest to the highest seed.

    Args:
        summary: with `category`, `method`, `n_train` and the columns of `experiments.summarise`.
        title: of the figure.
    """
    categories = list(dict.fromkeys(summary["category"]))
    methods = list(dict.fromkeys(summary["method"]))
    n_columns = min(3, len(categories))
    n_rows = math.ceil(len(categories) / n_columns)
    figure = make_subplots(
        rows=n_rows,
        cols=n_columns,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        subplot_titles=[literal(category) for category in categories],
    )
    last = summary["n_train"].max()
    for i, category in enumerate(categories):
        position = {"row": i // n_columns + 1, "col": i % n_columns + 1}
        for k, method in enumerate(methods):
            cell = (summary["category"] == category) & (summary["method"] == method)
            rows = summary[cell & summary["auroc"].notna()].sort_values("n_train")
            mark = mark_of(method, methods)
            name = literal(METHODS.get(method, method))
            curve = _seed_curve(rows, name, mark, DASHES[k % len(DASHES)])
            traces = [_seed_band(rows, mark["color"]), curve.update(showlegend=i == 0)]
            paper = published_auroc(method, category)
            if paper is not None:
                hover = "%{fullData.name}, all images<br>AUROC %{y:.1f} %<extra></extra>"
                trace = open_mark([last], [100 * paper], name, method, mark)
                traces.append(trace.update(cliponaxis=False, hovertemplate=hover))
            for trace in traces:
                figure.add_trace(trace.update(legendgroup=method), **position)
    counts = sorted(set(summary["n_train"].dropna().astype(int)))
    ticks = {"tickvals": counts, "ticktext": [str(n) for n in counts]}
    figure.update_xaxes(ticks, type="log", title_text="training images")
    auroc_axis(figure, "y", summary)
    figure.update_yaxes(title_text="").update_yaxes(title_text="image AUROC, %", col=1)
    note = "; open marks: the paper, with all images" if summary["paper"].notna().any() else ""
    titled(figure, literal(title), f"mean over seeds; band from the lowest to the highest{note}")
    return figure.update_layout(height=140 + 300 * n_rows, margin_t=100)


def _seed_band(rows: pd.DataFrame, colour: str) -> go.Scatter:
    x = rows["n_train"].tolist()
    around = in_percent(rows["high"]) + in_percent(rows["low"])[::-1]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    look = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    pale = f"rgba({red},{green},{blue},0.15)"
    return go.Scatter(look, x=x + x[::-1], y=around, fill="toself", fillcolor=pale)


def _seed_curve(rows: pd.DataFrame, name: str, mark: dict[str, str], dash: str) -> go.Scatter:
    return go.Scatter(
        x=rows["n_train"].tolist(),
        y=in_percent(rows["auroc"]),
        mode="lines+markers",
        name=name,
        line={"color": mark["color"], "width": 2, "dash": dash},
        marker=mark | {"size": 8},
        customdata=hover_lines(rows),
        hovertemplate="%{x} images<br>%{fullData.name}<br>"
        "AUROC %{y:.1f} %<br>%{customdata}<extra></extra>",
    )


def plot_ablations(summary: pd.DataFrame, *, title: str = "One factor at a time") -> go.Figure:
    """AUROC for each level of each factor; the default is the level in bold.

    Args:
        summary: with `factor`, `level`, `default`, `category` and the columns of
            `experiments.summarise`.
        title: of the figure.
    """
    keys = [summary["factor"], summary["level"], summary["default"].astype(bool)]
    row_of = {key: row for row, key in enumerate(dict.fromkeys(zip(*keys, strict=True)))}
    summary = summary.assign(row=[row_of[key] for key in zip(*keys, strict=True)])
    categories = list(dict.fromkeys(summary["category"]))
    figure = go.Figure()
    for k, category in enumerate(categories):
        rows = summary[(summary["category"] == category) & summary["auroc"].notna()]
        shift = 0.5 * (k - (len(categories) - 1) / 2) / len(categories)
        at = [row + shift for row in rows["row"]]
        add_dots(figure, rows, at, name=category, mark=mark_of(category, categories))
    for i, (above, below) in enumerate(pairwise(row_of)):
        if above[0] != below[0]:
            separate(figure, i + 0.5)
    labels = []
    for factor, level, default in row_of:
        text = f"<b>{literal(level)}</b>" if default else literal(level)
        labels.append(f"{literal(factor)}: {text}")
    label_rows(figure, labels, HEAD + 30 * len(labels), "")
    auroc_axis(figure, "x", summary)
    return titled(figure, literal(title), f"DifferNet, the default in bold; {legend_line(summary)}")


def plot_published(
    table: pd.DataFrame, *, title: str = "The paper's table, image AUROC in %"
) -> go.Figure:
    """A table of AUROCs as a heat map with its numbers; the last row is the mean of each column.

    Args:
        table: AUROC, 0 to 1, categories by methods; see `experiments.published_table`.
        title: of the figure.
    """
    percent = 100 * table
    percent.loc["mean"] = percent.mean()
    heat = go.Heatmap(
        z=percent.to_numpy(),
        x=[literal(METHODS.get(method, method)) for method in table],
        y=[literal(name) for name in percent.index],
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
    figure = titled(go.Figure(heat), literal(title), subtitle)
    bare = {"showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(bare, side="top")
    figure.update_yaxes(bare, autorange="reversed")
    figure.add_hline(y=len(table) - 0.5, line={"color": DARK, "width": 2})
    height = 120 + 24 * len(percent)
    return figure.update_layout(width=760, height=height, margin={"t": 100, "b": 20})


def plot_shifts(shifts: Mapping[str, float], *, title: str = "What a defect moves") -> go.Figure:
    """By how much a defect raises the score of the same part: a mark for each method.

    Args:
        shifts: method to the score with the defect minus the score without, divided by the
            deviation over normal images.
        title: of the figure.
    """
    figure = go.Figure()
    names = [literal(METHODS.get(method, method)) for method in shifts]
    for row, (method, shift) in enumerate(shifts.items()):
        stem = curve([0, float(shift)], [row, row], "", GREY, width=1, hoverinfo="skip")
        figure.add_trace(stem.update(name=None, showlegend=False))
        figure.add_scatter(
            x=[round(float(shift), 3)],
            y=[row],
            mode="markers",
            name=names[row],
            marker=mark_of(method, list(shifts)) | {"size": 11},
            hovertemplate="%{fullData.name}: %{x:.2f} deviations<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=1, line={"color": DARK, "dash": "dot", "width": 1.5})
    label_rows(figure, names, HEAD + 34 * len(names), "")
    axis = "score with the defect minus score without, in standard deviations of normal scores"
    figure.update_xaxes(title_text=axis)
    return titled(figure, literal(title), "dotted: as far as normal images differ among themselves")
