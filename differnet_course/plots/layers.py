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
from differnet_course.plots.ramp import LINE, MARKED, ramp_position
from differnet_course.plots.style import SKY
from differnet_lite.maps import MapLevels

__all__ = ["heat_layer", "level_layers", "outline_layer", "picture_layer"]

MASK_CELLS = 112  # longest side of a mask in the figure: kilobytes, not megabytes


def picture_layer(rgb: Image.Image, longest: int, most: int) -> go.Image:
    """The image as a JPEG of about `most` bytes at most, in pixels of the original."""
    small = rgb.copy()
    small.thumbnail((longest, longest))
    for quality in (85, 70, 55, 40, 25, 15):  # textures need a lower one
        content = jpeg_bytes(small, quality)
        if len(content) <= most:
            break
    return go.Image(
        source=jpeg_uri(content), **_placed((small.height, small.width), rgb.size), hoverinfo="skip"
    )


def heat_layer(
    values: np.ndarray,
    size: tuple[int, int],
    scale: tuple[float, float],
    opacity: float,
    longest: int,
) -> go.Heatmap:
    """A map over an image of this size (width, height), rounded to a thousandth of the scale."""
    cells = _reduced(values, longest)
    decimals = 3 - math.floor(math.log10(scale[1] - scale[0]))
    return go.Heatmap(
        z=np.float32(cells.round(decimals)),
        **_placed(cells.shape, size),
        zsmooth="best",
        opacity=opacity,
        coloraxis="coloraxis",
        hovertemplate="x %{x:.0f} px, y %{y:.0f} px<br>map %{z:.4g}<extra></extra>",
    )


def level_layers(
    values: np.ndarray, size: tuple[int, int], levels: MapLevels, longest: int
) -> tuple[go.Heatmap, go.Contour]:
    """A map by `ramp_position`, and the line around what reaches the level.

    A cell shows the largest value in it, so that nothing is marked or spared by being averaged.
    """
    z = np.float32(ramp_position(_highest(values, longest), levels).round(3))
    shared = _placed(z.shape, size) | {"hoverinfo": "skip"}
    heat = go.Heatmap(z=z, **shared, zsmooth="best", coloraxis="coloraxis")
    line = go.Contour(
        z=z,
        **shared,
        showscale=False,
        showlegend=False,
        autocontour=False,
        contours={"coloring": "none", "start": MARKED, "end": MARKED, "size": 1},
        line={"color": LINE, "width": 1.5},
    )
    return heat, line


def outline_layer(name: str, mask: ArrayLike, size: tuple[int, int]) -> go.Contour:
    """A line around the defects of a mask (H, W); `name` stands in the error of a wrong shape."""
    values = np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"{name}: expected a mask (H, W), got shape {values.shape}")
    # the rim closes outlines at the image's edge
    cells = np.pad(_reduced((values != 0) * 100.0, MASK_CELLS), 1)
    inside = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    top, bottom, left, right = (
        (inside[0][0], inside[0][-1], inside[1][0], inside[1][-1])
        if len(inside[0])
        else (1, 1, 1, 1)
    )
    place = _placed((cells.shape[0] - 2, cells.shape[1] - 2), size)
    place["x0"] += (left - 2) * place["dx"]
    place["y0"] += (top - 2) * place["dy"]
    return go.Contour(
        z=np.uint8(cells[top - 1 : bottom + 2, left - 1 : right + 2]),
        **place,
        showscale=False,
        hoverinfo="skip",
        showlegend=False,
        autocontour=False,
        contours={"coloring": "none", "start": 40, "end": 40, "size": 1},
        line={"color": SKY, "width": 2},
    )


def _placed(shape: tuple[int, ...], size: tuple[int, int]) -> dict[str, float]:
    """Centre of the first cell and cell sizes, px: (rows, columns) cells cover the image."""
    dx, dy = size[0] / shape[1], size[1] / shape[0]
    return {"x0": dx / 2 - 0.5, "dx": dx, "y0": dy / 2 - 0.5, "dy": dy}


def _highest(values: np.ndarray, longest: int) -> np.ndarray:
    """Maxima over boxes, so that the longer side has at most this many cells."""
    shrink = min(1.0, longest / max(values.shape))
    height, width = (max(1, round(side * shrink)) for side in values.shape)
    whole = torch.from_numpy(np.float32(values))[None]
    return F.adaptive_max_pool2d(whole, (height, width))[0].numpy()


def _reduced(values: np.ndarray, longest: int) -> np.ndarray:
    """Means over boxes, so that the longer side has at most this many cells."""
    shrink = min(1.0, longest / max(values.shape))
    if shrink == 1:
        return values
    height, width = (max(1, round(side * shrink)) for side in values.shape)
    return np.asarray(
        Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BOX),
        dtype=float,
    )
