"""The one way to colour a map with levels, the same for every image of a model.

A photograph keeps its own colours where a place is as normal as places of normal images are. From
the value that 1 of 1,000 of those passes, a warm ramp sets in, faint at first; a line surrounds
what passes the level that a whole normal image's map reaches anywhere with probability alpha.
"""

from __future__ import annotations

import numpy as np
from plotly.colors import hex_to_rgb

from differnet_lite.maps import MapLevels

__all__ = ["LINE", "MARKED", "TOP", "level_axis", "painted", "ramp_position"]

MARKED = 0.4  # where on the ramp the level stands
TOP = 8  # times the level is the ramp's end
LINE = "#67000d"  # around what is marked
# lightness falls evenly, as in ColorBrewer's YlOrRd: told apart without red and green
STOPS = ("#ffeda0", "#fed976", "#feb24c", "#fd8d3c", "#fc4e2a", "#e31a1c", "#b10026")
OPACITY = 0.8  # from the level on; it grows from 0 to that


def ramp_position(values: np.ndarray, levels: MapLevels) -> np.ndarray:
    """Map values to [0, 1]: 0 up to `usual`, `MARKED` at the level, 1 from `TOP` levels on.

    Logarithmic between these, because maps of defects span a power of ten.
    """
    usual, level = levels.usual, levels.level
    safe = np.maximum(values, 1e-12)
    below = np.log(safe / usual) / np.log(level / usual) if level > usual else safe >= level
    above = MARKED + (1 - MARKED) * np.log(safe / level) / np.log(TOP)
    return np.where(values >= level, above, MARKED * below).clip(0, 1)


def level_axis(levels: MapLevels) -> dict[str, object]:
    """Plotly's colour axis of `ramp_position`."""
    ends = np.linspace(0, 1, 33)
    colours = zip(ends, _colour(ends).round().astype(int), _opacity(ends), strict=True)
    steps = [MARKED + (1 - MARKED) * k / 3 for k in range(4)]
    marks = [f"level: {100 * levels.alpha:.3g} % of<br>normal images", "2 x", "4 x", "8 x"]
    return {
        "cmin": 0,
        "cmax": 1,
        "colorscale": [
            [float(x), f"rgba({r}, {g}, {b}, {alpha:.3f})"] for x, (r, g, b), alpha in colours
        ],
        "colorbar": {
            "tickvals": [0, *steps],
            "ticktext": ["1 of 1,000<br>normal places", *marks],
            "thickness": 14,
            "outlinewidth": 0,
        },
    }


def painted(rgb: np.ndarray, values: np.ndarray, levels: MapLevels) -> np.ndarray:
    """A photograph (H, W, 3) uint8 with its map (H, W) over it; what is marked is outlined."""
    position = ramp_position(values, levels)
    share = _opacity(position)[..., None]
    mixed = rgb * (1 - share) + _colour(position) * share
    marked = np.pad(values >= levels.level, 1)
    inner = marked[:-2, 1:-1] & marked[2:, 1:-1] & marked[1:-1, :-2] & marked[1:-1, 2:]
    mixed[marked[1:-1, 1:-1] & ~inner] = hex_to_rgb(LINE)
    return mixed.round().astype(np.uint8)


def _colour(position: np.ndarray) -> np.ndarray:
    """(..., 3), of positions in [0, 1]."""
    stops = np.array([hex_to_rgb(stop) for stop in STOPS], float)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(position, at, stops[:, k]) for k in range(3)], -1)


def _opacity(position: np.ndarray) -> np.ndarray:
    return OPACITY * np.clip(position / MARKED, 0, 1)
