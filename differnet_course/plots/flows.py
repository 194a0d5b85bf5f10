"""Flows of two dimensions, part by part: grids, points, densities, Jacobian matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.plots.flow_stages import Stage
from differnet_course.plots.style import COLOURS, DARK, DASHES, SKY, VERMILLION

__all__ = [
    "ends",
    "plot_densities",
    "plot_grids",
    "plot_matrices",
    "plot_stages",
    "stage_traces",
    "style",
]


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
    line = {
        "showline": True,
        "linecolor": "#888888",
        "ticks": "outside",
        "gridcolor": "#e6e6e6",
        "zeroline": False,
        "automargin": True,
    }
    return figure.update_xaxes(**line).update_yaxes(**line)


def plot_densities(
    densities: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    points: Tensor | None = None,
    width: int = 860,
) -> go.Figure:
    """Heat maps of (x, y, density) on one colour scale, with the same points drawn over each."""
    figure = make_subplots(
        1,
        len(densities),
        subplot_titles=list(densities),
        horizontal_spacing=0.04,
        shared_yaxes=True,
    )
    for column, (x, y, density) in enumerate(densities.values(), 1):
        figure.add_heatmap(
            x=_slim(x),
            y=_slim(y),
            z=_slim(density),
            coloraxis="coloraxis",
            zsmooth="best",
            row=1,
            col=column,
        )
        figure.update_xaxes(range=ends(x), row=1, col=column).update_yaxes(
            range=ends(y), row=1, col=column
        )
        if points is not None:
            figure.add_trace(_dots(points), row=1, col=column)
    style(figure, height=(width - 160) // len(densities) + 100, width=width)
    # one bright pixel must not dim the rest
    top = max(float(np.quantile(density, 0.995)) for _, _, density in densities.values())
    bar = {
        "colorscale": "Cividis",
        "cmin": 0.0,
        "cmax": round(top, 2),
        "colorbar": {"title": "density"},
    }
    return figure.update_layout(showlegend=False, coloraxis=bar)


def plot_stages(stages: Mapping[str, Stage], *, width: int = 860) -> go.Figure:
    """A column for each stage: the deformed grid with the points, and below it the density."""
    figure = make_subplots(
        2, len(stages), subplot_titles=list(stages), horizontal_spacing=0.05, vertical_spacing=0.08
    )
    for column, stage in enumerate(stages.values(), 1):
        for trace, row in zip(stage_traces(stage), (1, 1, 2), strict=True):
            figure.add_trace(trace, row=row, col=column)
        for row in (1, 2):
            figure.update_xaxes(range=ends(stage.axes[0]), row=row, col=column)
            figure.update_yaxes(range=ends(stage.axes[1]), row=row, col=column)
    return style(figure, height=2 * (width - 80) // len(stages) + 90, width=width).update_layout(
        showlegend=False
    )


def stage_traces(stage: Stage) -> tuple[go.Scatter, go.Scatter, go.Heatmap]:
    """The grid, the points, and the density of one stage."""
    x, y = _broken(stage.lines)
    grid = go.Scatter(x=x, y=y, mode="lines", line={"color": SKY, "width": 1}, hoverinfo="skip")
    heat = go.Heatmap(
        x=_slim(stage.axes[0]),
        y=_slim(stage.axes[1]),
        z=_slim(stage.density),
        colorscale="Cividis",
        zmin=0,
        showscale=False,
        zsmooth="best",
    )
    return grid, _dots(stage.points, VERMILLION), heat


def ends(axis: np.ndarray) -> list[float]:
    """First and last value of an axis: a figure's range."""
    return [float(axis[0]), float(axis[-1])]


def plot_grids(
    panels: Mapping[str, Tensor],
    *,
    cells: Mapping[str, Sequence[Tensor]] | None = None,
    width: int = 860,
) -> go.Figure:
    """Deformed grids side by side.

    Args:
        panels: name to the lines of a grid, (L, P, 2).
        cells: panel to closed outlines (M, 2), filled in matching colours.
        width: of the figure, px.
    """
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.08)
    for column, (name, lines) in enumerate(panels.items(), 1):
        for k, outline in enumerate((cells or {}).get(name, ())):
            line = {"color": COLOURS[k % 6], "width": 2, "dash": DASHES[k % 6]}
            x, y = _slim(outline[:, 0]), _slim(outline[:, 1])
            figure.add_scatter(
                x=x,
                y=y,
                fill="toself",
                mode="lines",
                line=line,
                name=f"cell {k + 1}",
                row=1,
                col=column,
            )
        figure.add_scatter(
            **dict(zip("xy", _broken(lines), strict=True)),
            mode="lines",
            hoverinfo="skip",
            line={"color": "#999999", "width": 1},
            row=1,
            col=column,
        )
    style(figure, height=(width - 100) // len(panels) + 90, width=width).update_layout(
        showlegend=False
    )
    for column in range(1, len(panels) + 1):
        figure.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", row=1, col=column)
    return figure


def plot_matrices(matrices: Mapping[str, Tensor], *, width: int = 860) -> go.Figure:
    """Matrices as heat maps of sign and size on one colour scale, zero white.

    Entries are written into small ones.
    """
    figure = make_subplots(1, len(matrices), subplot_titles=list(matrices), horizontal_spacing=0.08)
    for column, matrix in enumerate(matrices.values(), 1):
        text = "%{z:.2f}" if len(matrix) <= 6 and len(matrices) <= 2 else None
        figure.add_heatmap(
            z=_slim(matrix),
            coloraxis="coloraxis",
            texttemplate=text,
            xgap=1,
            ygap=1,
            row=1,
            col=column,
        )
    style(figure, height=(width - 180) // len(matrices) + 100, width=width).update_yaxes(
        autorange="reversed", dtick=1
    ).update_xaxes(dtick=1)
    return figure.update_layout(
        coloraxis={"colorscale": "RdBu_r", "cmid": 0.0, "colorbar": {"title": "dz/dy"}}
    )


def _broken(lines: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Lines (L, P, 2) as one x and one y, with NaN between them: one trace draws all."""
    gaps = torch.cat([lines, torch.full_like(lines[:, :1], float("nan"))], 1).reshape(-1, 2)
    return _slim(gaps[:, 0]), _slim(gaps[:, 1])


def _dots(points: Tensor, colour: str = "white") -> go.Scatter:
    dots = {"size": 3, "color": colour, "opacity": 0.5}
    return go.Scatter(
        x=_slim(points[:, 0]), y=_slim(points[:, 1]), mode="markers", marker=dots, hoverinfo="skip"
    )


def _slim(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)
