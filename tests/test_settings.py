"""The presets, their way through JSON, and settings that contradict each other."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from differnet_lite.settings import DEFAULT, PAPER, PRESETS, Settings
from differnet_lite.transforms import Transformations

# The table "DifferNet in one page": arXiv 2008.12577 and the authors' code, part by part.
PUBLISHED = Settings(
    backbone="alexnet",
    weights="bundled",  # torchvision's, see test_trunk
    size=448,
    n_scales=3,
    downscale="nearest",  # every second pixel
    pooling=1.0,  # the mean over places
    pool_views=False,
    n_blocks=8,
    hidden=2048,
    whiten=False,
    start_as_identity=False,
    clamp=3.0,
    clamp_factor=2 / math.pi,
    use_log_det=False,
    soft_limit=0.0,
    learning_rate=2e-4,
    betas=(0.8, 0.8),
    adam_eps=1e-4,
    weight_decay=1e-5,
    epochs=24 * 8,
    batch_images=24,
    noise=0.0,
    transformations=Transformations(
        angles=None, n_train=4, n_test=64, max_angle=180.0, fill="black", interpolation="nearest"
    ),
    map_images=0,
    calibration="none",
    dtype="float32",
)


def test_paper_is_the_published_protocol() -> None:
    unused = ("views_per_image", "folds", "holdout")  # of a grid, and of a calibration
    same = {name: getattr(PUBLISHED, name) for name in unused}
    assert dataclasses.replace(PAPER, **same) == PUBLISHED


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_settings_survive_json(name: str) -> None:
    settings = dataclasses.replace(PRESETS[name], learning_rate=1 / 3)
    again = Settings.from_json(json.loads(json.dumps(settings.to_json())))
    assert again == settings
    assert hash(again) == hash(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"learning_rate": math.nan}, "learning_rate: expected a finite number above 0, got nan"),
        ({"noise": -0.1}, "noise: expected a finite number at least 0, got -0.1"),
        ({"folds": 1}, "folds: expected a whole number of at least 2, got 1"),
        ({"size": 450}, "size and n_scales: expected a size that halves 2 times"),
        ({"calibration": "jackknife"}, "calibration: expected one of 'cross', .*got 'jackknife'"),
        ({"noise": 0.0}, "whiten=True needs noise > 0"),
        ({"transformations": Transformations()}, "pool_views=True needs a fixed grid"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        dataclasses.replace(DEFAULT, **changes)
