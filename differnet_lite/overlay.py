"""The anomaly map drawn over its photograph: one ramp of colours for every image of a model.

A photograph keeps its own colours where a place is as normal as places of normal images are. From
the value that 1 of 1,000 of those passes, a warm ramp sets in, faint at first. A line surrounds
what passes the level that a normal image's whole map reaches anywhere with probability alpha.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops
from scipy import ndimage

from differnet_lite.maps import MapLevels

__all__ = ["LINE", "MARKED", "TOP", "painted", "ramp", "ramp_position"]

MARKED = 0.4  # where on the ramp the level stands
TOP = 8  # times the level is the ramp's end
LINE = "#67000d"  # around what is marked
# lightness falls evenly, as in ColorBrewer's YlOrRd: told apart without red and green
STOPS = ("#ffeda0", "#fed976", "#feb24c", "#fd8d3c", "#fc4e2a", "#e31a1c", "#b10026")
OPACITY = 0.8  # from the level on; it grows from 0 to that
LINE_SIDE = 448  # px of a photograph for each px of the line's width


def ramp_position(values: np.ndarray, levels: MapLevels) -> np.ndarray:
    """Map values to [0, 1]: 0 up to `usual`, `MARKED` at the level, 1 from `TOP` levels on.

    Logarithmic between these, because maps of defects span a power of ten.
    """
    usual, level = levels.usual, levels.level
    safe = np.maximum(values, 1e-12)
    below = np.log(safe / usual) / np.log(level / usual) if level > usual else safe >= level
    above = MARKED + (1 - MARKED) * np.log(safe / level) / np.log(TOP)
    return np.where(values >= level, above, MARKED * below).clip(0, 1)


def painted(photograph: Image.Image, values: np.ndarray, levels: MapLevels) -> Image.Image:
    """An RGB photograph with a map (H, W) stretched over it; what is marked is outlined."""
    # in steps of 1/255 from here on, which spares memory; the level is step 102 exactly
    steps = np.floor(255 * ramp_position(values, levels)).astype(np.uint8)
    position = Image.fromarray(steps).resize(photograph.size, Image.Resampling.BILINEAR)
    marked = position.point([255 * (step >= 255 * MARKED) for step in range(256)])
    colours, opacities = ramp(np.linspace(0, 1, 256))
    opacity = position.point((255 * opacities).round().astype(int).tolist())
    position.putpalette(colours.astype(np.uint8).tobytes())
    drawn = Image.composite(position.convert("RGB"), photograph, opacity)
    width = max(1, round(max(photograph.size) / LINE_SIDE))
    inside = ndimage.minimum_filter(np.asarray(marked), 2 * width + 1)
    drawn.paste(LINE, mask=ImageChops.subtract(marked, Image.fromarray(inside)))
    return drawn


def ramp(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours (n, 3), 0 to 255, and opacities (n,), 0 to 1, of positions (n,) in [0, 1]."""
    stops = np.array([tuple(bytes.fromhex(stop[1:])) for stop in STOPS], float)
    knots = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(position, knots, stops[:, k]) for k in range(3)], -1)
    return colours.round(), OPACITY * np.clip(position / MARKED, 0, 1)
