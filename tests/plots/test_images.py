"""Photographs and maps of a trunk: small, and what they were given."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from differnet_course.plots import jpeg, plot_feature_maps, plot_images


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


def pixels(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


def test_figures_are_small_and_hold_what_they_were_given(image):
    assert pixels(jpeg(image, 32)).shape == (32, 32, 3)
    assert [a.text for a in plot_images({"one": image, "two": image}).layout.annotations] == [
        "one",
        "two",
    ]
    maps = plot_feature_maps(
        {"448 px": [("photograph", image[..., None].repeat(3, -1)), ("map", np.eye(3))]}
    )
    assert np.array_equal(maps.data[1].z, np.eye(3)) and maps.data[1].zmax == 1.0
