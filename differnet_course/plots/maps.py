"""Anomaly maps over their images, on one scale or each on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.layers import (
    heat_layer,
    level_axis,
    level_layers,
    outline_layer,
    picture_layer,
)
from differnet_course.plots.style import TEMPLATE, colour_axis, literal, shortened
from differnet_lite.checks import finite
from differnet_lite.images import ImageLike, as_rgb
from differnet_lite.maps import MapLevels

__all__ = ["plot_gallery", "plot_map", "plot_methods"]

MAP_CELLS, MAP_BYTES = 56, 60_000  # longest side of a map, and of a JPEG, in a figure of one
GALLERY_CELLS, GALLERY_BYTES = 48, 12_000  # the same in a gallery
TABLE_CELLS, TABLE_BYTES = 36, 6_000  # the same in a table of methods
GAP, HEAD, TITLE = 10, 42, 36  # px: between images; room for an image's title, for the figure's
BAR = {"lenmode": "pixels", "len": 330, "y": 1, "yanchor": "top", "thickness": 10}


def plot_map(
    image: ImageLike,
    anomaly_map: ArrayLike,
    *,
    levels: MapLevels | None = None,
    scale: tuple[float, float] | None = None,
    title: str = "",
    opacity: float = 0.45,
) -> go.Figure:
    """An anomaly map laid over its image.

    Args:
        image: (H, W, 3) uint8 or a Pillow image, shown at 448 px at most.
        anomaly_map: 2-D, of any size; it covers the whole image, as the model squeezes any image
            to its square input. Shown in at most 56 x 56 cells.
        levels: of the model, `model.map_levels(alpha)`: colour where few normal places reach, a
            line around what is marked. The one to take for "distance" maps.
        scale: without levels, (lo, hi) of the colours; None takes this map's own range, in which
            every map looks hot. The hover text reads the map's value.
        title: of the figure.
        opacity: of a map without levels, from 0 to 1.

    Raises:
        ValueError: the map is not 2-D or not finite, or lo < hi does not hold.
    """
    rgb = as_rgb(image)
    cells = _cells("anomaly_map", anomaly_map)
    width, height = rgb.size
    figure = go.Figure(picture_layer(rgb, 448, MAP_BYTES))
    if levels is None:
        limits = _limits([cells], scale)
        figure.add_trace(heat_layer(cells, rgb.size, limits, opacity, MAP_CELLS))
        whose = " (own scale)" if scale is None else ""
        axis = colour_axis(*limits, f"map value{whose}, no unit")
    else:
        figure.add_traces(level_layers(cells, rgb.size, levels, MAP_CELLS))
        axis = level_axis(levels)
    hidden = {"visible": False, "constrain": "domain"}
    figure.update_xaxes(hidden, range=[-0.5, width - 0.5])
    figure.update_yaxes(hidden, range=[height - 0.5, -0.5], scaleanchor="x")
    longest = max(rgb.size)
    top = 44 if title else 16
    return figure.update_layout(
        template=TEMPLATE,
        title_text=literal(title),
        coloraxis=axis,
        margin={"l": 16, "r": 134 if levels else 84, "t": top, "b": 16},
        width=(150 if levels else 100) + round(400 * width / longest),
        height=16 + top + max(200, round(400 * height / longest)),
    )


def plot_gallery(
    images: Sequence[ImageLike],
    maps: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    levels: MapLevels | None = None,
    scale: tuple[float, float] | None = None,
    columns: int = 4,
    masks: Sequence[np.ndarray | None] | None = None,
    opacity: float = 0.45,
    bar: str = "map value, one scale for all, no unit",
    title: str = "",
    side: int = 168,
) -> go.Figure:
    r"""Images, and below each the same image with its anomaly map, all on ONE scale.

    Args:
        images: N images, (H, W, 3) uint8 or Pillow images.
        maps: N anomaly maps, 2-D.
        titles: N titles; "\n" starts a second line.
        levels: as in `plot_map`.
        scale: without levels, (lo, hi) of the colours; None takes the range of all maps together.
        columns: pairs in a row.
        masks: N boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        opacity: of maps without levels, from 0 to 1.
        bar: what the colour bar says of maps without levels.
        title: of the figure.
        side: of each image, px.

    Raises:
        ValueError: the numbers of images, maps, titles and masks differ, or a map has the wrong
            shape.
    """
    cells = [_cells(f"maps[{i}]", values) for i, values in enumerate(maps)]
    limits = _limits(cells, scale)
    columns = min(columns, len(images))
    width = columns * (side + GAP) - GAP
    height = math.ceil(len(images) / columns) * (HEAD + 2 * side + GAP)
    pixels = max(224, side)
    most = round(GALLERY_BYTES * (pixels / 224) ** 2)
    outlines = masks or [None] * len(images)
    figure = go.Figure()
    for i, (image, values, words, mask) in enumerate(
        zip(images, cells, titles, outlines, strict=True)
    ):
        rgb = as_rgb(image)
        left = (i % columns) * (side + GAP)
        top = (i // columns) * (HEAD + 2 * side + GAP) + HEAD
        picture = picture_layer(rgb, pixels, most)
        if levels is None:
            layers = [picture, heat_layer(values, rgb.size, limits, opacity, GALLERY_CELLS)]
        else:
            layers = [picture, *level_layers(values, rgb.size, levels, GALLERY_CELLS)]
        if mask is not None:  # not on the plain image: there one sees the defect itself
            layers.append(outline_layer(mask, rgb.size))
        whole = (width, height)
        _add_panel(figure, 2 * i + 1, [picture], rgb.size, _domains(left, top, side, whole))
        below = _domains(left, top + side + 4, side, whole)
        _add_panel(figure, 2 * i + 2, layers, rgb.size, below)
        longest = round(26 * side / 168)
        lines = [literal(shortened(line, longest)) for line in str(words).split("\n")[:2]]
        _add_heading(figure, "<br>".join(lines), left + side / 2, top, whole)
    axis = colour_axis(*limits, bar) if levels is None else level_axis(levels)
    return _finished(figure, title, axis, (width, height), right=92 if levels is None else 142)


def plot_methods(
    images: Sequence[ImageLike],
    methods: Mapping[str, tuple[Sequence[ArrayLike], MapLevels]],
    *,
    titles: Sequence[str],
    masks: Sequence[np.ndarray],
    title: str = "",
    side: int = 180,
) -> go.Figure:
    """A row for each of N images: the photograph, and its map by each method over it.

    Args:
        images: N images, (H, W, 3) uint8 or Pillow images.
        methods: name to N maps and what these are compared with.
        titles: N titles, for the photographs.
        masks: N boolean masks (H, W) of defects; drawn as an outline over the maps.
        title: of the figure.
        side: of each image, px.
    """
    row_height = HEAD + side
    width = (1 + len(methods)) * (side + GAP) - GAP
    height = len(images) * row_height
    figure = go.Figure()
    whole = (width, height)
    for i, (image, words, mask) in enumerate(zip(images, titles, masks, strict=True)):
        rgb = as_rgb(image)
        picture = picture_layer(rgb, side, TABLE_BYTES)
        panels: list[tuple[str, list[go.Image | go.Heatmap | go.Contour]]] = [(words, [picture])]
        for name, (maps, levels) in methods.items():
            cells = _cells(name, maps[i])
            heat, line = level_layers(cells, rgb.size, levels, TABLE_CELLS)
            text = f"{name}: {cells.max() / levels.level:.1f} x level"
            panels.append((text, [picture, heat, line, outline_layer(mask, rgb.size)]))
        for k, (text, layers) in enumerate(panels):
            left, top = k * (side + GAP), i * row_height + HEAD
            domains = _domains(left, top, side, whole)
            _add_panel(figure, i * len(panels) + k + 1, layers, rgb.size, domains)
            _add_heading(figure, literal(text), left + side / 2, top, whole)
    axis = level_axis(next(iter(methods.values()))[1])
    return _finished(figure, title, axis, whole, right=142)


def _domains(
    left: float, top: float, side: float, whole: tuple[float, float]
) -> tuple[list[float], list[float]]:
    """Shares of a figure's plot, `whole` px wide and high, that a square of `side` px covers."""
    width, height = whole
    across = [left / width, (left + side) / width]
    return across, [1 - (top + side) / height, 1 - top / height]


def _add_heading(
    figure: go.Figure, text: str, middle: float, top: float, whole: tuple[float, float]
) -> None:
    """Words above an image whose middle and top are given in px."""
    width, height = whole
    paper = {"xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    at = {"x": middle / width, "y": 1 - (top - 2) / height}
    figure.add_annotation(text=text, showarrow=False, font_size=12, **at, **paper)


def _finished(
    figure: go.Figure,
    title: str,
    axis: dict[str, object],
    whole: tuple[int, int],
    *,
    right: int,
) -> go.Figure:
    """The layout around panels of `whole` px, with room for the colour bar at the right."""
    width, height = whole
    top = TITLE if title else 4
    figure.update_layout(
        template=TEMPLATE,
        title_text=literal(title),
        coloraxis=axis,
        width=width + right + 12,
        height=height + 16 + top,
        margin={"l": 12, "r": right, "t": top, "b": 16},
        dragmode=False,
    )
    return figure.update_layout(coloraxis_colorbar=BAR)


def _add_panel(
    figure: go.Figure,
    number: int,
    layers: Sequence[go.Image | go.Heatmap | go.Contour],
    size: tuple[int, int],
    domains: tuple[list[float], list[float]],
) -> None:
    """Layers over each other on axes of their own; the image, of this size, in the middle."""
    x, y = f"x{number}", f"y{number}"
    for layer in layers:
        figure.add_trace(type(layer)(layer).update(xaxis=x, yaxis=y))
    half = max(size) / 2
    across, down = (size[0] - 1) / 2, (size[1] - 1) / 2
    hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
    x_axis = {"domain": domains[0], "anchor": y, "range": [across - half, across + half]}
    y_axis = {"domain": domains[1], "anchor": x, "range": [down + half, down - half]}
    figure.layout[f"xaxis{number}"] = hidden | x_axis
    figure.layout[f"yaxis{number}"] = hidden | y_axis | {"scaleanchor": x}


def _cells(name: str, values: ArrayLike) -> np.ndarray:
    cells = np.asarray(values, dtype=float)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(f"{name}: expected an anomaly map (H, W), got shape {cells.shape}")
    return finite(name, cells)


def _limits(maps: Sequence[np.ndarray], scale: tuple[float, float] | None) -> tuple[float, float]:
    if scale is None:
        lo = float(min(m.min() for m in maps))
        hi = float(max(m.max() for m in maps))
        # a constant map has no range of its own
        return (lo, hi) if lo < hi else (lo, lo + (abs(lo) or 1.0))
    lo, hi = float(scale[0]), float(scale[1])
    if not -math.inf < lo < hi < math.inf:
        raise ValueError(f"scale: expected (lo, hi) with lo < hi, got ({lo}, {hi})")
    return lo, hi
