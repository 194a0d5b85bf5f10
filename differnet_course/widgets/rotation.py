"""Rotation and feature: turn an image, and see how far its features move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from differnet_course.plots.images import jpeg
from differnet_course.plots.style import COLOURS, DARK, DASHES, TEMPLATE, curve, marker
from differnet_course.widgets.plot import Plot
from differnet_lite.images import ImageLike, decode
from differnet_lite.resampling import rotate
from differnet_lite.transforms import Fill

NAMES: dict[str, str] = {"black": "black corners", "reflection": "reflected corners"}


class RotationExplorer(widgets.VBox):
    """An image turned by the slider, and its way in feature space.

    Black corners and reflected ones are shown side by side.

    Args:
        angles: T angles in degrees, ascending, the first the one that distances are measured from.
        features: fill ("black", "reflection") to the features of the turned image, (T, D).
        unit: what counts as a distance of 1, such as the mean distance between two normal images.

    Set the `value` of `slider` to move it from code; `label` says in words what is shown. `figure`
    has for each fill an image, the distances and a marker on them; `distances`, (T,), are by fill.
    """

    def __init__(
        self,
        image: ImageLike,
        angles: Sequence[float],
        features: Mapping[Fill, ArrayLike],
        *,
        unit: float = 1.0,
    ) -> None:
        self.angles = [float(angle) for angle in angles]
        self.distances: dict[Fill, np.ndarray] = {}
        for fill, values in features.items():
            y = np.asarray(values, dtype=float)
            self.distances[fill] = np.linalg.norm(y - y[0], axis=1) / unit
        self.pictures = {fill: _turned(image, self.angles, fill) for fill in self.distances}
        self.slider = widgets.SelectionSlider(
            options=[(f"{angle:g}°", k) for k, angle in enumerate(self.angles)],
            description="angle",
            layout={"width": "520px"},
        )
        self.label = widgets.HTML()
        self.figure = self._figure()
        self.plot = Plot(self.figure)
        self.slider.observe(lambda _: self._show(), names="value")
        self._show()
        super().__init__([self.slider, self.label, self.plot])

    def _figure(self) -> go.Figure:
        n = len(self.distances)
        titles = [*(NAMES[fill] for fill in self.distances), "how far y moved"]
        widths = [1.0] * n + [1.7]
        figure = make_subplots(rows=1, cols=n + 1, subplot_titles=titles, column_widths=widths)
        for k, (fill, distance) in enumerate(self.distances.items()):
            picture = go.Image(source=self.pictures[fill][0], hoverinfo="skip")
            way = curve(self.angles, distance, NAMES[fill], COLOURS[k], dash=DASHES[k])
            look = marker(k, size=13, line={"color": DARK, "width": 1.5})
            mark = go.Scatter(x=self.angles[:1], y=[0.0], mode="markers", marker=look)
            figure.add_trace(picture, 1, k + 1)
            figure.add_trace(way, 1, n + 1)
            figure.add_trace(mark.update(showlegend=False), 1, n + 1)
        figure.update_xaxes(visible=False, constrain="domain")
        figure.update_yaxes(visible=False, constrain="domain")
        top = 1.08 * max(float(distance.max()) for distance in self.distances.values())
        title = "distance from angle 0"
        ends = [-0.03 * top, top]
        figure.update_xaxes(visible=True, title_text="angle (degrees)", col=n + 1)
        figure.update_yaxes(visible=True, title_text=title, range=ends, side="right", col=n + 1)
        return figure.update_layout(
            template=TEMPLATE,
            width=900,
            height=360,
            margin={"l": 10, "r": 60, "t": 40, "b": 90},
            legend={"x": 1, "xanchor": "right", "y": -0.22, "yanchor": "top", "orientation": "h"},
        )

    def _show(self) -> None:
        k = self.slider.value
        for j, (fill, distance) in enumerate(self.distances.items()):
            self.figure.data[3 * j].source = self.pictures[fill][k]
            self.figure.data[3 * j + 2].update(x=[self.angles[k]], y=[distance[k]])
        self.plot.draw()
        moved = ", ".join(
            f"{distance[k]:.2f} with {NAMES[fill]}" for fill, distance in self.distances.items()
        )
        self.label.value = f"turned by {self.angles[k]:g} degrees, y moved by {moved}"

    def __repr__(self) -> str:
        return f"RotationExplorer of {len(self.angles)} angles: run this cell to move its slider"


def _turned(image: ImageLike, angles: Sequence[float], fill: Fill) -> list[str]:
    """The image at every angle, as JPEG data URIs."""
    x = decode(image, 224)[None].float() / 255  # (1, 3, 224, 224)
    turned = torch.cat([rotate(x, angle, fill=fill) for angle in angles])
    pixels = (255 * turned).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [jpeg(picture) for picture in pixels]
