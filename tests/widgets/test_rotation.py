"""The explorer of rotations, without a browser."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.widgets import RotationExplorer

ANGLES = (0.0, 45.0, 90.0)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


@pytest.fixture
def features():
    rng = np.random.default_rng(1)
    return {"black": rng.normal(size=(3, 5)), "reflection": rng.normal(size=(3, 5))}


def pixels(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


def test_it_measures_from_the_first_angle(image, features):
    explorer = RotationExplorer(image, ANGLES, features, unit=2.0)
    for fill, y in features.items():
        np.testing.assert_allclose(
            explorer.distances[fill], [np.linalg.norm(row - y[0]) / 2 for row in y]
        )


def test_it_follows_its_slider(image, features):
    explorer = RotationExplorer(image, ANGLES, features)
    before, text = [panel.source for panel in explorer.figure.data[::3]], explorer.label.value
    explorer.slider.value = 1
    assert [panel.source for panel in explorer.figure.data[::3]] != before
    assert "45 degrees" in explorer.label.value != text
    for marker, distance in zip(
        explorer.figure.data[2::3], explorer.distances.values(), strict=True
    ):
        assert list(marker.x) == [45.0] and list(marker.y) == [distance[1]]


def test_it_shows_black_corners_and_reflected_ones(features):
    explorer = RotationExplorer(np.full((64, 64), 200, dtype=np.uint8), ANGLES, features)
    explorer.slider.value = 1
    black, reflected = (pixels(panel.source) for panel in explorer.figure.data[::3])
    assert black[0, 0].max() < 20 and reflected[0, 0].min() > 180 and black[112, 112].min() > 180
