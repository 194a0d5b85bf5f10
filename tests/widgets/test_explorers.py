"""The explorers of notebooks 03 and 04, their figures, and the callback that feeds the live curve."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_lite import Settings, Transformations
from differnet_lite.plots.images import jpeg, plot_curves, plot_feature_maps, plot_images
from differnet_lite.training import bank_views, pooled, train_flow
from differnet_lite.widgets.rotation import RotationExplorer
from differnet_lite.widgets.training import LiveLoss

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


def test_rotation_explorer_measures_from_the_first_angle(image, features):
    explorer = RotationExplorer(image, ANGLES, features, unit=2.0)
    for fill, y in features.items():
        np.testing.assert_allclose(
            explorer.distances[fill], [np.linalg.norm(row - y[0]) / 2 for row in y]
        )


def test_rotation_explorer_follows_its_slider(image, features):
    explorer = RotationExplorer(image, ANGLES, features)
    before, text = [panel.source for panel in explorer.figure.data[:2]], explorer.label.value
    explorer.slider.value = 1
    assert [panel.source for panel in explorer.figure.data[:2]] != before
    assert "45 degrees" in explorer.label.value != text
    for marker, distance in zip(
        explorer.figure.data[4:6], explorer.distances.values(), strict=True
    ):
        assert list(marker.x) == [45.0] and list(marker.y) == [distance[1]]
    assert list(explorer.figure.data[6].x) == [45.0, 45.0]


def test_rotation_explorer_shows_black_corners_and_reflected_ones(features):
    explorer = RotationExplorer(np.full((64, 64), 200, dtype=np.uint8), ANGLES, features)
    explorer.slider.value = 1
    black, reflected = (pixels(panel.source) for panel in explorer.figure.data[:2])
    assert black[0, 0].max() < 20 and reflected[0, 0].min() > 180 and black[112, 112].min() > 180


@pytest.mark.parametrize("wrong", [{"grey": np.zeros((3, 5))}, {"black": np.zeros((2, 5))}])
def test_rotation_explorer_refuses_what_does_not_fit(image, wrong):
    with pytest.raises(ValueError, match="expected"):
        RotationExplorer(image, ANGLES, wrong)


def test_on_epoch_sees_every_epoch_and_changes_nothing():
    y = torch.randn(8, 2, 6, generator=torch.Generator().manual_seed(0))
    settings = Settings(transformations=Transformations.grid(2), epochs=4, hidden=8, n_blocks=2)
    seen: list[tuple[int, int]] = []
    live = LiveLoss(settings.epochs)

    def watch(epoch, history, flow):
        seen.append((epoch, len(history["train"])))
        live(epoch, history, flow)
        assert flow(pooled(y, settings).flatten(0, 1))[0].shape == (8, 6)

    common = {"n_features": 6, "held_out": pooled(y[:3], settings), "progress": False}
    _, watched = train_flow(bank_views(y, settings), 8, settings, on_epoch=watch, **common)
    _, alone = train_flow(bank_views(y, settings), 8, settings, **common)
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)] and watched == alone
    assert (
        list(live.figure.data[0].y) == watched["train"]
        and list(live.figure.data[1].y) == watched["held_out"]
    )
    assert "epoch 4 of 4" in live.label.value


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
    curves = plot_curves(
        [0, 1], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, x_title="x", y_title="y", line=("limit", 0.5)
    )
    assert [curve.name for curve in curves.data] == ["a", "b", "limit"]
    assert len({(curve.line.color, curve.line.dash) for curve in curves.data}) == 3
    assert len(curves.to_json()) < 30_000
