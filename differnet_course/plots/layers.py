"""The layers of a map's figure, in pixels of the image: photograph, map, outline of a mask."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from PIL import Image

from differnet_course.plots.images import jpeg_bytes, jpeg_uri
from differnet_course.plots.style import SKY
from differnet_lite.maps import MapLevels
from differnet_lite.overlay import LINE, MARKED, ramp, ramp_position

__all__ = ["heat_layer", "level_axis", "level_layers", "outline_layer", "picture_layer"]

MASK_CELLS = 112  # longest side of a mask in the figure: kilobytes, not megabytes


def picture_layer(rgb: Image.Image, longest: int, most: int) -> go.Image:
    """The image as a JPEG of about `most` bytes at most, in pixels of the original."""
    small = rgb.copy()
    small.thumbnail((longest, longest))
    for quality in (85, 70, 55, 40, 25, 15):  # textures need a lower one
        content = jpeg_bytes(small, quality)
        if len(content) <= most:
            break
    grid = _cell_grid((small.height, small.width), rgb.size)
    return go.Image(grid, source=jpeg_uri(content), hoverinfo="skip")


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
