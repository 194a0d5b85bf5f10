"""Flows of two dimensions, part by part: grids, points, densities, Jacobian matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.plots.style import COLOURS, DARK, DASHES

AXIS = {"showline": True, "linecolor": "#888888", "ticks": "outside", "gridcolor": "#e6e6e6"}


def grid_lines(*, limit: float = 2.0, n_lines: int = 9, n_points: int = 61) -> Tensor:
    """Vertical, then horizontal lines of a square grid: (2 n_lines, n_points, 2)."""
    at = torch.linspace(-limit, limit, n_lines)
    along = torch.linspace(-limit, limit, n_points)
    u, v = torch.meshgrid(at, along, indexing="ij")
    return torch.cat([torch.stack([u, v], -1), torch.stack([v, u], -1)])


def square(corner: tuple[float, float], side: float, *, n: int = 16) -> Tensor:
    """The outline of a square from its lower left corner, anticlockwise: (4 n + 1, 2)."""
    corners = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    t = torch.arange(n)[:, None] / n
    edges = [start + t * (end - start) for start, end in pairwise(corners)]
    return torch.cat([*edges, corners[:1]]) * side + torch.tensor(corner)


def style(figure: go.Figure, *, height: int, width: int) -> go.Figure:
    """White paper, dark text, quiet axes; in place, and returned."""
    figure.update_layout(
        template=None,
        height=height,
        width=width,
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": DARK, "size": 13},
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        hoverlabel={"bgcolor": "white"},
    )
    figure.update_xaxes(AXIS, zeroline=False, automargin=True)
    return figure.update_yaxes(AXIS, zeroline=False, automargin=True)


def plot_densities(
    densities: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    points: Tensor | None = None,
    width: int = 860,
) -> go.Figure:
    """Heat maps of (x, y, density) on one colour scale, with the same points drawn over each."""
    figure = _panels(densities, 0.04, shared_yaxes=True)
    for column, (x, y, density) in enumerate(densities.values(), 1):
        figure.add_trace(heat(x, y, density).update(coloraxis="coloraxis"), row=1, col=column)
        if points is not None:
            figure.add_trace(dots(points), row=1, col=column)
        figure.update_xaxes(range=[x[0], x[-1]], row=1, col=column)
        figure.update_yaxes(range=[y[0], y[-1]], row=1, col=column)
    style(figure, height=(width - 160) // len(densities) + 100, width=width)
    # one bright pixel must not dim the rest
    top = max(float(np.quantile(density, 0.995)) for _, _, density in densities.values())
    bar = {"colorscale": "Cividis", "cmin": 0.0, "cmax": round(top, 2)}
    bar["colorbar"] = {"title": "density"}
    return figure.update_layout(showlegend=False, coloraxis=bar)


def plot_grids(panels: Mapping[str, Tensor], *, cells: Mapping[str, Sequence[Tensor]]) -> go.Figure:
    """Deformed grids side by side, on one scale, so that areas can be compared.

    Args:
        panels: name to the lines of a grid, (L, P, 2).
        cells: panel to closed outlines (M, 2), filled in matching colours.
    """
    figure = _panels(panels, 0.08)
    for column, (name, lines) in enumerate(panels.items(), 1):
        for k, outline in enumerate(cells[name]):
            line = {"color": COLOURS[k % 6], "width": 2, "dash": DASHES[k % 6]}
            x, y = slim(outline).T
            cell = go.Scatter(x=x, y=y, mode="lines", line=line, name=f"cell {k + 1}")
            figure.add_trace(cell.update(fill="toself"), row=1, col=column)
        figure.add_trace(grid_trace(lines, "#999999"), row=1, col=column)
    style(figure, height=760 // len(panels) + 90, width=860)
    figure.update_xaxes(matches="x").update_yaxes(matches="y", scaleanchor="x")
    return figure.update_layout(showlegend=False)


def plot_matrices(matrices: Mapping[str, Tensor], *, width: int = 860) -> go.Figure:
    """Matrices as heat maps on one colour scale, zero white; small ones with their entries."""
    figure = _panels(matrices, 0.08)
    for column, matrix in enumerate(matrices.values(), 1):
        text = "%{z:.2f}" if len(matrix) <= 6 else None
        cells = go.Heatmap(z=slim(matrix), texttemplate=text, xgap=1, ygap=1)
        figure.add_trace(cells.update(coloraxis="coloraxis"), row=1, col=column)
    style(figure, height=(width - 180) // len(matrices) + 100, width=width)
    figure.update_yaxes(autorange="reversed", dtick=1).update_xaxes(dtick=1)
    bar = {"colorscale": "RdBu_r", "cmid": 0.0, "colorbar": {"title": "dz/dy"}}
    return figure.update_layout(coloraxis=bar)


def _panels(titles: Mapping[str, Any], spacing: float, **options: Any) -> go.Figure:
    names = list(titles)
    return make_subplots(1, len(names), subplot_titles=names, horizontal_spacing=spacing, **options)


def heat(x: np.ndarray, y: np.ndarray, density: np.ndarray) -> go.Heatmap:
    """A density on a grid of places."""
    return go.Heatmap(x=slim(x), y=slim(y), z=slim(density), zsmooth="best")


def grid_trace(lines: Tensor, colour: str) -> go.Scatter:
    """Lines (L, P, 2) as one trace, with NaN between them."""
    gaps = torch.cat([lines, torch.full_like(lines[:, :1], float("nan"))], 1)
    x, y = slim(gaps.reshape(-1, 2)).T
    line = {"color": colour, "width": 1}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")


def dots(points: Tensor, colour: str = "white") -> go.Scatter:
    """Points (N, 2)."""
    x, y = slim(points).T
    look = {"size": 3, "color": colour, "opacity": 0.5}
    return go.Scatter(x=x, y=y, mode="markers", marker=look, hoverinfo="skip")


def slim(values: Any) -> np.ndarray:
    """Half of the bytes in a figure's JSON."""
    return np.asarray(values, dtype=np.float32)
