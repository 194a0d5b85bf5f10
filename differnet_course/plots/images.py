"""Photographs and maps of a trunk, side by side; and the layers of an anomaly map's figure.

Photographs are JPEGs of some kilobytes. Layers are in pixels of the image.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image
from plotly.subplots import make_subplots

from differnet_course.plots.style import SKY, TEMPLATE
from differnet_lite.images import ImageLike, as_rgb
from differnet_lite.maps import MapLevels
from differnet_lite.overlay import LINE, MARKED, ramp, ramp_position

MASK_CELLS = 112  # longest side of a mask in the figure: kilobytes, not megabytes


def jpeg(image: ImageLike, side: int = 224, quality: int = 70) -> str:
    """An image, squeezed to a square, as the data URI of a JPEG: some kilobytes."""
    return jpeg_uri(as_rgb(image).resize((side, side), Image.Resampling.BOX), quality)


def jpeg_uri(picture: Image.Image, quality: int) -> str:
    """A JPEG as a data URI, for a figure or a page that needs no other file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def plot_images(
    images: Mapping[str, ImageLike], *, side: int = 224, columns: int = 6, title: str = ""
) -> go.Figure:
    """Photographs side by side, each under its name.

    They become squares of `side` px. "<br>" in a name starts another line.
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


def picture_layer(rgb: Image.Image, longest: int, most: int) -> go.Image:
    """The image as a JPEG of about `most` bytes at most, in pixels of the original."""
    small = rgb.copy()
    small.thumbnail((longest, longest))
    for quality in (85, 70, 55, 40, 25, 15):  # textures need a lower one
        source = jpeg_uri(small, quality)
        if len(source) <= most * 4 / 3:  # base64
            break
    grid = _cell_grid((small.height, small.width), rgb.size)
    return go.Image(grid, source=source, hoverinfo="skip")


def heat_layer(
    values: ArrayLike,
    size: tuple[int, int],
    scale: tuple[float, float],
    opacity: float,
    longest: int,
) -> go.Heatmap:
    """A map over an image of this size (width, height), rounded to a thousandth of the scale."""
    cells = _means(np.asarray(values, dtype=float), longest)
    decimals = 3 - math.floor(math.log10(scale[1] - scale[0]))
    return go.Heatmap(
        _cell_grid(cells.shape, size),
        z=np.float32(cells.round(decimals)),
        zsmooth="best",
        opacity=opacity,
        coloraxis="coloraxis",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<br>map %{z:.4g}<extra></extra>",
    )


def level_layers(
    values: ArrayLike, size: tuple[int, int], levels: MapLevels, longest: int
) -> tuple[go.Heatmap, go.Contour]:
    """A map by `ramp_position`, and the line around what reaches the level.

    A cell shows the largest value in it, so that nothing is marked or spared by being averaged.
    """
    whole = torch.from_numpy(np.asarray(values, dtype=np.float32))
    cells = F.adaptive_max_pool2d(whole[None], _cell_count(whole.shape, longest))[0].numpy()
    z = np.float32(ramp_position(cells, levels).round(3))
    grid = _cell_grid(z.shape, size)
    heat = go.Heatmap(grid, z=z, zsmooth="best", coloraxis="coloraxis", hoverinfo="skip")
    return heat, _line_at(MARKED, z, grid, {"color": LINE, "width": 1.5})


def level_axis(levels: MapLevels) -> dict[str, object]:
    """The colour axis of `ramp_position`, as plain numbers and texts."""
    ends = np.linspace(0, 1, 33)
    colours, opacities = ramp(ends)
    steps = [MARKED + (1 - MARKED) * k / 3 for k in range(4)]
    marks = [f"level: {100 * levels.alpha:.3g} % of<br>normal images", "2 x", "4 x", "8 x"]
    bar = {
        "tickvals": [0, *steps],
        "ticktext": ["1 of 1,000<br>normal places", *marks],
        "thickness": 14,
        "outlinewidth": 0,
    }
    colorscale = [
        [float(x), f"rgba({r:.0f}, {g:.0f}, {b:.0f}, {alpha:.3f})"]
        for x, (r, g, b), alpha in zip(ends, colours, opacities, strict=True)
    ]
    return {"cmin": 0, "cmax": 1, "colorscale": colorscale, "colorbar": bar}


def outline_layer(mask: np.ndarray, size: tuple[int, int]) -> go.Contour:
    """A line around the defects of a mask (H, W)."""
    # the rim closes outlines at the image's edge
    cells = np.pad(_means((mask != 0) * 100.0, MASK_CELLS), 1)
    grid = _cell_grid((cells.shape[0] - 2, cells.shape[1] - 2), size)
    rows, columns = np.nonzero(cells)
    top, left = min(rows, default=1), min(columns, default=1)
    bottom, right = max(rows, default=1), max(columns, default=1)
    grid["x0"] += (left - 2) * grid["dx"]
    grid["y0"] += (top - 2) * grid["dy"]
    z = np.uint8(cells[top - 1 : bottom + 2, left - 1 : right + 2])
    return _line_at(40, z, grid, {"color": SKY, "width": 2})


def _line_at(
    level: float, z: ArrayLike, grid: dict[str, float], line: dict[str, object]
) -> go.Contour:
    """The line around the cells that reach the level."""
    contours = {"coloring": "none", "start": level, "end": level, "size": 1}
    quiet = {"showscale": False, "showlegend": False, "hoverinfo": "skip"}
    return go.Contour(grid | quiet, z=z, autocontour=False, contours=contours, line=line)


def _cell_grid(shape: tuple[int, ...], size: tuple[int, int]) -> dict[str, float]:
    """Centre of the first cell and cell sizes, px: (rows, columns) cells cover the image."""
    dx = size[0] / shape[1]
    dy = size[1] / shape[0]
    return {"x0": dx / 2 - 0.5, "dx": dx, "y0": dy / 2 - 0.5, "dy": dy}


def _cell_count(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Rows and columns that a map is reduced to: at most `longest` on the longer side."""
    shrink = min(1.0, longest / max(shape))
    return max(1, round(shrink * shape[0])), max(1, round(shrink * shape[1]))


def _means(values: np.ndarray, longest: int) -> np.ndarray:
    """Means over boxes, so that the longer side has at most this many cells."""
    height, width = _cell_count(values.shape, longest)
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=float)
