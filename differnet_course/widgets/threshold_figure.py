"""The figure of the threshold explorer: rows of scores with theta, and the confusion matrix."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_course.plots.style import COLOURS, DARK, GREY, SYMBOLS, TEMPLATE

__all__ = ["draw_threshold", "move_threshold"]

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
    rows = _rows(calibration, scores, kinds, names)
    top, bottom = -0.6, len(rows) - 0.4
    shade = _line([ends[1]] * 4, [top, top, bottom, bottom], width=0)
    shade.update(fill="toself", fillcolor="rgba(230,159,0,0.16)")
    cursor = _line([ends[1]] * 2, [top, bottom], width=2)
    cursor.line.update(color="black", dash="dash")
    truth = ["normal", "anomalous"] if (kinds != "good").any() else ["normal"]
    figure = make_subplots(1, 2, column_widths=[0.7, 0.3], horizontal_spacing=0.18)
    for trace in (shade, *(_marks(k, *row) for k, row in enumerate(rows)), cursor):
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(_matrix(len(truth)), row=1, col=2)
    height = HEAD + ROW * len(rows)
    margin = {"l": 84, "r": 8, "t": 40, "b": 52}
    figure.update_layout(template=TEMPLATE, width=WIDTH, height=height, margin=margin)
    words = " (logarithmic)" if logarithmic else ""
    figure.update_xaxes(title_text=f"anomaly score{words}; shaded: flagged", col=1)
    if logarithmic:
        figure.update_xaxes(type="log", range=np.log10(ends).tolist(), tickformat="~g", col=1)
    else:
        figure.update_xaxes(range=list(ends), col=1)
    ticks = [
        f"{html.escape(name)}<br><span style='font-size:11px'>n = {len(values)}</span>"
        for name, values, _ in rows
    ]
    figure.update_yaxes(range=[bottom, top], tickvals=[*range(len(rows))], ticktext=ticks, col=1)
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(side="top", tickvals=[0, 1], ticktext=["passed", "flagged"], col=2)
    figure.update_yaxes(autorange="reversed", tickvals=[*range(len(truth))], ticktext=truth, col=2)
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(showline=False, ticks="", showgrid=False, fixedrange=True, col=2)
    theta = {"text": "", "font": {"size": 13, "color": "black"}, "showarrow": False}
    return figure.add_annotation(theta, x=0, y=1, yref="y domain", yanchor="bottom")


def move_threshold(
    figure: go.Figure, theta: float, counts: np.ndarray, *, logarithmic: bool
) -> None:
    """Set threshold and confusion matrix, (2, 2): rows normal and anomalous, passed and flagged."""
    region, line, matrix = figure.data[0], figure.data[-2], figure.data[-1]
    right = region.x[1]
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
    rows = [("held out", calibration, [f"held out {i}" for i in range(len(calibration))])]
    for kind in order:
        chosen = np.flatnonzero(kinds == kind)
        rows.append((kind, scores[chosen], [html.escape(names[int(i)]) for i in chosen]))
    return rows


def _line(x: list[float], y: list[float], *, width: float) -> go.Scatter:
    return go.Scatter(
        x=x, y=y, mode="lines", line={"width": width}, hoverinfo="skip", showlegend=False
    )


def _marks(row: int, name: str, values: np.ndarray, text: Sequence[str]) -> go.Scatter:
    """A mark for each score, spread within its row by the golden ratio: no chance in it."""
    jitter = 0.5 * ((np.arange(len(values)) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
    marks = go.Scatter(x=values, y=row + jitter, mode="markers", text=text, showlegend=False)
    marks.update(name=html.escape(name), marker={"size": 8, "opacity": 0.85})
    marks.hovertemplate = "%{text}<br>score %{x:.4g}<extra></extra>"
    if row:
        marks.marker.color = COLOURS[(row - 1) % len(COLOURS)]
        marks.marker.symbol = SYMBOLS[(row - 1) % len(SYMBOLS)]
        marks.marker.line = {"color": DARK, "width": 0.5}
    else:
        marks.marker.update(color=GREY, symbol="circle-open", line={"width": 1.5})
    return marks


def _matrix(rows: int) -> go.Heatmap:
    """The confusion matrix without its numbers: right decisions blue, wrong ones orange."""
    cells = go.Heatmap(z=[[0, 1], [1, 0]][:rows], x=[0, 1], y=[*range(rows)], zmin=0, zmax=1)
    cells.update(text=[["", ""]] * rows, texttemplate="%{text}")
    cells.update(textfont={"size": 22, "color": DARK}, xgap=3, ygap=3, hoverinfo="skip")
    return cells.update(colorscale=[[0, "#D6E9F5"], [1, "#FBDCC4"]], showscale=False)
