"""Where in the image a score comes from."""

from __future__ import annotations

from differnet_lite.localization.distance import PlaceStatistics, place_statistics
from differnet_lite.localization.levels import MapLevels
from differnet_lite.localization.maps import BLURS, METHODS, Localizer
from differnet_lite.localization.reference import evenly, reference_maps

__all__ = [
    "BLURS",
    "METHODS",
    "Localizer",
    "MapLevels",
    "PlaceStatistics",
    "evenly",
    "place_statistics",
    "reference_maps",
]
