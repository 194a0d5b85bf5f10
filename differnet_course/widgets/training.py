"""A loss curve that grows while the flow trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from differnet_course.plots.style import ABOVE, BLUE, TEMPLATE, VERMILLION
from differnet_lite.oldchecks import checked, whole
from differnet_lite.schema import check_history

__all__ = ["LiveLoss"]

CURVES = {
    "train": ("training images", BLUE, "solid"),
    "held_out": ("held-out normal images", VERMILLION, "dash"),
}

WAITING = "waiting for the first epoch"


class LiveLoss(widgets.VBox):
    """Show it in a cell, then train with `train_flow(..., on_epoch=live)`.

    Args:
        epochs: how many are to come: the width of the axis.

    Attributes:
        label: epoch and losses in words.
        figure: a Plotly FigureWidget of two curves.
    """

    @checked(epochs=whole(1))
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.label = widgets.HTML(WAITING)
        figure = go.Figure(
            [
                go.Scatter(
                    x=[],
                    y=[],
                    mode="lines",
                    name=name,
                    line={"color": colour, "dash": dash, "width": 2},
                )
                for name, colour, dash in CURVES.values()
            ]
        )
        figure.update_xaxes(
            title_text="epoch (passes over the training images)", range=[1, max(2, epochs)]
        )
        figure.update_yaxes(title_text="loss (nats per dimension)")
        self.figure = go.FigureWidget(
            figure.update_layout(
                template=TEMPLATE, legend=ABOVE, showlegend=True, width=760, height=360
            )
        )
        super().__init__([self.label, self.figure])

    def __call__(
        self, epoch: int, history: Mapping[str, Sequence[float]], flow: Any = None
    ) -> None:
        """Draw the history so far: the signature of `on_epoch`."""
        check_history(history)
        with self.figure.batch_update():
            for curve, key in zip(self.figure.data, CURVES, strict=True):
                curve.x, curve.y = list(history["epoch"][: len(history[key])]), list(history[key])
        losses = ", ".join(
            f"{CURVES[key][0]} {history[key][-1]:.2f}" for key in CURVES if history[key]
        )
        self.label.value = f"epoch {epoch} of {self.epochs}: loss of {losses}"

    def clear(self) -> None:
        """As before the first epoch: a stored picture is not to answer a prediction."""
        with self.figure.batch_update():
            for curve in self.figure.data:
                curve.x, curve.y = [], []
        self.label.value = WAITING

    def __repr__(self) -> str:
        return "LiveLoss: run this cell to watch the training"
