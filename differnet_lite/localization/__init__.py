"""Where in the image a score comes from."""

from __future__ import annotations

from differnet_lite.localization.maps import BLURS, METHODS, Localizer
from differnet_lite.localization.reference import evenly, reference_maps

__all__ = ["BLURS", "METHODS", "Localizer", "evenly", "reference_maps"]
