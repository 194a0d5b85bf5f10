"""A two-dimensional flow as a continuous deformation: what lies between two of its blocks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from differnet_course.flows import Chain, log_density
from differnet_course.plots.flows import Stage, grid_lines

__all__ = ["Deformation"]

Map = Callable[[Tensor], tuple[Tensor, Tensor]]


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
        self.parts: list[nn.Module] = list(flow.parts)
        self.swapped = [_mirrors(part, y[:1]) for part in self.parts]
        self.lines = grid_lines(limit=2.4, n_lines=13)
        rows = torch.cat([y, self.lines.flatten(0, 1)])
        self.states = [(rows, torch.zeros(len(rows)))]
        for part in self.parts:
            rows, log_det = part(rows)
            self.states.append((rows, self.states[-1][1] + log_det))
        self.n = len(y)

    def rows(self, time: float) -> Tensor:
        """Where the points are, then the grid's, (M, 2)."""
        k, half, t = self._split(time)
        before = self._unswapped(self.states[k][0], k)
        after = self.states[k + 1][0]
        moving = (1 - t) * before[:, half] + t * after[:, half]
        columns = [moving, before[:, 1]] if half == 0 else [after[:, 0], moving]
        return self._named(torch.stack(columns, 1), k)

    @torch.no_grad()
    def at(self, time: float, *, n: int = 61) -> Stage:
        """The stage at a time, with its density on n x n places around the points."""
        rows = self.rows(time)
        points = rows[: self.n]
        low, high = points.quantile(torch.tensor([0.005, 0.995], dtype=points.dtype), dim=0)
        limit = 0.6 * (high - low).max()
        across, up = ((low + high) / 2)[:, None] + torch.linspace(-1, 1, n) * limit
        grid = torch.cartesian_prod(across, up)
        density = self._density(time, grid).view(n, n).T
        return Stage(
            points,
            rows[self.n :].view_as(self.lines),
            (across.numpy(), up.numpy()),
            density.numpy(),
            float(self._log_det(time, points).mean()),
        )

    def _log_det(self, time: float, points: Tensor) -> Tensor:
        """log |det| so far, (N,)."""
        k, half, t = self._split(time)
        slope, _ = self._line(k, self._named(points, k), half)
        if half == 0:
            return self.states[k][1][: self.n] + (1 - t + t * slope).log()
        return self.states[k + 1][1][: self.n] + ((1 - t) * slope + t).log()

    def _density(self, time: float, place: Tensor) -> Tensor:
        k, half, t = self._split(time)
        w = self._named(place, k)
        slope, offset = self._line(k, w, half)
        if half == 0:
            det = 1 - t + t * slope
            y = torch.stack([(w[:, 0] - t * offset) / det, w[:, 1]], 1)
            return log_density(Chain(self.parts[k:]), self._unswapped(y, k)).exp() / det
        det = (1 - t) * slope + t
        z = torch.stack([w[:, 0], (w[:, 1] - (1 - t) * offset) / det], 1)
        return log_density(Chain(self.parts[k + 1 :]), z).exp() / det

    def _split(self, time: float) -> tuple[int, int, float]:
        """The part, the half of its time, and the share of that half."""
        k = min(int(time), len(self.parts) - 1)
        half = int(time - k >= 0.5)
        return k, half, 2 * (time - k) - half

    def _line(self, k: int, w: Tensor, half: int) -> tuple[Tensor, Tensor]:
        """Slope and offset of z_1 over y_1 at y_2, or of y_2 over z_2 at z_1."""

        def moved(value: float) -> Tensor:
            x = w.clone()
            x[:, half] = value
            if half == 0:
                return self.parts[k](self._unswapped(x, k))[0][:, 0]
            return self._unswapped(Chain([self.parts[k]]).inverse(x)[0], k)[:, 1]

        return moved(1.0) - moved(0.0), moved(0.0)

    def _unswapped(self, x: Tensor, k: int) -> Tensor:
        """Before part k: with the coordinates in the order in which it moves them, and back."""
        return x.flip(1) if self.swapped[k] else x

    def _named(self, x: Tensor, k: int) -> Tensor:
        """Within part k: with the coordinates in the order of the data, and back."""
        return x.flip(1) if sum(self.swapped[: k + 1]) % 2 else x


def _mirrors(part: Map, row: Tensor) -> bool:
    """Whether a part turns left into right."""
    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(lambda y: part(y)[0][0], row)
    return bool(torch.det(jacobian[:, 0]) < 0)
