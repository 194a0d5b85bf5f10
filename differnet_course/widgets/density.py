"""The density explorer: a two-dimensional flow deforms its data under the slider."""

from __future__ import annotations

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.flows import Chain
from differnet_course.plots.flows import dots, grid_trace, heat, style
from differnet_course.plots.style import DARK, SKY
from differnet_course.widgets.deformation import Deformation, Stage
from differnet_course.widgets.plot import Plot

__all__ = ["DensityExplorer"]

STEP = 0.05  # of a block


class DensityExplorer(widgets.VBox):
    """Watch a two-dimensional flow turn data into noise, and follow any point.

    The slider goes through the blocks, and through all that lies between two of them. On the left
    the grid and the points, on the right the density of that variable: the model's p_Y at 0, p_Z at
    the end. A point keeps the colour of its direction in the latent space. A click on a point draws
    its whole way.

    Args:
        flow: a `Chain` of parts as `Deformation` takes them.
        y: (N, 2) points to carry through, some hundred.

    Attributes:
        slider: the control; set its `value`, in blocks, to move the explorer from code.
        label: says in words what is shown.
        figure: five traces: grid, points, density, the way of one point, and that point.
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
        for trace, column in zip(_traces(self.deformation.at(0)), (1, 1, 2), strict=True):
            self.figure.add_trace(trace, row=1, col=column)
        z = self.deformation.at(self.last).points
        colours = {"color": torch.atan2(z[:, 1], z[:, 0]).numpy(), "colorscale": "HSV"}
        self.figure.data[1].update(marker=colours | {"size": 5}, hoverinfo="none")
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
        stage = self.deformation.at(time)
        for trace, new in zip(self.figure.data, _traces(stage), strict=False):
            trace.x = new.x
            trace.y = new.y
        self.figure.data[2].z = new.z
        point = stage.points[self.followed]
        self.figure.data[4].x, self.figure.data[4].y = point[:1].numpy(), point[1:].numpy()
        across, up = stage.axes
        self.figure.update_xaxes(range=[across[0], across[-1]])
        self.figure.update_yaxes(range=[up[0], up[-1]])
        self.plot.draw()
        variable = {0: "the data y", self.last: "the latent z"}.get(time, "between y and z")
        square = stage.points.square().sum(1).mean().item() / 2
        self.label.value = (
            f"after {time:g} of {self.last} blocks ({variable}): mean square per dimension "
            f"{square:.2f}, mean log |det| so far {stage.log_det:+.2f}"
        )

    def __repr__(self) -> str:
        return f"DensityExplorer of {self.last} blocks: run this cell to move its slider"


def _traces(stage: Stage) -> tuple[go.Scatter, go.Scatter, go.Heatmap]:
    """Grid, points, and density."""
    density = heat(*stage.axes, stage.density)
    density.update(zmin=0, colorscale="Cividis", showscale=False)
    return grid_trace(stage.lines, SKY), dots(stage.points), density
