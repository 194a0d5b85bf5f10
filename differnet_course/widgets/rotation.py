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
from differnet_course.plots.style import COLOURS, DARK, DASHES, GREY, SYMBOLS, TEMPLATE
from differnet_lite.oldchecks import checked, real
from differnet_lite.images import ImageLike, decode
from differnet_lite.transforms import rotate

__all__ = ["RotationExplorer"]

NAMES = {"black": "black corners", "reflection": "reflected corners"}


class RotationExplorer(widgets.VBox):
    """An image turned by the slider, and its way in feature space.

    Black corners and reflected ones are shown side by side.

    Args:
        image: the image.
        angles: T angles in degrees, ascending, the first the one that distances are measured from.
        features: fill ("black", "reflection") to the features of the turned image, (T, D).
        unit: what counts as a distance of 1, such as the mean distance between two normal images.

    Attributes:
        slider: the control; set its `value` to move the explorer from code.
        label: says in words what is shown.
        figure: a Plotly FigureWidget: an image for each fill, the distances, a marker on each
            curve, a cursor.
        distances: fill to distances from the first angle, (T,), in units of `unit`.

    Raises:
        ValueError: a fill is unknown, or its features do not fit the angles.
    """

    @checked(unit=real(above=0))
    def __init__(
        self,
        image: ImageLike,
        angles: Sequence[float],
        features: Mapping[str, ArrayLike],
        *,
        unit: float = 1.0,
    ) -> None:
        self.angles = [float(angle) for angle in angles]
        self.distances: dict[str, np.ndarray] = {}
        for fill, values in features.items():
            y = np.asarray(values, dtype=float)
            if fill not in NAMES or y.ndim != 2 or len(y) != len(self.angles):
                raise ValueError(
                    f"features: expected {sorted(NAMES)} with ({len(self.angles)}, D) each, "
                    f"got {fill!r} with {y.shape}"
                )
            if not np.isfinite(y).all():
                raise ValueError(f"features: expected finite numbers, got others in {fill!r}")
            self.distances[fill] = np.linalg.norm(y - y[0], axis=1) / unit
        self.pictures = {fill: _turned(image, self.angles, fill) for fill in self.distances}
        self.slider = widgets.SelectionSlider(
            options=[(f"{angle:g}°", k) for k, angle in enumerate(self.angles)],
            description="angle",
            layout={"width": "520px"},
        )
        self.label = widgets.HTML()
        self.figure = go.FigureWidget(self._figure())
        self.slider.observe(lambda _: self._show(), names="value")
        self._show()
        super().__init__([self.slider, self.label, self.figure])

    def _figure(self) -> go.Figure:
        n = len(self.distances)
        titles = [*(NAMES[fill] for fill in self.distances), "how far y moved"]
        figure = make_subplots(
            1,
            n + 1,
            subplot_titles=titles,
            column_widths=[1.0] * n + [1.7],
            horizontal_spacing=0.04,
        )
        for k, fill in enumerate(self.distances):
            figure.add_trace(go.Image(source=self.pictures[fill][0], hoverinfo="skip"), 1, k + 1)
            figure.update_xaxes(visible=False, constrain="domain", row=1, col=k + 1)
            figure.update_yaxes(visible=False, constrain="domain", row=1, col=k + 1)
        for k, (fill, distance) in enumerate(self.distances.items()):
            line = {"color": COLOURS[k], "dash": DASHES[k], "width": 2}
            figure.add_scatter(
                x=self.angles,
                y=distance,
                mode="lines",
                line=line,
                name=NAMES[fill],
                row=1,
                col=n + 1,
            )
        for k, distance in enumerate(self.distances.values()):
            marker = {
                "color": COLOURS[k],
                "symbol": SYMBOLS[k],
                "size": 13,
                "line": {"color": DARK, "width": 1.5},
            }
            figure.add_scatter(
                x=[self.angles[0]],
                y=[distance[0]],
                mode="markers",
                marker=marker,
                showlegend=False,
                row=1,
                col=n + 1,
            )
        cursor = {"color": GREY, "width": 1, "dash": "dot"}
        self.top = 1.08 * max(float(distance.max()) for distance in self.distances.values())
        figure.add_scatter(
            x=[self.angles[0]] * 2,
            y=[0, self.top],
            mode="lines",
            line=cursor,
            showlegend=False,
            row=1,
            col=n + 1,
        )
        figure.update_xaxes(title_text="angle (degrees)", row=1, col=n + 1)
        figure.update_yaxes(
            title_text="distance from angle 0",
            range=[-0.03 * self.top, self.top],
            side="right",
            row=1,
            col=n + 1,
        )
        legend = {"x": 1, "xanchor": "right", "y": -0.22, "yanchor": "top", "orientation": "h"}
        margin = {"l": 10, "r": 60, "t": 40, "b": 90}
        return figure.update_layout(
            template=TEMPLATE, width=900, height=360, margin=margin, legend=legend
        )

    def _show(self) -> None:
        k, n = self.slider.value, len(self.distances)
        with self.figure.batch_update():
            for j, (fill, distance) in enumerate(self.distances.items()):
                self.figure.data[j].source = self.pictures[fill][k]
                marker = self.figure.data[2 * n + j]
                marker.x, marker.y = [self.angles[k]], [distance[k]]
            self.figure.data[-1].x = [self.angles[k]] * 2
        moved = ", ".join(
            f"{distance[k]:.2f} with {NAMES[fill]}" for fill, distance in self.distances.items()
        )
        self.label.value = f"turned by {self.angles[k]:g} degrees, y moved by {moved}"

    def __repr__(self) -> str:
        return f"RotationExplorer of {len(self.angles)} angles: run this cell to move its slider"


def _turned(image: ImageLike, angles: Sequence[float], fill: str) -> list[str]:
    """The image at every angle, as JPEG data URIs."""
    x = decode(image, 224)[None].float() / 255  # (1, 3, 224, 224)
    turned = torch.cat([rotate(x, angle, fill=fill) for angle in angles])  # type: ignore[arg-type]
    pixels = (255 * turned).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [jpeg(picture) for picture in pixels]
