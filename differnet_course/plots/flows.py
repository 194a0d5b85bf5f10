"""Flows of two dimensions, part by part: grids, points, densities, Jacobian matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.flows import Chain, density_on_grid
from differnet_course.plots.style import COLOURS, DARK, DASHES, SKY, VERMILLION

__all__ = [
    "Stage",
    "ends",
    "grid_lines",
    "grid_trace",
    "plot_densities",
    "plot_grids",
    "plot_matrices",
    "square",
    "stage_traces",
    "stages",
    "style",
]


def grid_lines(*, limit: float = 2.0, n_lines: int = 9, n_points: int = 61) -> Tensor:
    """Vertical, then horizontal lines of a square grid: (2 n_lines, n_points, 2)."""
    at = torch.linspace(-limit, limit, n_lines)
    along = torch.linspace(-limit, limit, n_points)
    u, v = torch.meshgrid(at, along, indexing="ij")
    return torch.cat([torch.stack([u, v], -1), torch.stack([v, u], -1)])


def square(corner: tuple[float, float], side: float, *, n: int = 16) -> Tensor:
    """The closed outline of a square, n points a side: (4 n + 1, 2).

    It starts at the lower left corner and goes anticlockwise.
    """
    t = torch.arange(n) / n
    zero = 0 * t
    one = zero + 1
    edges = [(t, zero), (one, t), (1 - t, one), (zero, 1 - t)]
    points = torch.cat([*(torch.stack(edge, 1) for edge in edges), torch.zeros(1, 2)])
    return points * side + torch.tensor(corner)


@dataclass(frozen=True)
class Stage:
    """What the first k parts of a flow have made of the data: points, grid, and the density there.

    The density is that of the variable after k parts: for k = 0 the model's p_Y, at the end p_Z.
    """

    points: Tensor  # (N, 2)
    lines: Tensor  # (L, P, 2)
    axes: tuple[np.ndarray, np.ndarray]
    density: np.ndarray
    log_det: float  # mean over the points of log |det| of the parts so far


@torch.no_grad()
def stages(flow: Chain, y: Tensor, *, n: int = 61) -> list[Stage]:
    """The K + 1 stages of a flow of K parts, on the square that holds 99 % of the points."""
    result = []
    x = y
    total = torch.zeros(len(y))
    lines = grid_lines(limit=2.4, n_lines=13)
    for k in range(len(flow.parts) + 1):
        if k:
            part = flow.parts[k - 1]
            lines = part(lines.flatten(0, 1))[0].unflatten(0, lines.shape[:2])
            x, log_det = part(x)
            total = total + log_det
        low, high = x.quantile(torch.tensor([0.005, 0.995], dtype=x.dtype), dim=0)
        across, up = ((low + high) / 2).tolist()
        limit = 0.6 * float((high - low).max())
        rest = Chain(list(flow.parts)[k:])
        u, v, density = density_on_grid(rest, limit=limit, n=n, centre=(across, up))
        result.append(Stage(x, lines, (u, v), density, float(total.mean())))
    return result


AXIS = {"showline": True, "linecolor": "#888888", "ticks": "outside", "gridcolor": "#e6e6e6"}


def style(figure: go.Figure, *, height: int = 380, width: int | None = 860) -> go.Figure:
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
        heat = go.Heatmap(x=_slim(x), y=_slim(y), z=_slim(density), zsmooth="best")
        _add(figure, 1, column, heat.update(coloraxis="coloraxis"))
        if points is not None:
            _add(figure, 1, column, _dots(points))
        _set_ranges(figure, 1, column, x, y)
    style(figure, height=(width - 160) // len(densities) + 100, width=width)
    # one bright pixel must not dim the rest
    top = max(float(np.quantile(density, 0.995)) for _, _, density in densities.values())
    bar = {"colorscale": "Cividis", "cmin": 0.0, "cmax": round(top, 2)}
    bar["colorbar"] = {"title": "density"}
    return figure.update_layout(showlegend=False, coloraxis=bar)


def stage_traces(stage: Stage) -> tuple[go.Scatter, go.Scatter, go.Heatmap]:
    """The grid, the points, and the density of one stage."""
    x, y = stage.axes
    heat = go.Heatmap(x=_slim(x), y=_slim(y), z=_slim(stage.density), zmin=0, zsmooth="best")
    heat.update(colorscale="Cividis", showscale=False)
    return grid_trace(stage.lines, SKY), _dots(stage.points, VERMILLION), heat


def ends(axis: np.ndarray) -> list[float]:
    """First and last value of an axis."""
    return [float(axis[0]), float(axis[-1])]


def plot_grids(
    panels: Mapping[str, Tensor],
    *,
    cells: Mapping[str, Sequence[Tensor]] | None = None,
    width: int = 860,
) -> go.Figure:
    """Deformed grids side by side, on one scale, so that areas can be compared.

    Args:
        panels: name to the lines of a grid, (L, P, 2).
        cells: panel to closed outlines (M, 2), filled in matching colours.
        width: of the figure, px.
    """
    figure = _panels(panels, 0.08)
    for column, (name, lines) in enumerate(panels.items(), 1):
        for k, outline in enumerate((cells or {}).get(name, ())):
            line = {"color": COLOURS[k % 6], "width": 2, "dash": DASHES[k % 6]}
            x, y = _slim(outline[:, 0]), _slim(outline[:, 1])
            cell = go.Scatter(x=x, y=y, mode="lines", line=line, name=f"cell {k + 1}")
            _add(figure, 1, column, cell.update(fill="toself"))
        _add(figure, 1, column, grid_trace(lines, "#999999"))
    style(figure, height=(width - 100) // len(panels) + 90, width=width)
    figure.update_xaxes(matches="x").update_yaxes(matches="y", scaleanchor="x")
    return figure.update_layout(showlegend=False)


def plot_matrices(matrices: Mapping[str, Tensor], *, width: int = 860) -> go.Figure:
    """Matrices as heat maps of sign and size on one colour scale, zero white.

    Entries are written into small ones.
    """
    figure = _panels(matrices, 0.08)
    for column, matrix in enumerate(matrices.values(), 1):
        text = "%{z:.2f}" if len(matrix) <= 6 and len(matrices) <= 2 else None
        heat = go.Heatmap(z=_slim(matrix), texttemplate=text, xgap=1, ygap=1)
        _add(figure, 1, column, heat.update(coloraxis="coloraxis"))
    style(figure, height=(width - 180) // len(matrices) + 100, width=width)
    figure.update_yaxes(autorange="reversed", dtick=1).update_xaxes(dtick=1)
    bar = {"colorscale": "RdBu_r", "cmid": 0.0, "colorbar": {"title": "dz/dy"}}
    return figure.update_layout(coloraxis=bar)


def _panels(
    titles: Mapping[str, Any], spacing: float, *, rows: int = 1, **options: Any
) -> go.Figure:
    names = list(titles)
    return make_subplots(
        rows, len(names), subplot_titles=names, horizontal_spacing=spacing, **options
    )


def _add(figure: go.Figure, row: int, column: int, *traces: go.Scatter | go.Heatmap) -> None:
    for trace in traces:
        figure.add_trace(trace, row=row, col=column)


def _set_ranges(figure: go.Figure, row: int, column: int, x: np.ndarray, y: np.ndarray) -> None:
    figure.update_xaxes(range=ends(x), row=row, col=column)
    figure.update_yaxes(range=ends(y), row=row, col=column)


def grid_trace(lines: Tensor, colour: str) -> go.Scatter:
    """Lines (L, P, 2) as one trace, with NaN between them."""
    gaps = torch.cat([lines, torch.full_like(lines[:, :1], float("nan"))], 1).reshape(-1, 2)
    line = {"color": colour, "width": 1}
    x, y = _slim(gaps[:, 0]), _slim(gaps[:, 1])
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")


def _dots(points: Tensor, colour: str = "white") -> go.Scatter:
    x, y = _slim(points[:, 0]), _slim(points[:, 1])
    dots = {"size": 3, "color": colour, "opacity": 0.5}
    return go.Scatter(x=x, y=y, mode="markers", marker=dots, hoverinfo="skip")


def _slim(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)
