"""Grids to be deformed by a flow of two dimensions, and what each part of it makes of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from differnet_course.flows import Chain, density_on_grid

__all__ = ["Stage", "grid_lines", "square", "stages"]


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
