"""The density explorer: a two-dimensional flow deforms its data under the slider."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import torch
from plotly.subplots import make_subplots
from torch import Tensor, nn

from differnet_course.flows import Chain, log_density
from differnet_course.plots.flows import dots, grid_lines, grid_trace, heat, slim, style
from differnet_course.plots.style import DARK, SKY
from differnet_course.widgets.plot import Plot

STEP = 0.05  # of a block


class DensityExplorer(widgets.VBox):
    """Watch a two-dimensional flow turn data into noise, and follow any point.

    The slider goes through the blocks, and through all that lies between two of them. On the left
    the grid and the points, on the right the density of that variable: the model's p_Y at 0, p_Z at
    the end. A point keeps the colour of its direction in the latent space. A click on a point draws
    its whole way.

    It takes a flow of parts as `Deformation` does, and some hundred points y, (N, 2).

    Set the `value` of `slider`, in blocks, to move it from code; `label` says in words what is
    shown. `figure` has five traces: grid, points, density, the way of one point, and that point.
    """

    def __init__(self, flow: Chain, y: Tensor) -> None:
        self.deformation = Deformation(flow, y)
        self.last = len(flow.parts)
        self.slider = widgets.FloatSlider(
            max=self.last, step=STEP, description="blocks", layout={"width": "420px"}
        )
        play = widgets.Play(max=round(self.last / STEP), interval=120)
        play.observe(lambda change: self.slider.set_trait("value", change["new"] * STEP), "value")
        self.label = widgets.HTML()
        self.figure = make_subplots(1, 2, subplot_titles=["grid and points", "density"])
        z = self.deformation.rows(self.last)[: len(y)]
        hues = {"color": torch.atan2(z[:, 1], z[:, 0]).numpy(), "colorscale": "HSV", "size": 5}
        points = dots(y).update(marker=hues, hoverinfo="none")
        density = heat(*self.deformation.density(0))
        density.update(zmin=0, colorscale="Cividis", showscale=False)
        self.figure.add_trace(grid_trace(self.deformation.lines, SKY), row=1, col=1)
        self.figure.add_trace(points, row=1, col=1).add_trace(density, row=1, col=2)
        way = {"color": DARK, "width": 1.5}
        self.figure.add_scatter(mode="lines", line=way, hoverinfo="skip", row=1, col=1)
        ring = {"color": "white", "size": 11, "line": {"color": DARK, "width": 2.5}}
        self.figure.add_scatter(mode="markers", marker=ring, hoverinfo="skip", row=1, col=1)
        style(self.figure, height=430, width=840).update_layout(showlegend=False)
        self.figure.update_xaxes(title="first coordinate").update_yaxes(title="second coordinate")
        self.plot = Plot(self.figure)
        self.slider.observe(lambda _: self._show(), names="value")
        self.plot.observe(lambda change: self.follow(change["new"]["index"]), names="clicked")
        self.follow(0)
        super().__init__([widgets.HBox([self.slider, play]), self.label, self.plot])

    def follow(self, index: int) -> None:
        """Draw the way of one point."""
        self.followed = index
        times = torch.arange(0, self.last + STEP / 2, STEP).tolist()
        way = torch.stack([self.deformation.rows(time)[index] for time in times])
        self.figure.data[3].x, self.figure.data[3].y = way.T.numpy()
        self._show()

    def _show(self) -> None:
        time = self.slider.value
        rows = self.deformation.rows(time)
        points, lines = rows[: self.deformation.n], rows[self.deformation.n :]
        across, up, density = self.deformation.density(time)
        grid = grid_trace(lines.view_as(self.deformation.lines), SKY)
        self.figure.data[0].update(x=grid.x, y=grid.y)
        self.figure.data[1].x, self.figure.data[1].y = slim(points).T
        self.figure.data[2].update(x=slim(across), y=slim(up), z=slim(density))
        self.figure.data[4].x, self.figure.data[4].y = slim(points[self.followed, None]).T
        self.figure.update_xaxes(range=[across[0], across[-1]])
        self.figure.update_yaxes(range=[up[0], up[-1]])
        self.plot.draw()
        variable = {0: "the data y", self.last: "the latent z"}.get(time, "between y and z")
        square = points.square().sum(1).mean().item() / 2
        self.label.value = (
            f"after {time:g} of {self.last} blocks ({variable}): mean square per dimension "
            f"{square:.2f}, mean log |det| so far {self.deformation.log_det(time):+.2f}"
        )

    def __repr__(self) -> str:
        return f"DensityExplorer of {self.last} blocks: run this cell to move its slider"


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
            jacobian = torch.func.jacrev(lambda row, part=part: part(row[None])[0][0])(y[0])
            odd ^= bool(torch.det(jacobian) < 0)  # left has become right
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
    def density(self, time: float, *, n: int = 61) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y and the density on n x n places that hold 99 % of the points at a time."""
        points = self.rows(time)[: self.n]
        low, high = points.quantile(torch.tensor([0.005, 0.995], dtype=points.dtype), dim=0)
        limit = 0.6 * (high - low).max()
        across, up = ((low + high) / 2)[:, None] + torch.linspace(-1, 1, n) * limit
        k, half, _ = self._split(time)
        places, det = self._returned(time, torch.cartesian_prod(across, up))
        density = log_density(Chain(self.parts[k + half :]), places).exp() / det
        return across.numpy(), up.numpy(), density.view(n, n).T.numpy()

    @torch.no_grad()
    def log_det(self, time: float) -> float:
        """Mean over the points of log |det| so far."""
        k, half, _ = self._split(time)
        _, det = self._returned(time, self.rows(time)[: self.n])
        return float((self.states[k + half][1][: self.n] + det.log()).mean())

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
