"""Photographs and maps of a trunk, side by side, as JPEGs of some kilobytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from PIL import Image
from plotly.subplots import make_subplots

from differnet_course.plots.style import TEMPLATE
from differnet_lite.images import ImageLike, as_rgb

__all__ = ["jpeg", "jpeg_bytes", "jpeg_uri", "plot_feature_maps", "plot_images"]


def jpeg(image: ImageLike, side: int = 224) -> str:
    """An image, squeezed to a square, as the data URI of a JPEG: some kilobytes."""
    return jpeg_uri(jpeg_bytes(as_rgb(image).resize((side, side), Image.Resampling.BOX), 70))


def jpeg_bytes(picture: Image.Image, quality: int) -> bytes:
    """The content of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def jpeg_uri(content: bytes) -> str:
    """A JPEG file as a data URI, for a figure or a page that needs no other file."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def plot_images(
    images: Mapping[str, ImageLike], *, side: int = 224, columns: int = 6, title: str = ""
) -> go.Figure:
    """Photographs side by side, each under its name.

    Args:
        images: name to image; shown as squares. "<br>" in a name starts another line.
        side: of each, pixels.
        columns: photographs in a row.
        title: of the figure.
    """
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    head = 30 + 17 * max(name.count("<br>") for name in images)
    top = head + (42 if title else 6)
    height = rows * (side + head) + top - head + 14
    size = {"width": columns * (side + 6) + 20, "height": height}
    space = {"horizontal_spacing": 6 / size["width"], "vertical_spacing": head / height}
    figure = make_subplots(rows, columns, subplot_titles=list(images), **space)
    for i, image in enumerate(images.values()):
        picture = go.Image(source=jpeg(image, side), hoverinfo="skip")
        _add_square(figure, picture, i // columns + 1, i % columns + 1)
    margin = {"l": 10, "r": 10, "t": top, "b": 10}
    return figure.update_layout(size, template=TEMPLATE, title_text=title, margin=margin)


def plot_feature_maps(
    rows: Mapping[str, Sequence[tuple[str, ArrayLike]]], *, title: str = ""
) -> go.Figure:
    """Feature maps as heat maps, one row a scale; all maps of a row share one colour scale.

    Args:
        rows: name of the row to its panels, (title, map): the map is (h, w), of floats, or an
            image, uint8. Every row has the same number of panels. Colours of a row start at 0,
            where a ReLU is silent.
        title: of the figure.
    """
    n_columns = len(next(iter(rows.values())))
    titles = [title for panels in rows.values() for title, _ in panels]
    spacing = {"horizontal_spacing": 0.03, "vertical_spacing": 0.1}
    figure = make_subplots(len(rows), n_columns, subplot_titles=titles, **spacing)
    heat = {"zmin": 0, "colorscale": "Cividis", "showscale": False}
    heat["hovertemplate"] = "row %{y}, column %{x}<br>response %{z:.2f}<extra></extra>"
    for row, (name, panels) in enumerate(rows.items(), 1):
        maps = [np.asarray(values) for _, values in panels]
        top = max((float(m.max()) for m in maps if m.dtype != np.uint8), default=0.0)
        for column, values in enumerate(maps, 1):
            if values.dtype == np.uint8:
                panel = go.Image(source=jpeg(values, 168), hoverinfo="skip")
            else:
                panel = go.Heatmap(heat, z=np.float32(values.astype(float).round(3)), zmax=top)
            _add_square(figure, panel, row, column)
        label = {"visible": True, "showticklabels": False, "ticks": "", "showline": False}
        figure.update_yaxes(label, title_text=name, row=row, col=1)
    figure.update_annotations(font_size=12)
    top = 72 if title else 30
    size = {"width": 190 * n_columns + 60, "height": 212 * len(rows) + top - 10}
    margin = {"l": 50, "r": 10, "t": top, "b": 10}
    return figure.update_layout(size, template=TEMPLATE, title_text=title, margin=margin)


def _add_square(figure: go.Figure, panel: go.Image | go.Heatmap, row: int, column: int) -> None:
    """A panel without axes, of square cells, its first row on top."""
    figure.add_trace(panel, row, column)
    hidden = {"visible": False, "constrain": "domain"}
    anchor = figure.data[-1].xaxis or "x"
    figure.update_xaxes(hidden, row=row, col=column)
    figure.update_yaxes(hidden, autorange="reversed", scaleanchor=anchor, row=row, col=column)
