"""The figures of notebooks 05 and 06 beside those of `plots`: curves with bands, bars, and a table of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from scipy.stats import beta

from differnet_lite.plots.scores import COLOURS, DASHES, GREY, SYMBOLS, TEMPLATE

__all__ = ["plot_bars", "plot_curves", "plot_rate_histograms", "plot_views"]

PATTERN = {"fillmode": "overlay", "fgcolor": "white", "solidity": 0.25}


def plot_curves(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    x_title: str,
    y_title: str,
    level: float | None = None,
    marks: bool = True,
    **axes: Any,
) -> go.Figure:
    """Curves over a common x, told apart by colour, dash and marker.

    Args:
        x: (n,).
        curves: name and (n,) values.
        bands: lower and upper ends of some of the curves, drawn as error bars.
        x_title, y_title: of the axes.
        level: a grey horizontal line, such as a wanted rate.
        marks: a marker at each point.
        **axes: for `update_xaxes` and `update_yaxes` by prefix, such as `x_type="log"`, `y_range=[0, 1]`.
    """
    figure = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        y, bars = np.asarray(values, dtype=float), None
        if bands and name in bands:
            low, high = (np.asarray(end, dtype=float) for end in bands[name])
            bars = {
                "type": "data",
                "symmetric": False,
                "array": (high - y).round(5),
                "arrayminus": (y - low).round(5),
                "thickness": 1.2,
                "width": 4,
            }
        figure.add_scatter(
            x=np.asarray(x, dtype=float),
            y=y.round(5),
            name=name,
            mode="lines+markers" if marks else "lines",
            error_y=bars,
            line={"color": COLOURS[i % 6], "dash": DASHES[i % 6], "width": 2},
            marker={"symbol": SYMBOLS[i], "size": 8},
            hovertemplate=f"{name}<br>%{{x:.4g}}: %{{y:.4g}}<extra></extra>",
        )
    if level is not None:
        figure.add_hline(y=level, line={"color": GREY, "dash": "dot", "width": 1.5})
    figure.update_xaxes(
        title_text=x_title,
        **{key[2:]: value for key, value in axes.items() if key.startswith("x_")},
    )
    figure.update_yaxes(
        title_text=y_title,
        **{key[2:]: value for key, value in axes.items() if key.startswith("y_")},
    )
    return _legend_above(figure, len(curves) > 1)


def plot_bars(
    names: Sequence[str], bars: Mapping[str, ArrayLike], *, y_title: str, stacked: bool = False
) -> go.Figure:
    """Groups of bars, one colour and pattern for each name in `bars`, with (len(names),) heights."""
    figure = go.Figure()
    for i, (name, heights) in enumerate(bars.items()):
        figure.add_bar(
            x=list(names),
            y=np.asarray(heights, dtype=float).round(5),
            name=name,
            marker={
                "color": COLOURS[i % 6],
                "pattern": PATTERN | {"shape": ("", "/", ".", "x", "-", "+")[i % 6]},
            },
            hovertemplate=f"%{{x}}<br>{name} %{{y:.3g}}<extra></extra>",
        )
    figure.update_yaxes(title_text=y_title)
    return _legend_above(figure, len(bars) > 1).update_layout(
        barmode="stack" if stacked else "group", bargap=0.3
    )


def plot_rate_histograms(
    rates: Mapping[str, np.ndarray],
    alpha: float,
    *,
    law: tuple[int, int] | None = None,
    largest: float,
) -> go.Figure:
    """Histograms of false-alarm rates over calibration sets, with the rate that was asked for.

    Args:
        rates: name and rates; what is empty is left out.
        alpha: the rate asked for.
        law: (n, k) draws the density of Beta(n + 1 - k, k), the rates of the k-th smallest of n scores.
        largest: end of the axis.
    """
    figure, edges = go.Figure(), np.linspace(0, largest, 51)
    middle = (edges[1:] + edges[:-1]) / 2
    for i, (name, values) in enumerate(
        (name, values) for name, values in rates.items() if len(values)
    ):
        share = np.histogram(values, edges)[0] / len(values)
        figure.add_scatter(
            x=edges.round(6),
            y=np.append(share, 0).round(5),
            mode="lines",
            fill="tozeroy",
            name=name,
            opacity=0.75,
            line={"color": COLOURS[i % 6], "dash": DASHES[i % 6], "shape": "hv", "width": 1.5},
            hovertemplate=f"{name}<br>rate %{{x:.1%}}: %{{y:.1%}} of the sets<extra></extra>",
        )
    if law is not None:
        n, k = law
        density = beta.pdf(middle, n + 1 - k, k) * (edges[1] - edges[0])
        figure.add_scatter(
            x=middle.round(6),
            y=density.round(5),
            mode="lines",
            name=f"Beta({n + 1 - k}, {k})",
            line={"color": "black", "width": 2},
        )
    figure.add_vline(
        x=alpha,
        line={"color": GREY, "dash": "dash", "width": 2},
        annotation_text=f"asked: {alpha:.0%}",
        annotation_position="top right",
    )
    figure.update_xaxes(
        title_text="true false-alarm rate of a calibration set's threshold",
        tickformat=".0%",
        range=[0, largest],
    )
    figure.update_yaxes(title_text="share of calibration sets", tickformat=".0%")
    return _legend_above(figure, True)


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


def _legend_above(figure: go.Figure, shown: bool) -> go.Figure:
    above = {
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "orientation": "h",
        "borderwidth": 0,
    }
    return figure.update_layout(
        template=TEMPLATE, legend=above, showlegend=shown, margin_t=56, height=380
    )
