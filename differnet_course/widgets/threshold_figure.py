"""What the threshold explorer shows: rows of scores, the confusion matrix, and thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from differnet_course.plots.images import jpeg_bytes, jpeg_uri
from differnet_course.plots.style import BLUE, DARK, GREY, TEMPLATE, VERMILLION, marker, spread
from differnet_lite.images import ImageLike, as_rgb

__all__ = ["Cards", "draw_threshold", "move_threshold"]

WIDTH, HEAD, ROW = 540, 120, 36  # px: of the figure, around its rows, of a row
THUMBNAIL, CARD = 84, 96  # px: of a thumbnail, and width of its card
NEIGHBOURS = 3  # images shown on each side of theta
GROUPS = "background:white;color:{};padding:4px;display:flex;flex-wrap:wrap;gap:18px;font-size:12px"
GROUP = "display:flex;flex-wrap:wrap;gap:6px;min-height:{}px;width:{}px"


def draw_threshold(
    calibration: np.ndarray,
    scores: np.ndarray,
    kinds: np.ndarray,
    names: Sequence[str],
    *,
    ends: tuple[float, float],
) -> go.Figure:
    """The figure before its threshold is set; `move_threshold` sets it.

    The first and the last two traces and the first annotation are what moves.
    """
    order = sorted(
        set(kinds), key=lambda kind: (kind != "good", np.median(scores[kinds == kind]), kind)
    )
    texts = np.array([escape(name) for name in names], object)
    rows = [("held out", calibration, [f"held out {i}" for i in range(len(calibration))])]
    rows += [(escape(kind), scores[kinds == kind], texts[kinds == kind]) for kind in order]
    top, bottom = -0.6, len(rows) - 0.4
    shade = _line([ends[1]] * 4, [top, top, bottom, bottom], width=0)
    shade.update(fill="toself", fillcolor="rgba(230,159,0,0.16)")
    cursor = _line([ends[1]] * 2, [top, bottom], width=2)
    cursor.line.update(color="black", dash="dash")
    figure = make_subplots(1, 2, column_widths=[0.7, 0.3], horizontal_spacing=0.18)
    for trace in (shade, *(_marks(k, *row) for k, row in enumerate(rows)), cursor):
        figure.add_trace(trace, row=1, col=1)
    # the confusion matrix without its numbers: right decisions blue, wrong ones orange
    cells = go.Heatmap(z=[[0, 1], [1, 0]], x=[0, 1], y=[0, 1], zmin=0, zmax=1, hoverinfo="skip")
    cells.update(texttemplate="%{text}", textfont={"size": 22, "color": DARK}, xgap=3, ygap=3)
    cells.update(colorscale=[[0, "#D6E9F5"], [1, "#FBDCC4"]], showscale=False)
    figure.add_trace(cells, row=1, col=2)
    height = HEAD + ROW * len(rows)
    margin = {"l": 84, "r": 8, "t": 40, "b": 52}
    figure.update_layout(template=TEMPLATE, width=WIDTH, height=height, margin=margin)
    title = "anomaly score (logarithmic); shaded: flagged"
    axis = {"type": "log", "range": np.log10(ends).tolist(), "tickformat": "~g"}
    figure.update_xaxes(axis, title_text=title, col=1)
    ticks = [
        f"{name}<br><span style='font-size:11px'>n = {len(values)}</span>"
        for name, values, _ in rows
    ]
    figure.update_yaxes(range=[bottom, top], tickvals=[*range(len(rows))], ticktext=ticks, col=1)
    figure.update_yaxes(showgrid=False)
    truth = {"tickvals": [0, 1], "ticktext": ["normal", "anomalous"], "autorange": "reversed"}
    bare = {"showline": False, "ticks": "", "showgrid": False, "fixedrange": True}
    figure.update_xaxes(bare, side="top", tickvals=[0, 1], ticktext=["passed", "flagged"], col=2)
    figure.update_yaxes(bare | truth, col=2)
    theta = {"text": "", "font": {"size": 13, "color": "black"}, "showarrow": False}
    return figure.add_annotation(theta, x=0, y=1, yref="y domain", yanchor="bottom")


def move_threshold(figure: go.Figure, theta: float, counts: np.ndarray) -> None:
    """Set threshold and confusion matrix, (2, 2): rows normal and anomalous, passed and flagged."""
    region, line, matrix = figure.data[0], figure.data[-2], figure.data[-1]
    right = region.x[1]
    region.x = [theta, right, right, theta]
    line.x = [theta, theta]
    matrix.text = [[f"<b>{value}</b>" for value in row] for row in counts]
    figure.layout.annotations[0].x = np.log10(theta)
    figure.layout.annotations[0].text = f"θ = {theta:.3g}"


def _line(x: list[float], y: list[float], *, width: float) -> go.Scatter:
    line = go.Scatter(x=x, y=y, mode="lines", line={"width": width})
    return line.update(hoverinfo="skip", showlegend=False)


def _marks(row: int, name: str, values: np.ndarray, text: Sequence[str]) -> go.Scatter:
    """A mark for each score, spread within its row."""
    y = row + spread(len(values), 0.5)
    marks = go.Scatter(x=values, y=y, mode="markers", text=text, showlegend=False, name=name)
    marks.hovertemplate = "%{text}<br>score %{x:.4g}<extra></extra>"
    if row:
        look = marker(row - 1, line={"color": DARK, "width": 0.5})
    else:
        look = {"color": GREY, "symbol": "circle-open", "line": {"width": 1.5}}
    return marks.update(marker=look | {"size": 8, "opacity": 0.85})


class Cards:
    """Thumbnails of N images beside a decision, as HTML.

    Args:
        scores: (N,).
        anomalous: (N,) bool, what they are.
        names: N names.
        images: N images.
    """

    def __init__(
        self,
        scores: np.ndarray,
        anomalous: np.ndarray,
        names: Sequence[str],
        images: Sequence[ImageLike],
    ) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.anomalous = anomalous
        self.names = names
        small = (as_rgb(image).resize((THUMBNAIL, THUMBNAIL)) for image in images)
        self.sources = [jpeg_uri(jpeg_bytes(picture, 75)) for picture in small]

    def strip(self, flagged: np.ndarray, before: np.ndarray) -> str:
        """Three groups: next to be flagged, next to pass, just flipped; of decisions (N,) bool."""
        below, above, flipped = (
            self.order[chosen[self.order]] for chosen in (~flagged, flagged, flagged != before)
        )
        groups = {
            "Next to be flagged, as θ falls": below[-NEIGHBOURS:],
            "Next to pass, as θ rises": above[:NEIGHBOURS],
            f"Just flipped ({len(flipped)})": flipped[: 2 * NEIGHBOURS],
        }
        row = GROUP.format(THUMBNAIL + 40, NEIGHBOURS * (CARD + 6) - 6)
        html = ""
        for title, shown in groups.items():
            cards = "".join(self._card(i, bool(flagged[i])) for i in shown) or "<i>none</i>"
            html += f"<div><b>{title}</b><div style='{row}'>{cards}</div></div>"
        return f"<div style='{GROUPS.format(DARK)}'>{html}</div>"

    def _card(self, i: int, flagged: bool) -> str:
        """Thumbnail, name and decision; wrong ones have a thick vermillion frame."""
        wrong = flagged != self.anomalous[i]
        verdicts = ("missed", "false alarm") if wrong else ("passed", "detected")
        frame = f"3px solid {VERMILLION}" if wrong else f"3px dotted {BLUE}"
        size = f"width={THUMBNAIL} height={THUMBNAIL} alt='' style='display:block'"
        return (
            f"<div style='width:{CARD}px;text-align:center;overflow-wrap:anywhere'>"
            f"<div style='border:{frame};display:inline-block'>"
            f"<img src='{self.sources[i]}' {size}></div><div>{escape(self.names[i])}<br>"
            f"<b>{'✗' if wrong else '✓'} {verdicts[flagged]}</b></div></div>"
        )
