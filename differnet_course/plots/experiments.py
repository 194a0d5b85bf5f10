"""Figures of the studies, from a summary of `differnet_course.experiments`.

A filled mark is the mean over seeds, its line reaches from the lowest to the highest of them, and
an open mark is the paper's number.
"""

from __future__ import annotations

import math
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
    pale,
)
from differnet_course.plots.style import DASHES, literal, titled
from differnet_course.published import METHODS, published_auroc

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_ablations", "plot_comparison", "plot_few_shot"]

ROW = 15  # px of a method's row


def plot_comparison(
    summary: pd.DataFrame, *, title: str = "All methods on all categories"
) -> go.Figure:
    """AUROC by category: a row of marks for each, a method in each row of marks.

    Args:
        summary: with `category`, `method` and the columns of `experiments.summarise`.
        title: of the figure.
    """
    categories, methods = (
        list(dict.fromkeys(summary["category"])),
        list(dict.fromkeys(summary["method"])),
    )
    step = 0.8 / len(methods)
    figure = go.Figure()
    for k, method in enumerate(methods):
        rows = summary[(summary["method"] == method) & summary["auroc"].notna()]
        at = [
            categories.index(category) + (k - (len(methods) - 1) / 2) * step
            for category in rows["category"]
        ]
        add_dots(figure, rows, at, name=METHODS.get(method, method), mark=mark_of(method, methods))
    for border in range(1, len(categories)):
        figure.add_hline(y=border - 0.5, line={"color": "#D0D0D0", "width": 1})
    label_rows(
        figure,
        [literal(category) for category in categories],
        HEAD + max(2, len(categories)) * max(ROW * len(methods), 40),
        "category",
    )
    auroc_axis(figure, "x", summary)
    return titled(figure, literal(title), legend_line(summary))


def plot_few_shot(summary: pd.DataFrame, *, title: str = "How many training images?") -> go.Figure:
    """AUROC over the number of training images, a panel for each category.

    The band reaches from the lowest to the highest seed.

    Args:
        summary: with `category`, `method`, `n_train` and the columns of `experiments.summarise`.
        title: of the figure.
    """
    categories, methods = (
        list(dict.fromkeys(summary["category"])),
        list(dict.fromkeys(summary["method"])),
    )
    columns = min(3, len(categories))
    panels = make_subplots(
        rows=math.ceil(len(categories) / columns),
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        subplot_titles=[literal(category) for category in categories],
    )
    for i, category in enumerate(categories):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for method in methods:
            rows = summary[
                (summary["category"] == category)
                & (summary["method"] == method)
                & summary["auroc"].notna()
            ].sort_values("n_train")
            name, mark = literal(METHODS.get(method, method)), mark_of(method, methods)
            x, low, high = (
                rows["n_train"].tolist(),
                in_percent(rows["low"]),
                in_percent(rows["high"]),
            )
            panels.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                mode="lines",
                fill="toself",
                fillcolor=pale(mark["color"]),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=method,
                **place,
            )
            dash = DASHES[methods.index(method) % len(DASHES)]
            panels.add_scatter(
                x=x,
                y=in_percent(rows["auroc"]),
                mode="lines+markers",
                name=name,
                legendgroup=method,
                showlegend=i == 0,
                line={"color": mark["color"], "width": 2, "dash": dash},
                marker={**mark, "size": 8},
                customdata=hover_lines(rows),
                hovertemplate="%{x} images<br>%{fullData.name}<br>"
                "AUROC %{y:.1f} %<br>%{customdata}<extra></extra>",
                **place,
            )
            paper = published_auroc(method, category)
            if paper is not None:
                panels.add_scatter(
                    x=[summary["n_train"].max()],
                    y=[100 * paper],
                    mode="markers",
                    name=f"{name}, paper",
                    legendgroup=method,
                    showlegend=False,
                    marker={
                        "symbol": f"{mark['symbol']}-open",
                        "color": mark["color"],
                        "size": 11,
                        "line": {"width": 1.5},
                    },
                    cliponaxis=False,
                    hovertemplate="%{fullData.name}, all images<br>AUROC %{y:.1f} %<extra></extra>",
                    **place,
                )
    counts = sorted(set(summary["n_train"].dropna().astype(int)))
    panels.update_xaxes(
        type="log", tickvals=counts, ticktext=[str(n) for n in counts], title_text="training images"
    )
    auroc_axis(panels, "y", summary)
    panels.update_yaxes(title_text="", col=None).update_yaxes(title_text="image AUROC, %", col=1)
    known = "; open marks: the paper, with all images" if summary["paper"].notna().any() else ""
    figure = titled(
        panels, literal(title), f"mean over seeds; band from the lowest to the highest{known}"
    )
    return figure.update_layout(
        height=140 + 300 * math.ceil(len(categories) / columns), margin_t=100
    )


def plot_ablations(summary: pd.DataFrame, *, title: str = "One factor at a time") -> go.Figure:
    """AUROC for each level of each factor; the default is the level in bold.

    Args:
        summary: with `factor`, `level`, `default`, `category` and the columns of
            `experiments.summarise`.
        title: of the figure.
    """
    categories = list(dict.fromkeys(summary["category"]))
    names = [
        (f, level, bool(default))
        for f, level, default in dict.fromkeys(
            zip(summary["factor"], summary["level"], summary["default"], strict=True)
        )
    ]
    figure = go.Figure()
    for category in categories:
        rows = summary[(summary["category"] == category) & summary["auroc"].notna()]
        shift = 0.5 * (categories.index(category) - (len(categories) - 1) / 2) / len(categories)
        at = [
            names.index((f, level, bool(default))) + shift
            for f, level, default in zip(
                rows["factor"], rows["level"], rows["default"], strict=True
            )
        ]
        add_dots(figure, rows, at, name=category, mark=mark_of(category, categories))
    for i, (a, b) in enumerate(pairwise(names)):
        if a[0] != b[0]:
            figure.add_hline(y=i + 0.5, line={"color": "#D0D0D0", "width": 1})
    labels = [
        f"{literal(f)}: <b>{literal(level)}</b>" if default else f"{literal(f)}: {literal(level)}"
        for f, level, default in names
    ]
    label_rows(figure, labels, HEAD + 30 * len(names), "")
    auroc_axis(figure, "x", summary)
    return titled(figure, literal(title), f"DifferNet, the default in bold; {legend_line(summary)}")
