"""What the localization explorer draws of a map and says of it, with a level or on a scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from differnet_course.plots.ramp import level_axis, ramp_position
from differnet_course.plots.style import colour_axis
from differnet_course.widgets.model_maps import WORK
from differnet_lite.maps import MapLevels

__all__ = ["levelled", "outline", "scaled"]

Drawn = tuple[Any, dict[str, object], str]  # values, colour axis, words


def scaled(values: np.ndarray, top: float | None) -> Drawn:
    """A map on the scale from 0 to `top`, or on its own if that is None."""
    low, high = float(values.min()), float(values.max())
    scale = (low, high if high > low else low + 1.0) if top is None else (0.0, top)
    share = 100 * float((values > sum(scale) / 2).mean())
    own = "this image's own scale" if top is None else "one scale for all images"
    shown = np.float32(values.round(3 - int(np.floor(np.log10(scale[1] - scale[0])))))
    axis = colour_axis(*scale, f"map value, {own}, no unit")
    return shown, axis, f"{share:.0f} % of the image is above half the scale"


def levelled(values: np.ndarray, levels: MapLevels) -> Drawn:
    """A map with its level, as `plots.plot_map` draws it."""
    share = 100 * float((values >= levels.level).mean())
    said = (
        f"{share:.1f} % of the image reaches the level {levels.level:.3g}, which "
        f"{100 * levels.alpha:.3g} % of normal images reach anywhere"
    )
    return np.float32(ramp_position(values, levels)), level_axis(levels), said


def outline(mask: ArrayLike) -> np.ndarray:
    """A mask as the share of each cell that it covers, (WORK, WORK) uint8 percent.

    The rim is 0, so that outlines close.
    """
    values = np.asarray(mask)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"masks: expected masks (H, W) or None, got shape {values.shape}")
    picture = Image.fromarray((values != 0).astype(np.float32) * 100)
    cells = np.asarray(picture.resize((WORK, WORK), Image.Resampling.BOX)).astype(np.uint8).copy()
    cells[[0, -1]] = cells[:, [0, -1]] = 0
    return cells
