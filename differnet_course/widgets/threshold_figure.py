"""The figure of the threshold explorer: rows of scores with theta, and the confusion matrix."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_course.plots.style import COLOURS, DARK, GREY, SYMBOLS, TEMPLATE

__all__ = ["draw_threshold", "move_threshold"]

HELD_OUT = "held out"  # the row of the calibration scores
WIDTH, HEAD, ROW = 540, 120, 36  # px: of the figure, around its rows, of a row


def draw_threshold(
    calibration: np.ndarray,
    scores: np.ndarray,
    kinds: np.ndarray,
    names: Sequence[str],
    *,
    ends: tuple[float, float],
    logarithmic: bool,
) -> go.Figure:
    """The figure before its threshold is set; `move_threshold` sets it.

    The first and the last two traces and the first annotation are what moves.
    """
    anomalous = kinds != "good"
    rows = _rows(calibration, scores, kinds, names)
    top, bottom = -0.6, len(rows) - 0.4
    figure = make_subplots(1, 2, column_widths=[0.7, 0.3], horizontal_spacing=0.18)
    figure.add_scatter(
        x=[ends[1]] * 4,
        y=[top, top, bottom, bottom],
        fill="toself",
        fillcolor="rgba(230,159,0,0.16)",
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
    for row, (name, values, text) in enumerate(rows):
        figure.add_trace(_marks(row, name, values, text), row=1, col=1)
    figure.add_scatter(
        x=[ends[1]] * 2,
        y=[top, bottom],
        mode="lines",
        line={"color": "black", "dash": "dash", "width": 2},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
    truth = ["normal", "anomalous"] if anomalous.any() else ["normal"]
    figure.add_trace(_matrix(len(truth)), row=1, col=2)
    figure.update_layout(
        template=TEMPLATE,
        width=WIDTH,
        height=HEAD + ROW * len(rows),
        margin={"l": 84, "r": 8, "t": 40, "b": 52},
    )
    scale: dict[str, Any] = {"range": list(ends)}
    if logarithmic:
        scale = {"type": "log", "range": np.log10(ends).tolist(), "tickformat": "~g"}
    title = "anomaly score" + " (logarithmic)" * logarithmic + "; shaded: flagged"
    figure.update_xaxes(title_text=title, row=1, col=1, **scale)
    ticks = [
        f"{html.escape(name)}<br><span style='font-size:11px'>n = {len(values)}</span>"
        for name, values, _ in rows
    ]
    labels = {"tickvals": list(range(len(rows))), "ticktext": ticks, "showgrid": False}
    figure.update_yaxes(range=[bottom, top], row=1, col=1, **labels)
    bare: dict[str, Any] = {"showline": False, "ticks": "", "showgrid": False, "fixedrange": True}
    bare |= {"row": 1, "col": 2}
    figure.update_xaxes(side="top", tickvals=[0, 1], ticktext=["passed", "flagged"], **bare)
    labels = {"tickvals": list(range(len(truth))), "ticktext": truth}
    figure.update_yaxes(autorange="reversed", **labels, **bare)
    return figure.add_annotation(
        x=0,
        y=1,
        xref="x",
        yref="y domain",
        yanchor="bottom",
        text="",
        showarrow=False,
        font={"size": 13, "color": "black"},
    )


def move_threshold(
    figure: go.FigureWidget, theta: float, counts: np.ndarray, *, logarithmic: bool
) -> None:
    """Set threshold and confusion matrix, (2, 2): rows normal and anomalous, passed and flagged."""
    region, line, matrix = figure.data[0], figure.data[-2], figure.data[-1]
    right = region.x[1]
    with figure.batch_update():
        region.x = [theta, right, right, theta]
        line.x = [theta, theta]
        matrix.text = [[f"<b>{value}</b>" for value in row] for row in counts[: len(matrix.y)]]
        figure.layout.annotations[0].x = np.log10(theta) if logarithmic else theta
        figure.layout.annotations[0].text = f"θ = {theta:.3g}"


def _rows(
    calibration: np.ndarray, scores: np.ndarray, kinds: np.ndarray, names: Sequence[str]
) -> list[tuple[str, np.ndarray, list[str]]]:
    """Name, scores and hover texts: the calibration, the good ones, the others by their median."""
    order = sorted(
        set(kinds), key=lambda kind: (kind != "good", np.median(scores[kinds == kind]), kind)
    )
    rows = [(HELD_OUT, calibration, [f"held out {i}" for i in range(len(calibration))])]
    for kind in order:
        chosen = np.flatnonzero(kinds == kind)
        rows.append((kind, scores[chosen], [html.escape(names[int(i)]) for i in chosen]))
    return rows


def _marks(row: int, name: str, values: np.ndarray, text: Sequence[str]) -> go.Scatter:
    """A mark for each score, spread within its row by the golden ratio: no chance in it."""
    jitter = 0.5 * ((np.arange(len(values)) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
    marker: dict[str, Any] = {"color": GREY, "symbol": "circle-open", "line": {"width": 1.5}}
    if row:
        colour, symbol = COLOURS[(row - 1) % len(COLOURS)], SYMBOLS[(row - 1) % len(SYMBOLS)]
        marker = {"color": colour, "symbol": symbol, "line": {"color": DARK, "width": 0.5}}
    return go.Scatter(
        x=values,
        y=row + jitter,
        mode="markers",
        name=html.escape(name),
        text=text,
        showlegend=False,
        marker=marker | {"size": 8, "opacity": 0.85},
        hovertemplate="%{text}<br>score %{x:.4g}<extra></extra>",
    )


def _matrix(rows: int) -> go.Heatmap:
    """The confusion matrix without its numbers: right decisions blue, wrong ones orange."""
    return go.Heatmap(
        z=[[0, 1], [1, 0]][:rows],
        x=[0, 1],
        y=list(range(rows)),
        text=[["", ""]] * rows,
        texttemplate="%{text}",
        textfont={"size": 22, "color": DARK},
        colorscale=[[0, "#D6E9F5"], [1, "#FBDCC4"]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=3,
        ygap=3,
        hoverinfo="skip",
    )
