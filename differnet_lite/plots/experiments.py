"""Figures of the studies and of notebook 08: each takes a table or arrays and returns a Plotly figure.

In those that take a summary of `differnet_lite.experiments`, a filled mark is the mean over seeds, its line reaches
from the lowest to the highest of them, and an open mark is the paper's number. Colours, marks and looks are those of `plots`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_lite.evaluation.published import METHODS, published_auroc
from differnet_lite.plots.scores import (
    COLOURS,
    DARK,
    DASHES,
    GREY,
    SKY,
    SYMBOLS,
    _bar,
    _text,
    _titled,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["plot_ablations", "plot_comparison", "plot_few_shot", "plot_published", "plot_shifts"]

ROW, HEAD = 15, 120  # px of a method's row, and around the rows


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
        _dots(figure, rows, at, name=METHODS.get(method, method), mark=_mark(method, methods))
    for border in range(1, len(categories)):
        figure.add_hline(y=border - 0.5, line={"color": "#D0D0D0", "width": 1})
    _categories(
        figure,
        [_text(category) for category in categories],
        HEAD + max(2, len(categories)) * max(ROW * len(methods), 40),
        "category",
    )
    _auroc_axis(figure, "x", summary)
    return _titled(figure, _text(title), _legend_line(summary))


def plot_few_shot(summary: pd.DataFrame, *, title: str = "How many training images?") -> go.Figure:
    """AUROC over the number of training images, a panel for each category; the band reaches from the lowest to the highest seed.

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
        subplot_titles=[_text(category) for category in categories],
    )
    for i, category in enumerate(categories):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for method in methods:
            rows = summary[
                (summary["category"] == category)
                & (summary["method"] == method)
                & summary["auroc"].notna()
            ].sort_values("n_train")
            name, mark = _text(METHODS.get(method, method)), _mark(method, methods)
            x, low, high = rows["n_train"].tolist(), _percent(rows["low"]), _percent(rows["high"])
            panels.add_scatter(
                x=x + x[::-1],
                y=high + low[::-1],
                mode="lines",
                fill="toself",
                fillcolor=_pale(mark["color"]),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=method,
                **place,
            )
            dash = DASHES[methods.index(method) % len(DASHES)]
            panels.add_scatter(
                x=x,
                y=_percent(rows["auroc"]),
                mode="lines+markers",
                name=name,
                legendgroup=method,
                showlegend=i == 0,
                line={"color": mark["color"], "width": 2, "dash": dash},
                marker={**mark, "size": 8},
                customdata=_hover(rows),
                hovertemplate="%{x} images<br>%{fullData.name}<br>AUROC %{y:.1f} %<br>%{customdata}<extra></extra>",
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
    _auroc_axis(panels, "y", summary)
    panels.update_yaxes(title_text="", col=None).update_yaxes(title_text="image AUROC, %", col=1)
    known = "; open marks: the paper, with all images" if summary["paper"].notna().any() else ""
    figure = _titled(
        panels, _text(title), f"mean over seeds; band from the lowest to the highest{known}"
    )
    return figure.update_layout(
        height=140 + 300 * math.ceil(len(categories) / columns), margin_t=100
    )


def plot_ablations(summary: pd.DataFrame, *, title: str = "One factor at a time") -> go.Figure:
    """AUROC for each level of each factor; the default is the level in bold.

    Args:
        summary: with `factor`, `level`, `default`, `category` and the columns of `experiments.summarise`.
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
        _dots(figure, rows, at, name=category, mark=_mark(category, categories))
    for i, (a, b) in enumerate(pairwise(names)):
        if a[0] != b[0]:
            figure.add_hline(y=i + 0.5, line={"color": "#D0D0D0", "width": 1})
    labels = [
        f"{_text(f)}: <b>{_text(level)}</b>" if default else f"{_text(f)}: {_text(level)}"
        for f, level, default in names
    ]
    _categories(figure, labels, HEAD + 30 * len(names), "")
    _auroc_axis(figure, "x", summary)
    return _titled(figure, _text(title), f"DifferNet, the default in bold; {_legend_line(summary)}")


def plot_published(
    table: pd.DataFrame, *, title: str = "The paper's table, image AUROC in %"
) -> go.Figure:
    """A table of AUROCs as a heat map with its numbers, and a last row with the mean of each column.

    Args:
        table: AUROC, 0 to 1, categories by methods; see `experiments.published_table`.
        title: of the figure.
    """
    percent = 100 * table
    percent.loc["mean"] = percent.mean()
    heat = go.Heatmap(
        z=percent.to_numpy(),
        x=[_text(METHODS.get(method, method)) for method in table],
        y=[_text(name) for name in percent.index],
        zmin=50,
        zmax=100,
        colorscale=[[0, "white"], [1, SKY]],
        texttemplate="%{z:.1f}",
        textfont={"color": DARK, "size": 13},
        colorbar=_bar("AUROC, %; 50 is chance"),
        xgap=1,
        ygap=1,
        hovertemplate="%{x} on %{y}: %{z:.1f} %<extra></extra>",
    )
    figure = _titled(
        go.Figure(heat),
        _text(title),
        "best epoch on the test set for the trained methods; the last row is the mean",
    )
    figure.update_xaxes(side="top", showgrid=False, ticks="", showline=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", showline=False)
    figure.add_hline(y=len(table) - 0.5, line={"color": DARK, "width": 2})
    return figure.update_layout(
        width=760, height=120 + 24 * len(percent), margin={"t": 100, "b": 20}
    )


def plot_shifts(shifts: Mapping[str, float], *, title: str = "What a defect moves") -> go.Figure:
    """A mark for each method: by how much a defect raises the score of the same part, in deviations of normal scores.

    Args:
        shifts: method to the score with the defect minus the score without, divided by the deviation over normal images.
        title: of the figure.
    """
    figure, methods = go.Figure(), list(shifts)
    for row, (method, shift) in enumerate(shifts.items()):
        name = _text(METHODS.get(method, method))
        figure.add_scatter(
            x=[0, float(shift)],
            y=[row, row],
            mode="lines",
            line={"color": GREY, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=[round(float(shift), 3)],
            y=[row],
            mode="markers",
            name=name,
            marker={**_mark(method, methods), "size": 11},
            hovertemplate="%{fullData.name}: %{x:.2f} deviations<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(x=1, line={"color": DARK, "dash": "dot", "width": 1.5})
    _categories(
        figure,
        [_text(METHODS.get(method, method)) for method in methods],
        HEAD + 34 * len(methods),
        "",
    )
    figure.update_xaxes(
        title_text="score with the defect minus score without, in standard deviations of normal scores"
    )
    return _titled(figure, _text(title), "dotted: as far as normal images differ among themselves")


def _dots(
    figure: go.Figure, rows: pd.DataFrame, at: Sequence[float], *, name: str, mark: dict[str, Any]
) -> None:
    """Filled marks with a line from the lowest to the highest seed, and open ones for the paper."""
    mean, low, high = (_percent(rows[column]) for column in ("auroc", "low", "high"))
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
        name=_text(name),
        legendgroup=name,
        error_x={"type": "data", "symmetric": False, **reach},
        marker={**mark, "size": 9},
        customdata=_hover(rows),
        hovertemplate="%{fullData.name}<br>AUROC %{x:.1f} %<br>%{customdata}<extra></extra>",
    )
    known = [(y, 100 * paper) for y, paper in zip(at, rows["paper"], strict=True) if paper == paper]
    if known:
        figure.add_scatter(
            x=[x for _, x in known],
            y=[y for y, _ in known],
            mode="markers",
            name=f"{_text(name)}, paper",
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


def _mark(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and symbol; a method keeps its own from figure to figure, and DifferNet is blue."""
    order = (
        ["differnet", *(method for method in METHODS if method != "differnet")]
        if name in METHODS
        else list(names)
    )
    colours, k = (*COLOURS, DARK, GREY), order.index(name)
    return {"color": colours[k % len(colours)], "symbol": SYMBOLS[k % len(SYMBOLS)]}


def _pale(colour: str) -> str:
    """A colour such as #0072B2 as the filling of a band."""
    return f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.15)"


def _hover(rows: pd.DataFrame) -> list[str]:
    columns = zip(rows["seeds"], rows["low"], rows["high"], rows["failed"], strict=True)
    return [
        f"{n} seed(s), {100 * a:.1f} to {100 * b:.1f} %" + (f", {failed} failed" if failed else "")
        for n, a, b, failed in columns
    ]


def _percent(values: pd.Series) -> list[float]:
    return [100 * float(value) for value in values]


def _legend_line(summary: pd.DataFrame) -> str:
    text = "mean over seeds; line from the lowest to the highest"
    return text + "; open marks: the paper" if summary["paper"].notna().any() else text


def _categories(figure: go.Figure, labels: Sequence[str], height: int, title: str) -> None:
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        title_text=title,
    )
    figure.update_layout(height=height)


def _auroc_axis(figure: go.Figure, axis: str, summary: pd.DataFrame) -> None:
    """From the lowest value, or chance, to 100 %."""
    low = min([0.5, *summary["low"].dropna(), *summary["paper"].dropna()])
    settings = {"title_text": "image AUROC, % (50 is chance)", "range": [100 * low - 2, 101.5]}
    (figure.update_xaxes if axis == "x" else figure.update_yaxes)(**settings)
