"""A loss curve that grows while the flow trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import plotly.graph_objects as go

from differnet_course.plots.style import ABOVE, BLUE, TEMPLATE, VERMILLION
from differnet_lite.flow import CouplingFlow

__all__ = ["LiveLoss"]

NAMES = {"train": "training images", "held_out": "held-out normal images"}
WAITING = "waiting for the first epoch"


class LiveLoss(widgets.VBox):
    """Show it in a cell, then train with `train_flow(..., on_epoch=live)`.

    Args:
        epochs: how many are to come: the width of the axis.

    Attributes:
        label: epoch and losses in words.
        figure: a Plotly FigureWidget of two curves.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.label = widgets.HTML(WAITING)
        figure = go.Figure([go.Scatter(mode="lines", name=name) for name in NAMES.values()])
        figure.data[0].line = {"color": BLUE, "width": 2}
        figure.data[1].line = {"color": VERMILLION, "width": 2, "dash": "dash"}
        title = "epoch (passes over the training images)"
        figure.update_xaxes(title_text=title, range=[1, max(2, epochs)])
        figure.update_yaxes(title_text="loss (nats per dimension)")
        figure.update_layout(template=TEMPLATE, legend=ABOVE, width=760, height=360)
        self.figure = go.FigureWidget(figure)
        super().__init__([self.label, self.figure])

    def __call__(
        self,
        epoch: int,
        history: Mapping[str, Sequence[float]],
        flow: CouplingFlow | None = None,
    ) -> None:
        """Draw the history so far: the signature of `on_epoch`."""
        self._draw(history)
        losses = [f"{NAMES[key]} {history[key][-1]:.2f}" for key in NAMES if history[key]]
        self.label.value = f"epoch {epoch} of {self.epochs}: loss of {', '.join(losses)}"

    def clear(self) -> None:
        """As before the first epoch: a stored picture is not to answer a prediction."""
        self._draw({"epoch": [], "train": [], "held_out": []})
        self.label.value = WAITING

    def _draw(self, history: Mapping[str, Sequence[float]]) -> None:
        with self.figure.batch_update():
            for curve, key in zip(self.figure.data, NAMES, strict=True):
                curve.x = list(history["epoch"][: len(history[key])])
                curve.y = list(history[key])

    def __repr__(self) -> str:
        return "LiveLoss: run this cell to watch the training"
