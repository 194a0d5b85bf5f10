"""The views of an image: which are taken, and how they are made."""

from __future__ import annotations

from differnet_lite.transforms.resampling import (
    iter_resampled,
    iter_views,
    jitter,
    rotate,
    turn_back,
)
from differnet_lite.transforms.views import Fill, Transformations, View

__all__ = [
    "Fill",
    "Transformations",
    "View",
    "iter_resampled",
    "iter_views",
    "jitter",
    "rotate",
    "turn_back",
]
