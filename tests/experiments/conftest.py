"""Detectors that only pretend, and a category of tiny images to try grids on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from differnet_course.experiments import Grid, run

VOLATILE = ["fit_s", "score_s", "when", "threads"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category of tiny images: 6 to train on, 3 normal and 2 x 2 anomalous ones to test on."""
    root = tmp_path_factory.mktemp("tiny") / "bottle"
    for kind, n in (("train/good", 6), ("test/good", 3), ("test/dent", 2), ("test/hole", 2)):
        (root / kind).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(root / kind / f"{i}.png")
    return root


class Fake:
    """Scores by chance and seed; `fits` holds the fits of this process."""

    fits: list[tuple[str, int]] = []

    def __init__(
        self, name: str, *, seed: int, device: str, cache: object, progress: bool, **options: Any
    ) -> None:
        self.name, self.seed, self.options = name, seed, options

    def fit(self, images: list[Path]) -> Fake:
        Fake.fits.append((self.name, self.seed))
        time.sleep(self.options.get("seconds", 0))
        if self.name == "breaks":
            raise ValueError("a bad day")
        if self.name == "kills":
            os._exit(1)
        return self

    def anomaly_scores(self, images: list[Path]) -> np.ndarray:
        return np.random.default_rng([self.seed, *self.name.encode()]).random(len(images))


class Lasting(Fake):
    """Says that it has begun, by its process's number, and then works for minutes."""

    def fit(self, images: list[Path]) -> Fake:
        (Path(os.environ["BEGUN"]) / str(os.getpid())).touch()
        time.sleep(300)
        return self


@pytest.fixture(autouse=True)
def no_fits_and_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    Fake.fits.clear()
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", lambda *_, **__: b"PNG")


def small_run(grid: Grid, out: Path, **options: Any) -> pd.DataFrame:
    return run(grid, out, **{"make": Fake, "n_jobs": 1, "progress": False, **options})


def same_tables(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a.drop(columns=VOLATILE), b.drop(columns=VOLATILE))


def deadly(name: str, **options: Any) -> Fake:
    return Fake("kills" if name == "ocsvm" else name, **options)


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("timed out")
