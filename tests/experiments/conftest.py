"""Detectors that only pretend, and a category of tiny images to try comparisons on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from differnet_course.experiments import running


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
    broken: ClassVar[set[tuple[str, int]]] = set()  # that raise
    error: ClassVar[type[BaseException]] = ValueError

    def __init__(self, name: str, *, seed: int, **settings: Any) -> None:
        self.name = name
        self.seed = seed

    def fit(self, images: list[Path]) -> Fake:
        Fake.fits.append((self.name, self.seed))
        if (self.name, self.seed) in Fake.broken:
            raise Fake.error("a bad day")
        return self

    def features(self, images: list[Path]) -> None:
        """Nothing to keep."""

    def anomaly_scores(self, images: list[Path]) -> np.ndarray:
        return np.random.default_rng([self.seed, *self.name.encode()]).random(len(images))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    """In the place of all detectors."""
    monkeypatch.setattr(running, "make_detector", Fake)
    monkeypatch.setattr(Fake, "fits", [])
    monkeypatch.setattr(Fake, "broken", set())
    monkeypatch.setattr(Fake, "error", ValueError)
    return Fake
