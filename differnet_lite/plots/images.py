"""Figures of notebooks 03 and 04: photographs in a row, maps of a trunk, curves.

They take arrays and return a `plotly.graph_objects.Figure`, on the same white paper as `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from PIL import Image
from plotly.subplots import make_subplots

from differnet_lite.data.images import ImageLike, as_rgb
from differnet_lite.plots.scores import COLOURS, DASHES, SYMBOLS, TEMPLATE, jpeg_bytes, jpeg_uri

__all__ = ["jpeg", "plot_curves", "plot_feature_maps", "plot_images"]

HIDDEN = {"visible": False, "constrain": "domain"}


def jpeg(image: ImageLike, side: int = 224, *, quality: int = 70) -> str:
    """An image, squeezed to a square, as the data URI of a JPEG: some kilobytes."""
    return jpeg_uri(jpeg_bytes(as_rgb(image).resize((side, side), Image.Resampling.BOX), quality))


def plot_images(images: Mapping[str, ImageLike], *, side: int = 224) -> go.Figure:
    """Photographs side by side, each under its name.

    Args:
        images: name to image; shown as squares.
        side: of each, pixels.
    """
    figure = make_subplots(1, len(images), subplot_titles=list(images), horizontal_spacing=0.02)
    for column, image in enumerate(images.values(), 1):
        figure.add_trace(go.Image(source=jpeg(image, side), hoverinfo="skip"), 1, column)
        _square(figure, 1, column)
    width = round(len(images) * (side + 6) + 20)
    return figure.update_layout(
        template=TEMPLATE,
        width=width,
        height=side + 50,
        margin={"l": 10, "r": 10, "t": 36, "b": 10},
    )


def plot_feature_maps(rows: Mapping[str, Sequence[tuple[str, ArrayLike]]]) -> go.Figure:
    """Feature maps as heat maps, one row a scale; all maps of a row share one colour scale.

    Args:
        rows: name of the row to its panels, (title, map): the map is (h, w), of floats, or an image, uint8.
            Every row has the same number of panels. Colours of a row start at 0, where a ReLU is silent.
    """
    first = next(iter(rows.values()))
    titles = [title for panels in rows.values() for title, _ in panels]
    figure = make_subplots(
        len(rows), len(first), subplot_titles=titles, horizontal_spacing=0.03, vertical_spacing=0.1
    )
    for row, (name, panels) in enumerate(rows.items(), 1):
        maps = [np.asarray(values) for _, values in panels]
        top = max((float(m.max()) for m in maps if m.dtype != np.uint8), default=0.0) or 1.0
        for column, values in enumerate(maps, 1):
            if values.dtype == np.uint8:
                figure.add_trace(go.Image(source=jpeg(values, 168), hoverinfo="skip"), row, column)
            else:
                shown = np.float32(values.astype(float).round(3))
                heat = go.Heatmap(z=shown, zmin=0, zmax=top, colorscale="Cividis", showscale=False)
                figure.add_trace(
                    heat.update(
                        hovertemplate="row %{y}, column %{x}<br>response %{z:.2f}<extra></extra>"
                    ),
                    row,
                    column,
                )
            _square(figure, row, column)
        figure.update_yaxes(
            visible=True,
            showticklabels=False,
            ticks="",
            showline=False,
            title_text=name,
            row=row,
            col=1,
        )
    figure.update_annotations(font_size=12)
    size = {"width": 190 * len(first) + 60, "height": 212 * len(rows) + 20}
    return figure.update_layout(
        size, template=TEMPLATE, margin={"l": 50, "r": 10, "t": 30, "b": 10}
    )


def plot_curves(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    x_title: str,
    y_title: str,
    line: tuple[str, float] | None = None,
    log: bool = False,
) -> go.Figure:
    """Curves over a common x, told apart by colour, dash and marker.

    Args:
        x: (n,).
        curves: name to (n,).
        x_title: of the axis, with its unit.
        y_title: of the axis, with its unit.
        line: name and height of a dotted horizontal line.
        log: a logarithmic y axis.
    """
    at = np.asarray(x, dtype=float)
    figure = go.Figure()
    for k, (name, values) in enumerate(curves.items()):
        figure.add_scatter(
            x=at.round(4),
            y=np.asarray(values, dtype=np.float32),
            name=name,
            mode="lines+markers" if len(at) <= 60 else "lines",
            line={"color": COLOURS[k % 6], "dash": DASHES[k % 6], "width": 2},
            marker={"symbol": SYMBOLS[k % 11], "size": 6},
        )
    if line is not None:
        ends = [float(at.min()), float(at.max())]
        figure.add_scatter(
            x=ends,
            y=[line[1]] * 2,
            name=line[0],
            mode="lines",
            line={"color": "#222222", "dash": "dot", "width": 1.5},
        )
    figure.update_xaxes(title_text=x_title).update_yaxes(
        title_text=y_title, **({"type": "log", "dtick": 1} if log else {})
    )
    above = {
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "orientation": "h",
        "borderwidth": 0,
    }
    return figure.update_layout(
        template=TEMPLATE, legend=above, showlegend=True, width=760, height=400
    )


def _square(figure: go.Figure, row: int, column: int) -> None:
    """No axes, square cells, and the first row on top."""
    panel = next(figure.select_traces(row=row, col=column))
    figure.update_xaxes(HIDDEN, row=row, col=column)
    figure.update_yaxes(
        HIDDEN, row=row, col=column, autorange="reversed", scaleanchor=panel.xaxis or "x"
    )
