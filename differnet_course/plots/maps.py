"""Anomaly maps over their images, against the level of a model or on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.images import (
    heat_layer,
    level_axis,
    level_layers,
    outline_layer,
    picture_layer,
)
from differnet_course.plots.style import TEMPLATE, colour_bar, literal
from differnet_lite.images import ImageLike, as_rgb
from differnet_lite.maps import MapLevels

MAP_CELLS, MAP_BYTES = 56, 60_000  # longest side of a map, and of a JPEG, in a figure of one
GALLERY_CELLS, GALLERY_BYTES = 48, 12_000  # the same in a gallery
TABLE_CELLS, TABLE_BYTES = 36, 6_000  # the same in a table of methods
GAP, HEAD, TITLE = 10, 42, 36  # px: between images; room for an image's title, for the figure's
BAR = {"lenmode": "pixels", "len": 330, "y": 1, "yanchor": "top", "thickness": 10}


class _Panel(NamedTuple):
    """Layers over each other, of images of this size, and where they stand in px."""

    layers: Sequence[go.Image | go.Heatmap | go.Contour]
    size: tuple[int, int]
    left: float
    top: float
    heading: str = ""


def plot_map(
    image: ImageLike, anomaly_map: ArrayLike, *, levels: MapLevels, title: str = ""
) -> go.Figure:
    """An anomaly map laid over its image.

    Args:
        image: (H, W, 3) uint8 or a Pillow image, shown at 448 px at most.
        anomaly_map: 2-D, of any size; it covers the whole image, as the model squeezes any image
            to its square input. Shown in at most 56 x 56 cells.
        levels: of the model, `model.map_levels(alpha)`: colour where few normal places reach, a
            line around what is marked.
    """
    rgb = as_rgb(image)
    layers = level_layers(anomaly_map, rgb.size, levels, MAP_CELLS)
    panel = _Panel([picture_layer(rgb, 448, MAP_BYTES), *layers], rgb.size, 0, 0)
    return _sheet([panel], 400, (400, 400), level_axis(levels), title=title, right=142)


def plot_gallery(
    images: Sequence[ImageLike],
    maps: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    levels: MapLevels | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
    columns: int = 4,
    masks: Sequence[np.ndarray | None] | None = None,
    opacity: float = 0.45,
    bar: str = "map value, one scale for all, no unit",
    title: str = "",
    side: int = 168,
) -> go.Figure:
    r"""Images, and below each the same image with its anomaly map, all on ONE scale.

    Args:
        images, maps, titles: N each; maps are 2-D, and "\n" in a title starts a second line.
        levels: as in `plot_map`.
        scale: without levels, the ends of the colours.
        columns: pairs in a row.
        masks: N boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        opacity: of maps without levels, from 0 to 1.
        bar: what the colour bar says of maps without levels.
        side: of each image, px.
    """
    columns = min(columns, len(images))
    row_height = HEAD + 2 * side + GAP
    pixels = max(224, side)
    most = round(GALLERY_BYTES * (pixels / 224) ** 2)
    outlines = masks or [None] * len(images)
    panels = []
    for i, (image, values, words, mask) in enumerate(
        zip(images, maps, titles, outlines, strict=True)
    ):
        rgb = as_rgb(image)
        left = (i % columns) * (side + GAP)
        top = (i // columns) * row_height + HEAD
        picture = picture_layer(rgb, pixels, most)
        if levels is None:
            layers = [picture, heat_layer(values, rgb.size, scale, opacity, GALLERY_CELLS)]
        else:
            layers = [picture, *level_layers(values, rgb.size, levels, GALLERY_CELLS)]
        if mask is not None:  # not on the plain image: there one sees the defect itself
            layers.append(outline_layer(mask, rgb.size))
        lines = [literal(_shortened(line, round(26 * side / 168))) for line in words.split("\n")]
        panels.append(_Panel([picture], rgb.size, left, top, "<br>".join(lines)))
        panels.append(_Panel(layers, rgb.size, left, top + side + 4))
    whole = (columns * (side + GAP) - GAP, math.ceil(len(images) / columns) * row_height)
    axis = level_axis(levels) if levels else _colour_axis(scale, bar)
    return _sheet(panels, side, whole, axis, title=title, right=142 if levels else 92)


def plot_methods(
    images: Sequence[ImageLike],
    methods: Mapping[str, tuple[Sequence[np.ndarray], MapLevels]],
    *,
    titles: Sequence[str],
    masks: Sequence[np.ndarray],
    title: str = "",
    side: int = 180,
) -> go.Figure:
    """A row for each of N images: the photograph, and its map by each method over it.

    Args:
        images, titles, masks: N each; masks are boolean (H, W), drawn as outlines over the maps.
        methods: name to N maps and what these are compared with.
        side: of each image, px.
    """
    panels = []
    for i, (image, words, mask) in enumerate(zip(images, titles, masks, strict=True)):
        rgb = as_rgb(image)
        top = i * (HEAD + side) + HEAD
        picture = picture_layer(rgb, side, TABLE_BYTES)
        panels.append(_Panel([picture], rgb.size, 0, top, literal(words)))
        for k, (name, (maps, levels)) in enumerate(methods.items(), 1):
            marks = level_layers(maps[i], rgb.size, levels, TABLE_CELLS)
            layers = [picture, *marks, outline_layer(mask, rgb.size)]
            text = f"{name}: {maps[i].max() / levels.level:.1f} x level"
            panels.append(_Panel(layers, rgb.size, k * (side + GAP), top, text))
    whole = ((1 + len(methods)) * (side + GAP) - GAP, len(images) * (HEAD + side))
    axis = level_axis(next(iter(methods.values()))[1])
    return _sheet(panels, side, whole, axis, title=title, right=142)


def _sheet(
    panels: Sequence[_Panel],
    side: int,
    whole: tuple[int, int],
    axis: dict[str, object],
    *,
    title: str,
    right: int,
) -> go.Figure:
    """Panels on axes of their own in a plot of `whole` px, with a colour bar at the right."""
    figure = go.Figure()
    width, height = whole
    hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
    for number, (layers, size, left, top, heading) in enumerate(panels, 1):
        x, y = f"x{number}", f"y{number}"
        for layer in layers:
            figure.add_trace(type(layer)(layer).update(xaxis=x, yaxis=y))
        half = max(size) / 2  # the image stands in the middle of a square
        across, down = (size[0] - 1) / 2, (size[1] - 1) / 2
        x_axis = {"domain": [left / width, (left + side) / width], "anchor": y}
        y_axis = {"domain": [1 - (top + side) / height, 1 - top / height], "anchor": x}
        x_axis["range"] = [across - half, across + half]
        y_axis["range"] = [down + half, down - half]
        figure.layout[f"xaxis{number}"] = hidden | x_axis
        figure.layout[f"yaxis{number}"] = hidden | y_axis | {"scaleanchor": x}
        if heading:
            paper = {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
            at = {"x": (left + side / 2) / width, "y": 1 - (top - 2) / height}
            figure.add_annotation(text=heading, showarrow=False, font_size=12, **at, **paper)
    above = TITLE if title else 4
    figure.update_layout(
        template=TEMPLATE,
        title_text=literal(title),
        coloraxis=axis,
        width=width + right + 12,
        height=height + 16 + above,
        margin={"l": 12, "r": right, "t": above, "b": 16},
        dragmode=False,
    )
    return figure.update_layout(coloraxis_colorbar=BAR)


def _colour_axis(scale: tuple[float, float], title: str) -> dict[str, object]:
    """The scale that all maps of a figure share."""
    low, high = scale
    return {"cmin": low, "cmax": high, "colorscale": "Cividis", "colorbar": colour_bar(title)}


def _shortened(text: str, length: int) -> str:
    """A text of at most this length, its middle left out."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2 - 1]}…{text[-(length - length // 2) :]}"
