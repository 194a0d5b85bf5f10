"""The density explorer: grid and density of a two-dimensional flow, block by block."""

from __future__ import annotations

import ipywidgets as widgets
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from differnet_course.flows import Chain
from differnet_course.plots.flows import ends, stage_traces, stages, style

__all__ = ["DensityExplorer"]


class DensityExplorer(widgets.VBox):
    """Watch a two-dimensional flow turn data into noise, block by block.

    The slider goes over the parts of the flow. On the left the grid and the points after so many
    parts, on the right the density of that variable: the model's p_Y at 0, p_Z at the end.

    Args:
        flow: a `Chain`; every part of it is one step of the slider.
        y: (N, 2) points to carry through, some hundred.

    Attributes:
        slider: the control; set its `value` to move the explorer from code.
        label: says in words what is shown.
        figure: a Plotly FigureWidget of three traces: grid, points, density.
    """

    def __init__(self, flow: Chain, y: Tensor) -> None:
        self.stages = stages(flow, y)
        last = len(self.stages) - 1
        self.slider = widgets.IntSlider(
            value=0, min=0, max=last, description="blocks", layout={"width": "420px"}
        )
        self.label = widgets.HTML()
        figure = make_subplots(
            1, 2, subplot_titles=["grid and points", "density"], horizontal_spacing=0.1
        )
        for trace, column in zip(stage_traces(self.stages[0]), (1, 1, 2), strict=True):
            figure.add_trace(trace, row=1, col=column)
        style(figure, height=430, width=840).update_layout(showlegend=False)
        figure.update_xaxes(title="first coordinate").update_yaxes(title="second coordinate")
        self.figure = go.FigureWidget(figure)
        self.slider.observe(lambda _: self._show(), names="value")
        self._show()
        super().__init__([self.slider, self.label, self.figure])

    def _show(self) -> None:
        k = self.slider.value
        last = len(self.stages) - 1
        stage = self.stages[k]
        with self.figure.batch_update():
            for trace, new in zip(self.figure.data, stage_traces(stage), strict=True):
                trace.x = new.x
                trace.y = new.y
            self.figure.data[2].z = new.z
            self.figure.data[2].zmax = float(stage.density.max())
            self.figure.update_xaxes(range=ends(stage.axes[0])).update_yaxes(
                range=ends(stage.axes[1])
            )
        variable = {0: "the data y", last: "the latent z"}.get(k, "between y and z")
        square = stage.points.square().sum(1).mean().item() / 2
        self.label.value = (
            f"after {k} of {last} blocks ({variable}): mean square per dimension {square:.2f}, "
            f"mean log |det| so far {stage.log_det:+.2f}"
        )

    def __repr__(self) -> str:
        return f"DensityExplorer of {len(self.stages) - 1} blocks: run this cell to move its slider"
