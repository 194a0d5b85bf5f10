"""Anomaly maps over their images, on one scale or each on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from differnet_course.plots.layers import heat_layer, level_layers, outline_layer, picture_layer
from differnet_course.plots.ramp import level_axis
from differnet_course.plots.style import TEMPLATE, colour_axis, finite, literal, shortened
from differnet_lite.oldchecks import checked, real, whole
from differnet_lite.images import ImageLike, as_rgb
from differnet_lite.maps import MapLevels

__all__ = ["plot_gallery", "plot_map"]

MAP_CELLS, MAP_BYTES = 56, 60_000  # longest side of a map, and of a JPEG, in a figure of one
GALLERY_CELLS, GALLERY_BYTES = 48, 12_000  # the same in a gallery


@checked(opacity=real(0, 1))
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
    rgb, cells = as_rgb(image), _cells("anomaly_map", anomaly_map)
    lo, hi = _limits([cells], scale)
    width, height = rgb.size
    figure = go.Figure(picture_layer(rgb, 448, MAP_BYTES))
    if levels is None:
        figure.add_trace(heat_layer(cells, rgb.size, (lo, hi), opacity, MAP_CELLS))
        own = " (own scale)" if scale is None else ""
        axis = colour_axis(lo, hi, f"map value{own}, no unit")
    else:
        figure.add_traces(level_layers(cells, rgb.size, levels, MAP_CELLS))
        axis = level_axis(levels)
    figure.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain")
    figure.update_yaxes(
        visible=False, range=[height - 0.5, -0.5], constrain="domain", scaleanchor="x"
    )
    longest, top = max(rgb.size), 44 if title else 16
    return figure.update_layout(
        template=TEMPLATE,
        title_text=literal(title),
        coloraxis=axis,
        margin={"l": 16, "r": 134 if levels else 84, "t": top, "b": 16},
        width=(150 if levels else 100) + round(400 * width / longest),
        height=16 + top + max(200, round(400 * height / longest)),
    )


@checked(columns=whole(1), opacity=real(0, 1))
def plot_gallery(
    images: Sequence[ImageLike],
    maps: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    levels: MapLevels | None = None,
    scale: tuple[float, float] | None = None,
    columns: int = 4,
    masks: Sequence[ArrayLike | None] | None = None,
    opacity: float = 0.45,
    bar: str = "map value, one scale for all, no unit",
) -> go.Figure:
    r"""Images, and below each the same image with its anomaly map, all on ONE scale.

    Args:
        images: N images, (H, W, 3) uint8 or Pillow images, shown at 224 px at most.
        maps: N anomaly maps, 2-D.
        titles: N titles; "\n" starts a second line.
        levels: as in `plot_map`.
        scale: without levels, (lo, hi) of the colours; None takes the range of all maps together.
        columns: pairs in a row.
        masks: N boolean masks (H, W) of defects, or None where there is none; drawn as an outline.
        opacity: of maps without levels, from 0 to 1.
        bar: what the colour bar says of maps without levels.

    Raises:
        ValueError: the numbers of images, maps, titles and masks differ, or an array has the wrong
            shape.
    """
    masks = [None] * len(images) if masks is None else masks
    counts = [len(images), len(maps), len(titles), len(masks)]
    if len(set(counts)) > 1 or not len(images) or columns < 1:
        raise ValueError(
            "expected as many images as maps, titles and masks, at least one, and columns >= 1; "
            f"got {counts} and {columns}"
        )
    cells = [_cells(f"maps[{i}]", values) for i, values in enumerate(maps)]
    lo, hi = _limits(cells, scale)
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    cell, gap, head = 168, 10, 42  # px: side of an image, space between images, room for a title
    plot_width = columns * (cell + gap) - gap
    plot_height = rows * (head + 2 * cell + gap)

    figure = go.Figure()
    for i, (image, values, title, mask) in enumerate(
        zip(images, cells, titles, masks, strict=True)
    ):
        rgb = as_rgb(image)
        left = (i % columns) * (cell + gap)
        top = (i // columns) * (head + 2 * cell + gap) + head
        picture, half = picture_layer(rgb, 224, GALLERY_BYTES), max(rgb.size) / 2
        middle = ((rgb.width - 1) / 2, (rgb.height - 1) / 2)
        for number, offset in ((2 * i + 1, 0), (2 * i + 2, cell + 4)):
            x, y = f"x{number}", f"y{number}"
            figure.add_trace(go.Image(picture).update(xaxis=x, yaxis=y))
            if offset:
                layers = (
                    (heat_layer(values, rgb.size, (lo, hi), opacity, GALLERY_CELLS),)
                    if levels is None
                    else level_layers(values, rgb.size, levels, GALLERY_CELLS)
                )
                figure.add_traces([layer.update(xaxis=x, yaxis=y) for layer in layers])
                if mask is not None:  # not on the plain image: there one sees the defect itself
                    figure.add_trace(
                        outline_layer(f"masks[{i}]", mask, rgb.size).update(xaxis=x, yaxis=y)
                    )
            hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
            domain_x = [left / plot_width, (left + cell) / plot_width]
            domain_y = [1 - (top + offset + cell) / plot_height, 1 - (top + offset) / plot_height]
            figure.layout[f"xaxis{number}"] = hidden | {
                "domain": domain_x,
                "anchor": y,
                "range": [middle[0] - half, middle[0] + half],
            }
            figure.layout[f"yaxis{number}"] = hidden | {
                "domain": domain_y,
                "anchor": x,
                "range": [middle[1] + half, middle[1] - half],
                "scaleanchor": x,
            }
        lines = [literal(shortened(line, 26)) for line in str(title).split("\n")[:2]]
        figure.add_annotation(
            text="<br>".join(lines),
            x=(left + cell / 2) / plot_width,
            y=1 - (top - 2) / plot_height,
            xref="paper",
            yref="paper",
            xanchor="center",
            yanchor="bottom",
            showarrow=False,
            font_size=12,
        )
    return figure.update_layout(
        template=TEMPLATE,
        coloraxis=colour_axis(lo, hi, bar) if levels is None else level_axis(levels),
        width=plot_width + (104 if levels is None else 154),
        height=plot_height + 20,
        margin={"l": 12, "r": 92 if levels is None else 142, "t": 4, "b": 16},
        dragmode=False,
    )


def _cells(name: str, values: ArrayLike) -> np.ndarray:
    cells = np.asarray(values, dtype=float)
    if cells.ndim != 2 or not cells.size:
        raise ValueError(f"{name}: expected an anomaly map (H, W), got shape {cells.shape}")
    return finite(name, cells)


def _limits(maps: Sequence[np.ndarray], scale: tuple[float, float] | None) -> tuple[float, float]:
    if scale is None:
        lo, hi = float(min(m.min() for m in maps)), float(max(m.max() for m in maps))
        # a constant map has no range of its own
        return (lo, hi) if lo < hi else (lo, lo + (abs(lo) or 1.0))
    lo, hi = float(scale[0]), float(scale[1])
    if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise ValueError(f"scale: expected (lo, hi) with lo < hi, got ({lo}, {hi})")
    return lo, hi
