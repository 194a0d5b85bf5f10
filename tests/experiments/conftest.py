"""Detectors that only pretend, and a category of tiny images to try comparisons on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category of tiny images: 6 to train on, 3 normal and 2 x 2 anomalous ones to test on."""
    root = tmp_path_factory.mktemp("tiny") / "bottle"
    for kind, n in (("train/good", 6), ("test/good", 3), ("test/dent", 2), ("test/hole", 2)):
        (root / kind).mkdir(parents=True)
        for i in range(n):
            pixels = np.full((8, 8), 10 * i + len(kind), np.uint8)
            Image.fromarray(pixels).save(root / kind / f"{i}.png")
    return root


class Fake:
    """Scores by chance and seed; `fits` holds the fits of this process."""

    fits: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, name: str, *, seed: int, **settings: Any) -> None:
        self.name = name
        self.seed = seed
        self.settings = settings

    def fit(self, images: list[Path]) -> Fake:
        Fake.fits.append((self.name, self.seed))
        time.sleep(self.settings.get("seconds", 0))
        if self.name == "breaks":
            raise ValueError("a bad day")
        if self.name == "interrupts" and self.seed == 1 and Fake.fits.count((self.name, 1)) == 1:
            raise KeyboardInterrupt
        return self

    def features(self, images: list[Path]) -> None:
        """Nothing to keep."""

    def anomaly_scores(self, images: list[Path]) -> np.ndarray:
        return np.random.default_rng([self.seed, *self.name.encode()]).random(len(images))


@pytest.fixture(autouse=True)
def _no_fits() -> None:
    Fake.fits.clear()
