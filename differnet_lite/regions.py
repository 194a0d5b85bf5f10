"""Where a defect is, in the pixels and the shape of the photograph itself."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

__all__ = ["Region", "regions_of"]


@dataclasses.dataclass(frozen=True)
class Region:
    """A connected part of a photograph that lies above the level; lengths are in pixels."""

    box: tuple[int, int, int, int]  # left, top, width and height
    area: int
    peak: tuple[int, int]  # x and y of the highest value
    excess: float  # the highest value, in levels: above 1


def regions_of(anomaly_map: np.ndarray, level: float, size: tuple[int, int]) -> list[Region]:
    """The regions of a map at a level or above, the highest first.

    Args:
        anomaly_map: (h, w), over the whole photograph.
        level: see `DifferNet.map_levels`.
        size: width and height of the photograph, pixels.

    Example:
        >>> drawn = np.zeros((4, 4), np.float32)
        >>> drawn[1, 2] = 3
        >>> regions_of(drawn, 1.5, (400, 800))
        [Region(box=(200, 200, 100, 200), area=20000, peak=(250, 300), excess=2.0)]
    """
    labels, _ = ndimage.label(anomaly_map >= level, structure=np.ones((3, 3)))
    height, width = anomaly_map.shape
    across = size[0] / width
    down = size[1] / height
    regions = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[rows, columns] == number
        values = np.where(inside, anomaly_map[rows, columns], -np.inf)
        row, column = np.unravel_index(values.argmax(), values.shape)
        left = round(columns.start * across)
        top = round(rows.start * down)
        box = (left, top, round(columns.stop * across) - left, round(rows.stop * down) - top)
        x = int((columns.start + column + 0.5) * across)
        y = int((rows.start + row + 0.5) * down)
        area = round(float(inside.sum() * across * down))
        regions.append(Region(box, area, (x, y), float(values.max() / level)))
    return sorted(regions, key=lambda region: -region.excess)
