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
PUBLISHED: dict[str, dict[str, Any]] = {
    "features: AlexNet's convolutional trunk, ImageNet weights": {
        "backbone": "alexnet",
        "weights": "bundled",  # torchvision's, see test_trunk
    },
    "features: 448, 224 and 112 px, every second pixel": {
        "size": 448,
        "n_scales": 3,
        "downscale": "nearest",
    },
    "features: the mean over places": {"pooling": 1.0},
    "features: each view is a vector, not their mean": {"pool_views": False},
    "flow: 8 blocks, subnets of width 2048": {"n_blocks": 8, "hidden": 2048},
    "flow: random couplings on the features as they are": {
        "whiten": False,
        "start_as_identity": False,
    },
    "soft clamp: alpha = 3, factor 2/pi": {"clamp": 3.0, "clamp_factor": 2 / math.pi},
    "score: mean of z^2, without the log-det": {
        "use_log_det": False,
        "soft_limit": 0.0,
    },
    "training: Adam lr 2e-4, betas (0.8, 0.8), eps 1e-4, weight decay 1e-5": {
        "learning_rate": 2e-4,
        "betas": (0.8, 0.8),
        "adam_eps": 1e-4,
        "weight_decay": 1e-5,
    },
    "training: 24 x 8 epochs, 24 images in a step, no noise": {
        "epochs": 24 * 8,
        "batch_images": 24,
        "noise": 0.0,
    },
    "transformations: any rotation, 4 in training, 64 in testing, black corners, nearest pixels": {
        "transformations": Transformations(
            angles=None,
            n_train=4,
            n_test=64,
            max_angle=180.0,
            fill="black",
            interpolation="nearest",
            brightness=0.0,
            contrast=0.0,
        )
    },
    "localization: the gradient, no statistics of normal images": {"map_images": 0},
    "all training images train; nothing is held out": {"calibration": "none"},
    "float32 everywhere": {"dtype": "float32"},
}


@pytest.mark.parametrize("line", PUBLISHED)
def test_paper_is_the_published_protocol(line: str) -> None:
    expected = PUBLISHED[line]
    assert {name: getattr(PAPER, name) for name in expected} == expected


def test_every_field_of_paper_has_its_line() -> None:
    stated = [name for line in PUBLISHED.values() for name in line]
    unused = {"views_per_image", "folds", "holdout"}  # of a grid, and of a calibration: it has none
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert sorted(stated) == sorted(fields - unused)


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
        ({"hidden": 2.5}, "hidden: expected a whole number of at least 1, got 2.5"),
        ({"learning_rate": math.nan}, "learning_rate: expected a finite number above 0, got nan"),
        ({"noise": -0.1}, "noise: expected a finite number at least 0, got -0.1"),
        ({"folds": 1}, "folds: expected a whole number of at least 2, got 1"),
        ({"holdout": 1.0}, "holdout: expected a finite number above 0 and below 1, got 1"),
        ({"size": 450}, "size and n_scales: expected a size that halves 2 times"),
        ({"calibration": "jackknife"}, "calibration: expected one of 'cross', .*got 'jackknife'"),
        ({"dtype": "half"}, "dtype: expected one of 'auto', .*got 'half'"),
        ({"noise": 0.0}, "whiten=True needs noise > 0"),
        ({"transformations": Transformations()}, "pool_views=True needs a fixed grid"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        dataclasses.replace(DEFAULT, **changes)


def test_transformations_are_no_word() -> None:
    with pytest.raises(TypeError, match=r"such as Transformations.grid\(16\), got 'grid'"):
        Settings(transformations="grid")  # type: ignore[arg-type]
