"""Scores of images: by kind, and by angle of the view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.style import COLOURS, DARK, SYMBOLS, TEMPLATE, literal, log_axis, vector
from differnet_lite.oldchecks import checked
from differnet_lite.thresholds import Threshold

__all__ = ["plot_scores", "plot_views"]


@checked
def plot_scores(
    scores: ArrayLike,
    kinds: Sequence[str],
    *,
    threshold: float | Threshold | None = None,
    log: bool = True,
    names: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
) -> go.Figure:
    """Anomaly scores by kind: a marker for each image, a box for each kind, theta as a line.

    Args:
        scores: (N,).
        kinds: N kinds such as "good" or "scratch".
        threshold: theta; an image is flagged if score >= theta.
        log: a logarithmic axis, as anomalies may score orders of magnitude above normals.
        names: N names of images for the hover text; None numbers them.
        order: the kinds from top to bottom; None puts "good" first, and the
            others in order of their median.

    Raises:
        ValueError: lengths differ, scores are not finite, or not positive on a logarithmic axis,
            or `order` lacks a kind.
    """
    s = vector("scores", scores)
    names = [f"image {i}" for i in range(len(s))] if names is None else list(names)
    if len(kinds) != len(s) or len(names) != len(s):
        raise ValueError(
            f"expected one kind and one name for each of {len(s)} scores, "
            f"got {len(kinds)} kinds and {len(names)} names"
        )
    theta = threshold.value if isinstance(threshold, Threshold) else threshold
    if log and min(s.min(), s.min() if theta is None else theta) <= 0:
        raise ValueError(
            "a logarithmic axis needs positive scores and threshold, got some <= 0; pass log=False"
        )

    kind_of = np.array([str(kind) for kind in kinds])
    if order is None:
        order = sorted(
            set(kind_of), key=lambda kind: (kind != "good", np.median(s[kind_of == kind]), kind)
        )
    elif missing := set(kind_of) - set(order):
        raise ValueError(f"order: expected every kind, {sorted(missing)} is missing")
    order = [kind for kind in order if kind in kind_of]
    figure, ticks = go.Figure(), []
    for row, kind in enumerate(order):
        chosen = np.flatnonzero(kind_of == kind)
        chosen = chosen[np.argsort(s[chosen], kind="stable")]
        x = s[chosen]
        colour, symbol = COLOURS[row % len(COLOURS)], SYMBOLS[row % len(SYMBOLS)]
        q1, median, q3 = np.quantile(x, [0.25, 0.5, 0.75])
        length = np.log(x) if log else x  # whiskers reach 1.5 box lengths as seen on the axis
        box = np.quantile(length, [0.25, 0.75])
        box = box + 1.5 * np.ptp(box) * np.array([-1, 1])
        inside = x[(length >= box[0]) & (length <= box[1])]
        low, high = inside[0], inside[-1]
        figure.add_box(
            orientation="h",
            y0=row - 0.27,
            q1=[q1],
            median=[median],
            q3=[q3],
            lowerfence=[low],
            upperfence=[high],
            width=0.2,
            y=[row - 0.27],
            line={"color": colour, "width": 1.5},
            fillcolor="white",
            hoverinfo="skip",
            showlegend=False,
        )
        # golden ratio: even, and no chance in it
        jitter = 0.12 + 0.42 * ((np.arange(len(x)) * (math.sqrt(5) - 1) / 2) % 1 - 0.5)
        figure.add_scatter(
            x=x,
            y=row + jitter,
            mode="markers",
            name=literal(kind),
            text=[literal(names[i]) for i in chosen],
            showlegend=False,
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 7,
                "opacity": 0.8,
                "line": {"color": DARK, "width": 0.5},
            },
            hovertemplate="%{text}<br>%{fullData.name}<br>score %{x:.4g}<extra></extra>",
        )
        flagged = "" if theta is None else f", {int((x >= theta).sum())} flagged"
        ticks.append(
            f"{literal(kind)}<br>"
            f"<span style='font-size:11px;color:#555555'>n = {len(x)}{flagged}</span>"
        )
    bottom = len(order) - 0.5
    if theta is not None:
        figure.add_scatter(
            x=[theta, theta],
            y=[bottom, -0.5],
            mode="lines+text",
            name="threshold",
            line={"color": "black", "width": 1.5, "dash": "dash"},
            text=["", f"θ = {theta:.4g}"],
            textposition="top center",
            cliponaxis=False,
            showlegend=False,
            hovertemplate="threshold θ = %{x:.4g}<extra></extra>",
        )
    axis = "anomaly score (no unit, logarithmic)" if log else "anomaly score (no unit)"
    figure.update_xaxes(
        title_text=axis,
        **(log_axis(np.append(s, s[0] if theta is None else theta)) if log else {}),
    )
    figure.update_yaxes(
        tickvals=list(range(len(order))),
        ticktext=ticks,
        range=[bottom, -0.5],
        showgrid=False,
        title_text="kind of image",
    )
    return figure.update_layout(
        template=TEMPLATE, margin_t=36, height=110 + 74 * max(2, len(order))
    )


@checked
def plot_views(
    scores: ArrayLike, angles: Sequence[float], kinds: Sequence[str], *, title: str
) -> go.Figure:
    """Scores of all views as a heat map on a logarithmic scale: images, sorted by kind, by angles.

    Args:
        scores: (N, T), positive.
        angles: T angles, degrees.
        kinds: N kinds; "good" comes first.
        title: of the colour bar.
    """
    values, kind_of = np.asarray(scores, dtype=float), np.array([str(kind) for kind in kinds])
    if values.shape != (len(kind_of), len(angles)) or not values.size:
        raise ValueError(
            f"scores: expected (N, T) for N kinds and T angles, got {values.shape} for "
            f"{len(kind_of)} and {len(angles)}"
        )
    if not np.isfinite(values).all() or values.min() <= 0:
        raise ValueError("scores: expected finite numbers above 0, for a logarithmic scale")
    order = sorted(range(len(values)), key=lambda i: (kind_of[i] != "good", kind_of[i], i))
    sizes = {kind: int((kind_of == kind).sum()) for kind in dict.fromkeys(kind_of[order])}
    ends = np.cumsum(list(sizes.values()))
    logs = np.log10(values[order])
    low, high = np.quantile(logs, [0.01, 0.98])  # one bright view must not dim the rest
    marks = np.linspace(low, high, 5)
    figure = go.Figure(
        go.Heatmap(
            z=np.float32(logs.round(3)),
            zmin=round(low, 3),
            zmax=round(high, 3),
            x=[f"{a:g}°" for a in angles],
            colorscale="Cividis",
            colorbar={
                "title": {"text": title, "side": "right", "font": {"size": 12}},
                "thickness": 14,
                "outlinewidth": 0,
                "tickvals": marks.tolist(),
                "ticktext": [f"{10**mark:.2g}" for mark in marks],
            },
            customdata=np.float32(values[order].round(3)),
            hovertemplate="%{x}<br>score %{customdata:.3g}<extra></extra>",
        )
    )
    for end in ends[:-1]:
        figure.add_hline(y=end - 0.5, line={"color": "white", "width": 2})
    middles = ends - np.array(list(sizes.values())) / 2 - 0.5
    figure.update_yaxes(
        autorange="reversed",
        tickvals=middles.tolist(),
        ticktext=list(sizes),
        showgrid=False,
        title_text="images, by kind",
    )
    figure.update_xaxes(title_text="angle of the view", showgrid=False)
    return figure.update_layout(template=TEMPLATE, height=460, margin_t=30)
