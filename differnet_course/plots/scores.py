"""Scores of images: by kind, by view, and two scores against each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots import style
from differnet_lite.checks import vector
from differnet_lite.thresholds import Threshold

EDGE = {"color": style.DARK, "width": 0.5}  # of a mark


def plot_scores(
    scores: ArrayLike,
    kinds: Sequence[str],
    *,
    threshold: float | Threshold | None = None,
    log: bool = True,
    names: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
    title: str = "",
) -> go.Figure:
    """Anomaly scores by kind: a marker for each image, a box for each kind, theta as a line.

    Args:
        scores: (N,).
        kinds: N kinds such as "good" or "scratch".
        threshold: theta; an image is flagged if score >= theta.
        log: a logarithmic axis, as anomalies may score orders of magnitude above normals.
        names: N names of images for the hover text; None numbers them.
        order: the kinds from top to bottom; None puts "good" first, and the others in order of
            their names, so that a kind keeps its colour in all figures of a category.

    Raises:
        ValueError: scores are not finite, or not positive on a logarithmic axis.
    """
    s = vector("scores", scores)
    theta = threshold.value if isinstance(threshold, Threshold) else threshold
    shown = s if theta is None else np.append(s, theta)
    if log and shown.min() <= 0:
        raise ValueError(
            "a logarithmic axis needs positive scores and threshold, got some <= 0; pass log=False"
        )
    labels = style.hover_names(names, len(s))
    rows = _by_kind(kinds, s, order)
    figure = go.Figure()
    ticks = []
    for row, (kind, chosen) in enumerate(rows.items()):
        x = s[chosen]
        look = style.marker(row, size=7, opacity=0.8, line=EDGE)
        figure.add_trace(_box(x, row - 0.27, style.COLOURS[row % 6], log))
        figure.add_scatter(
            x=x,
            y=row + 0.12 + style.spread(len(x), 0.42),
            mode="markers",
            name=style.literal(kind),
            text=labels[chosen],
            showlegend=False,
            marker=look,
            hovertemplate="%{text}<br>%{fullData.name}<br>score %{x:.4g}<extra></extra>",
        )
        flagged = "" if theta is None else f", {int((x >= theta).sum())} flagged"
        count = f"<span style='font-size:11px;color:#555555'>n = {len(x)}{flagged}</span>"
        ticks.append(f"{style.literal(kind)}<br>{count}")
    bottom = len(rows) - 0.5
    if theta is not None:
        ends = [theta, theta], [bottom, -0.5]
        line = style.curve(*ends, "threshold", "black", dash="dash", width=1.5)
        line.update(mode="lines+text", text=["", f"θ = {theta:.4g}"], textposition="top center")
        line.update(cliponaxis=False, showlegend=False)
        figure.add_trace(line.update(hovertemplate="threshold θ = %{x:.4g}<extra></extra>"))
    scale = "no unit, logarithmic" if log else "no unit"
    figure.update_xaxes(style.log_axis(shown) if log else {}, title_text=f"anomaly score ({scale})")
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=ticks, range=[bottom, -0.5])
    figure.update_yaxes(showgrid=False, title_text="kind of image")
    top = 64 if title else 36
    height = 74 + 74 * max(2, len(rows)) + top
    return figure.update_layout(
        template=style.TEMPLATE, title_text=title, margin_t=top, height=height
    )


def _by_kind(
    kinds: Sequence[str], values: np.ndarray, order: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Kinds that occur, "good" first if there is no order, to their images by rising value."""
    kind_of = np.array([str(kind) for kind in kinds])
    order = order or sorted(set(kind_of.tolist()), key=lambda kind: (kind != "good", kind))
    ascending = np.argsort(values, kind="stable")
    rows = {kind: ascending[kind_of[ascending] == kind] for kind in order}
    return {kind: chosen for kind, chosen in rows.items() if len(chosen)}


def _box(x: np.ndarray, y: float, colour: str, log: bool) -> go.Box:
    """A box of sorted scores; whiskers reach 1.5 box lengths as seen on the axis."""
    q1, median, q3 = np.quantile(x, [0.25, 0.5, 0.75])
    length = np.log(x) if log else x
    box = np.quantile(length, [0.25, 0.75])
    reach = box + 1.5 * np.ptp(box) * np.array([-1, 1])
    inside = x[(length >= reach[0]) & (length <= reach[1])]
    values = {"q1": [q1], "median": [median], "q3": [q3]}
    fences = {"lowerfence": [inside[0]], "upperfence": [inside[-1]]}
    look = {"line": {"color": colour, "width": 1.5}, "fillcolor": "white", "width": 0.2}
    quiet = {"hoverinfo": "skip", "showlegend": False}
    return go.Box(values | fences | look | quiet, orientation="h", y0=y, y=[y])


def plot_views(scores: ArrayLike, kinds: Sequence[str], *, title: str = "") -> go.Figure:
    """What an image's views score: a bar from the lowest view to the highest, a mark at the median.

    Images stand side by side, by kind, "good" first, each kind in order of its medians. Scores
    (N, T) are positive, the axis is logarithmic.
    """
    values = np.asarray(scores, dtype=float)
    medians = np.median(values, axis=1)
    figure = go.Figure()
    start = 0
    ticks = []
    for row, (kind, chosen) in enumerate(_by_kind(kinds, medians).items()):
        y = medians[chosen]
        ends = values[chosen].min(1), values[chosen].max(1)
        figure.add_scatter(
            x=np.arange(start, start + len(chosen)),
            y=y,
            error_y=style.error_bars(y, *ends, thickness=1.2, width=0),
            mode="markers",
            name=style.literal(kind),
            marker=style.marker(row, size=7),
            hovertemplate="%{fullData.name}<br>median %{y:.3g}<extra></extra>",
        )
        ticks.append(start + (len(chosen) - 1) / 2)
        start += len(chosen) + 3
    names = [trace.name for trace in figure.data]
    figure.update_xaxes(tickvals=ticks, ticktext=names, showgrid=False)
    figure.update_xaxes(title_text="images, by kind, in order of their medians")
    figure.update_yaxes(style.log_axis(values), title_text="score of a view (logarithmic)")
    look = {"template": style.TEMPLATE, "width": 860, "height": 430, "showlegend": False}
    return figure.update_layout(look, title_text=title)


def plot_groups(
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[str],
    *,
    x_title: str,
    y_title: str,
    order: Sequence[str],
    title: str = "",
    log: bool = False,
) -> go.Figure:
    """Points in a plane, each group with a colour and a marker of its own.

    Args:
        x, y: (N,), such as two scores of each image.
        groups: N names.
        order: the groups, in the order of the colours; one that does not occur keeps its colour.
        log: both axes logarithmic.
    """
    points = np.stack([x, y]).astype(float)
    labels = style.hover_names(None, points.shape[1])
    figure = go.Figure()
    for k, group in enumerate(order):
        chosen = np.flatnonzero(np.asarray(groups) == group)
        if len(chosen):
            across, up = points[:, chosen].round(4)
            figure.add_scatter(
                x=across,
                y=up,
                mode="markers",
                name=style.literal(group),
                text=labels[chosen],
                marker=style.marker(k, size=8, opacity=0.8, line=EDGE),
                hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra>%{fullData.name}</extra>",
            )
    figure.update_xaxes(style.log_axis(points[0]) if log else {}, title_text=x_title)
    figure.update_yaxes(style.log_axis(points[1]) if log else {}, title_text=y_title)
    look = {"template": style.TEMPLATE, "legend": style.ABOVE, "margin_t": 88}
    return figure.update_layout(look, title_text=title, width=720, height=460)
