"""The figures of notebooks 01 and 02, on white paper, and the grids and stages that they draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_lite.course.flows import Chain, density_on_grid

__all__ = [
    "Stage",
    "grid_lines",
    "plot_curves",
    "plot_densities",
    "plot_grids",
    "plot_matrices",
    "plot_stages",
    "square",
    "stages",
    "style",
]

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
_INK = "#222222"


def grid_lines(*, limit: float = 2.0, n_lines: int = 9, n_points: int = 61) -> Tensor:
    """Vertical, then horizontal lines of a square grid: (2 n_lines, n_points, 2), ready to be deformed."""
    at, along = torch.linspace(-limit, limit, n_lines), torch.linspace(-limit, limit, n_points)
    u, v = torch.meshgrid(at, along, indexing="ij")
    return torch.cat([torch.stack([u, v], -1), torch.stack([v, u], -1)])


def square(corner: tuple[float, float], side: float, *, n: int = 16) -> Tensor:
    """The closed outline of a square from its lower left corner, n points a side, anticlockwise: (4 n + 1, 2)."""
    t = torch.arange(n) / n
    edges = [
        torch.stack(e, 1) for e in ((t, 0 * t), (0 * t + 1, t), (1 - t, 0 * t + 1), (0 * t, 1 - t))
    ]
    return torch.cat([*edges, torch.zeros(1, 2)]) * side + torch.tensor(corner)


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


def stages(flow: Chain, y: Tensor, *, n: int = 61) -> list[Stage]:
    """The K + 1 stages of a flow of K parts, on the square that holds 99 % of the points."""
    found, x, total = [], y, torch.zeros(len(y))
    lines = grid_lines(limit=2.4, n_lines=13)
    with torch.no_grad():
        for k in range(len(flow.parts) + 1):
            low, high = x.quantile(0.005, dim=0), x.quantile(0.995, dim=0)
            middle = ((low + high) / 2).tolist()
            limit = 0.6 * float((high - low).max())
            u, v, density = density_on_grid(
                Chain(list(flow.parts)[k:]), limit=limit, n=n, centre=(middle[0], middle[1])
            )
            found.append(Stage(x, lines, (u, v), density, float(total.mean())))
            if k < len(flow.parts):
                lines = flow.parts[k](lines.flatten(0, 1))[0].unflatten(0, lines.shape[:2])
                x, log_det = flow.parts[k](x)
                total = total + log_det
    return found


def style(figure: go.Figure, *, height: int = 380, width: int | None = 860) -> go.Figure:
    """White paper, dark text, quiet axes; in place, and returned."""
    figure.update_layout(
        template=None,
        height=height,
        width=width,
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": _INK, "size": 13},
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


def plot_curves(
    x: Any, curves: Mapping[str, Any], *, x_title: str, y_title: str, title: str = ""
) -> go.Figure:
    """Lines over a common x, told apart by colour and by dash."""
    figure = go.Figure()
    for (name, y), colour, dash in zip(curves.items(), OKABE_ITO, DASHES, strict=False):
        figure.add_scatter(
            x=_slim(x),
            y=_slim(y),
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash, "width": 2.5},
        )
    return style(figure).update_layout(title=title, xaxis_title=x_title, yaxis_title=y_title)


def plot_densities(
    densities: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    *,
    points: Tensor | None = None,
    width: int = 860,
) -> go.Figure:
    """Heat maps of (x, y, density) on one colour scale, side by side, with the same points drawn over each."""
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
    top = max(
        float(np.quantile(density, 0.995)) for _, _, density in densities.values()
    )  # one bright pixel must not dim the rest
    bar = {
        "colorscale": "Cividis",
        "cmin": 0.0,
        "cmax": round(top, 2),
        "colorbar": {"title": "density"},
    }
    return figure.update_layout(showlegend=False, coloraxis=bar)


def _dots(points: Tensor, colour: str = "white") -> go.Scatter:
    dots = {"size": 3, "color": colour, "opacity": 0.5}
    return go.Scatter(
        x=_slim(points[:, 0]), y=_slim(points[:, 1]), mode="markers", marker=dots, hoverinfo="skip"
    )


def plot_stages(stages: Mapping[str, Stage], *, width: int = 860) -> go.Figure:
    """Above, the deformed grid with the points; below, the density of the same variable. One column a stage."""
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
    x, y = broken(stage.lines)
    grid = go.Scatter(
        x=x, y=y, mode="lines", line={"color": "#56B4E9", "width": 1}, hoverinfo="skip"
    )
    heat = go.Heatmap(
        x=_slim(stage.axes[0]),
        y=_slim(stage.axes[1]),
        z=_slim(stage.density),
        colorscale="Cividis",
        zmin=0,
        showscale=False,
        zsmooth="best",
    )
    return grid, _dots(stage.points, "#D55E00"), heat


def ends(axis: np.ndarray) -> list[float]:
    """First and last value of an axis: a figure's range."""
    return [float(axis[0]), float(axis[-1])]


def plot_grids(
    panels: Mapping[str, Tensor],
    *,
    cells: Mapping[str, Sequence[Tensor]] | None = None,
    width: int = 860,
) -> go.Figure:
    """Deformed grids side by side; `cells` are closed outlines (M, 2) of each panel, filled in matching colours."""
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.08)
    for column, (name, lines) in enumerate(panels.items(), 1):
        for k, outline in enumerate((cells or {}).get(name, ())):
            line = {"color": OKABE_ITO[k], "width": 2, "dash": DASHES[k]}
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
            **dict(zip("xy", broken(lines), strict=True)),
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


def broken(lines: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Lines (L, P, 2) as one x and one y, with NaN between them: one trace draws all."""
    gaps = torch.cat([lines, torch.full_like(lines[:, :1], float("nan"))], 1).reshape(-1, 2)
    return _slim(gaps[:, 0]), _slim(gaps[:, 1])


def plot_matrices(matrices: Mapping[str, Tensor], *, width: int = 860) -> go.Figure:
    """Matrices as heat maps of sign and size, zero white, one colour scale; entries are written into small ones."""
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


def _slim(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)
