"""A loss curve that grows while the flow trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets as widgets

from differnet_course.plots.curves import plot_curves
from differnet_course.widgets.plot import Plot
from differnet_lite.flow import CouplingFlow

NAMES = {"train": "training images", "held_out": "held-out normal images"}


class LiveLoss(widgets.VBox):
    """Show it in a cell, then train with `train_flow(..., on_epoch=live)` for so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.label = widgets.HTML("waiting for the first epoch")
        self.figure = plot_curves(
            [],
            dict.fromkeys(NAMES.values(), ()),
            x_title="epoch (passes over the training images)",
            y_title="loss (nats per dimension)",
            x_range=[1, max(2, epochs)],
        )
        self.plot = Plot(self.figure)
        super().__init__([self.label, self.plot])

    def __call__(
        self, epoch: int, history: Mapping[str, Sequence[float]], flow: CouplingFlow | None = None
    ) -> None:
        """Draw the history so far: the signature of `on_epoch`."""
        for trace, key in zip(self.figure.data, NAMES, strict=True):
            trace.x = list(history["epoch"][: len(history[key])])
            trace.y = list(history[key])
        self.plot.draw()
        losses = [f"{NAMES[key]} {history[key][-1]:.2f}" for key in NAMES if history[key]]
        self.label.value = f"epoch {epoch} of {self.epochs}: loss of {', '.join(losses)}"

    def __repr__(self) -> str:
        return "LiveLoss: run this cell to watch the training"
