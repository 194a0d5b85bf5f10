"""Small, fast detectors of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from differnet_course.baselines import make_detector
from differnet_lite.transforms import Transformations

ON_FEATURES = ("ocsvm", "1-nn", "mahalanobis")
FEATURES = {
    "transformations": Transformations.grid(4),
    "size": 64,
    "n_scales": 1,
    "dtype": "float32",
}
PATCHES = {"size": 64, "n_patches": 8, "n_candidates": 40}
NETWORK = {"size": 32, "steps": 3, "width": 4, "batch_size": 4}


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    """Makes a small, fast detector: make(name, **settings)."""

    def made(name: str, **settings: Any) -> Any:
        small = FEATURES if name in ON_FEATURES else PATCHES if name == "patchcore" else NETWORK
        return make_detector(name, device="cpu", progress=False, **{**small, **settings})

    return made
