"""The methods with a network: for each, data on which its idea must work, or must fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from differnet_course.baselines.geotrans import symmetries
from differnet_course.metrics import auroc

Arrays = list[np.ndarray]


def oriented(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """Noise under a ramp and a bright spot upper left; as a defect it lies lower right."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:32, :32]
    corner = (23, 23) if defect else (8, 8)
    clean = 60 + 2 * v + 100 * np.exp(-((v - corner[0]) ** 2 + (u - corner[1]) ** 2) / 18)
    return [
        np.clip(clean + 8 * rng.standard_normal((32, 32)), 0, 255).astype(np.uint8)
        for _ in range(n)
    ]


def stripes(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """Stripes of random phase; with the defect a bright blob somewhere on them."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:32, :32]
    images = []
    for _ in range(n):
        values = 110 + 50 * np.sin(u / 2.5 + rng.uniform(0, 6.3)) + 4 * rng.standard_normal(u.shape)
        at = rng.integers(8, 24, 2)
        values += defect * 150 * np.exp(-((v - at[0]) ** 2 + (u - at[1]) ** 2) / 12)
        images.append(np.clip(values, 0, 255).astype(np.uint8))
    return images


def measured(detector: Any, pictures: Callable[..., Arrays]) -> tuple[float, np.ndarray]:
    """AUROC and the scores of 20 normal and 20 defective pictures, after fitting 40 others."""
    test = pictures(20, seed=1) + pictures(20, seed=2, defect=True)
    scores = detector.fit(pictures(40, seed=0)).anomaly_scores(test)
    return auroc(np.arange(40) >= 20, scores), scores


def test_symmetries_are_the_eight_of_the_square() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    views = {tuple(view.flatten().tolist()) for view in symmetries(x)[0]}
    assert len(views) == 8
    assert {tuple(view.flatten().tolist()) for view in symmetries(x.mT)[0]} == views  # a group
    assert torch.equal(symmetries(x)[:, 0], x)


def test_geotrans_finds_what_is_turned(make: Callable[..., Any]) -> None:
    value, scores = measured(make("geotrans", width=8, steps=60), oriented)
    assert value > 0.95
    assert scores[:20].max() < 1 < math.log(8)  # it knows how a normal image was turned


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ganomaly", "dsebm", "autoencoder-l2"])
def test_a_bright_blob_is_found(name: str, make: Callable[..., Any]) -> None:
    assert measured(make(name, width=8, batch_size=16, steps=200), stripes)[0] > 0.9
