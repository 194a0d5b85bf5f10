"""A two-dimensional flow as a continuous deformation: what lies between two of its blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.flows import Chain, log_density
from differnet_course.plots.flows import grid_lines

__all__ = ["Deformation", "Stage"]


@dataclass(frozen=True)
class Stage:
    """What a flow has made of the data up to some time: points, grid, and the density there."""

    points: Tensor  # (N, 2)
    lines: Tensor  # (L, P, 2)
    axes: tuple[np.ndarray, np.ndarray]
    density: np.ndarray
    log_det: float  # mean over the points of log |det| so far


class Deformation:
    r"""The states of a flow at any time from 0, the data, to K, the latents after K parts.

    A part moves one coordinate, then the other. In the first half of its time
    :math:`w_1 = (1 - t) y_1 + t z_1` with :math:`z_1 = a(y_2)\, y_1 + b(y_2)`, so the density of w
    is that of y divided by :math:`1 - t + t a`: exact at each time. A part that swaps the
    coordinates first is drawn without the swap: the picture keeps the names of the data's axes.

    Args:
        flow: its parts are affine in y_1 for a fixed y_2, and in z_2 for a fixed z_1: coupling
            blocks of both halves, masked autoregressive layers, with a permutation before them.
        y: (N, 2).
    """

    @torch.no_grad()
    def __init__(self, flow: Chain, y: Tensor) -> None:
        self.parts: list[_Unswapped] = []
        odd = False  # whether the coordinates are swapped before the next part
        self.lines = grid_lines(limit=2.4, n_lines=13)
        rows = torch.cat([y, self.lines.flatten(0, 1)])
        self.states = [(rows, torch.zeros(len(rows)))]
        for part in flow.parts:
            before = odd
            odd ^= _mirrors(part, y[0])
            self.parts.append(_Unswapped(part, before, odd))
            rows, log_det = self.parts[-1](rows)
            self.states.append((rows, self.states[-1][1] + log_det))
        self.n = len(y)

    def rows(self, time: float) -> Tensor:
        """Where the points are, then the grid's, (M, 2)."""
        k, half, t = self._split(time)
        column = self._moving(k, half)
        before, after = (rows[:, column] for rows, _ in self.states[k : k + 2])
        rows = self.states[k + half][0].clone()
        rows[:, column] = (1 - t) * before + t * after
        return rows

    @torch.no_grad()
    def at(self, time: float, *, n: int = 61) -> Stage:
        """The stage at a time, with its density on n x n places around the points."""
        rows = self.rows(time)
        points = rows[: self.n]
        low, high = points.quantile(torch.tensor([0.005, 0.995], dtype=points.dtype), dim=0)
        limit = 0.6 * (high - low).max()
        across, up = ((low + high) / 2)[:, None] + torch.linspace(-1, 1, n) * limit
        k, half, _ = self._split(time)
        places, det = self._returned(time, torch.cartesian_prod(across, up))
        density = log_density(Chain(self.parts[k + half :]), places).exp() / det
        _, det = self._returned(time, points)
        return Stage(
            points,
            rows[self.n :].view_as(self.lines),
            (across.numpy(), up.numpy()),
            density.view(n, n).T.numpy(),
            float((self.states[k + half][1][: self.n] + det.log()).mean()),
        )

    def _split(self, time: float) -> tuple[int, int, float]:
        """The part, the half of its time, and the share of that half."""
        k = min(int(time), len(self.parts) - 1)
        half = int(time - k >= 0.5)
        return k, half, 2 * (time - k) - half

    def _moving(self, k: int, half: int) -> int:
        """The coordinate that moves."""
        return (self.parts[k].after + half) % 2

    def _returned(self, time: float, w: Tensor) -> tuple[Tensor, Tensor]:
        """From a time in the first half to the part's start, else to its end; and the slope.

        The coordinate that moves is w = (1 - u) x + u (slope x + offset) of that end's x.
        """
        k, half, t = self._split(time)
        column = self._moving(k, half)
        way = self.parts[k].inverse if half else self.parts[k].forward
        u = 1 - t if half else t

        def moved(value: float) -> Tensor:
            x = w.clone()
            x[:, column] = value
            return way(x)[0][:, column]

        offset = moved(0.0)
        det = 1 - u + u * (moved(1.0) - offset)
        x = w.clone()
        x[:, column] = (w[:, column] - u * offset) / det
        return x, det


class _Unswapped(nn.Module):
    """A part in the coordinates of the data, whatever was swapped before it and in it."""

    def __init__(self, part: nn.Module, before: bool, after: bool) -> None:
        super().__init__()
        self.part = part
        self.before = before
        self.after = after

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.part(y.flip(1) if self.before else y)
        return z.flip(1) if self.after else z, log_det

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        y, log_det = self.part.inverse(z.flip(1) if self.after else z)  # type: ignore[operator]
        return y.flip(1) if self.before else y, log_det


def _mirrors(part: nn.Module, row: Tensor) -> bool:
    """Whether a part turns left into right."""
    jacobian = torch.func.jacrev(lambda y: part(y[None])[0][0])(row)
    return bool(torch.det(jacobian) < 0)
