"""Features of many images of a built-in category: fresh normal ones, and its test set.

Rendered images cost nothing but time, so a false-alarm rate can be measured on thousands of normal
images that no detector and no threshold has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from torch import Tensor

from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category, render
from differnet_lite.folders import load_category
from differnet_lite.model import DifferNet

__all__ = ["FreshNormals", "Pool", "feature_pool"]

STREAM = 2026  # tells these images from those of `make_sample_category`, whatever the seed


class FreshNormals(Sequence[np.ndarray]):
    """Normal images number 0 to n - 1 of a built-in category, rendered when they are asked for.

    Args:
        category: one of `SAMPLE_CATEGORIES`.
        n: how many; image k is the same whatever n is.
        seed: of them all.

    Example:
        >>> FreshNormals("flange", 2)[1].shape
        (448, 448)
    """

    def __init__(self, category: str, n: int, *, seed: int = 0) -> None:
        self.category, self.n, self.seed = category, n, seed

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, k: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, k: slice) -> list[np.ndarray]: ...
    def __getitem__(self, k: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(self.n))]
        if not 0 <= k < self.n:
            raise IndexError(f"expected 0 to {self.n - 1}, got {k}")
        source = np.random.SeedSequence(self.seed, spawn_key=(STREAM, k))
        return render(self.category, np.random.default_rng(source))[0]


class Pool(NamedTuple):
    """Features of every view, float32: fresh normal images (N, T, D) and test images (M, T, D).

    `anomalous` says which of the test images have a defect, (M,) bool.
    """

    normals: Tensor
    test: Tensor
    anomalous: np.ndarray


def feature_pool(category: str, n_normals: int, *, seed: int = 0, **common: Any) -> Pool:
    """Extract the features of a category, or take them from the cache.

    Args:
        category: a built-in one, whose folder is made where it is missing; or a folder in the MVTec
            layout, whose training images are then the normal ones.
        n_normals: number of fresh normal images of a built-in category.
        seed: of these.
        **common: `cache`, `device`, `progress` and settings of `DifferNet`.
    """
    model, built_in = DifferNet(**common), category in SAMPLE_CATEGORIES
    folder = make_sample_category(category, progress=model.progress) if built_in else category
    known = load_category(folder)
    images = FreshNormals(category, n_normals, seed=seed) if built_in else known.train
    angles, label = model.scoring_angles(), f"normals of {Path(folder).name}"
    normals = model.feature_cache.features(images, angles, description=label)
    test = model.features(known.test, description="test images")
    return Pool(normals, test, np.asarray(known.labels, dtype=bool))
