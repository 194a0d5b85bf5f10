"""The presets, their way through JSON, and settings that contradict each other."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from differnet_lite.settings import DEFAULT, PAPER, PRESETS, Settings
from differnet_lite.transforms import Transformations


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_settings_survive_json(name: str) -> None:
    settings = dataclasses.replace(PRESETS[name], learning_rate=1 / 3)
    text = json.dumps(settings.to_json())
    again = Settings(**json.loads(text))
    assert again == settings
    assert isinstance(again.transformations, Transformations)
    assert isinstance(again.betas, tuple)
    assert hash(again) == hash(settings)


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
    "features: each view is a vector of its own": {"pool_views": False},
    "flow: 8 blocks": {"n_blocks": 8},
    "flow: subnets of width 2048": {"hidden": 2048},
    "flow: random couplings on the features as they are": {
        "whiten": False,
        "start_as_identity": False,
    },
    "soft clamp: alpha = 3, factor 2/pi": {"clamp": 3.0, "clamp_factor": 2 / math.pi},
    "score: mean of z^2, without the log-det": {"use_log_det": False},
    "training: Adam lr 2e-4, betas (0.8, 0.8), eps 1e-4, weight decay 1e-5": {
        "learning_rate": 2e-4,
        "betas": (0.8, 0.8),
        "adam_eps": 1e-4,
        "weight_decay": 1e-5,
    },
    "training: 24 x 8 epochs": {"epochs": 24 * 8},
    "training: 24 images x 4 random rotations in a step": {"batch_images": 24},
    "training: no noise": {"noise": 0.0},
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
    "localization: the gradient, no reference": {"reference_images": 0},
    "all training images train; nothing is held out": {"calibration": "none"},
    "float32 everywhere": {"dtype": "float32", "train_dtype": "float32"},
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
    assert PAPER.transformations.n_train * PAPER.batch_images == 96
    assert (PAPER.of_flow(), PAPER.of_adam()) == (
        {
            "n_blocks": 8,
            "hidden": 2048,
            "clamp": 3.0,
            "clamp_factor": 2 / math.pi,
            "start_as_identity": False,
        },
        {"lr": 2e-4, "betas": (0.8, 0.8), "eps": 1e-4, "weight_decay": 1e-5},
    )


def test_default_trains_and_scores_on_one_grid_without_corners() -> None:
    assert DEFAULT.transformations.angles is not None
    assert DEFAULT.transformations.fill == "reflection"
    assert DEFAULT.whiten and DEFAULT.noise > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"transformations": Transformations()},
            r"pool_views=True needs a fixed grid.*grid\(16\) or pool_views=False",
        ),
        ({"noise": 0.0}, r"whiten=True needs noise > 0.*got noise=0"),
        ({"size": 128}, "expected a size that halves 2 times .*got 128 px and 3 scales"),
        ({"size": 450}, "expected a size that halves 2 times"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DEFAULT, **changes)


NO_NUMBERS = ("0.5", True, None, [1], math.nan, math.inf, -math.inf)
NO_COUNTS = (*NO_NUMBERS, 2.0, 2.5, -1)
NO_FLAGS = ("no", 0, 1, None, 0.0)
NO_WORDS = (None, True, 1, "", b"auto")
WRONG: dict[str, tuple[Any, ...]] = {
    "transformations": ("grid", None, 16, [0.0], True),
    "pool_views": NO_FLAGS,
    "backbone": NO_WORDS,
    "weights": NO_WORDS,
    "size": (*NO_COUNTS, 62, 4097),
    "n_scales": (*NO_COUNTS, 0, 9),
    "downscale": (*NO_WORDS, "cubic"),
    "dtype": (*NO_WORDS, "float64", "half"),
    "whiten": NO_FLAGS,
    "noise": (*NO_NUMBERS, -1e-9),
    "start_as_identity": NO_FLAGS,
    "n_blocks": (*NO_COUNTS, 0, 1001),
    "hidden": (*NO_COUNTS, 0, 65537),
    "clamp": (*NO_NUMBERS, 0.0, -3.0),
    "clamp_factor": (*NO_NUMBERS, 0.0, -0.636),
    "epochs": (*NO_COUNTS, 0),
    "batch_images": (*NO_COUNTS, 0),
    "views_per_image": (*NO_COUNTS, 0),
    "learning_rate": (*NO_NUMBERS, 0.0, -1e-4),
    "betas": ("0.8", 0.8, None, (), (0.8,), (0.8,) * 3, (0.8, 1.0), (-0.1, 0.8), (0.8, True)),
    "adam_eps": (*NO_NUMBERS, 0.0, -1e-8),
    "weight_decay": (*NO_NUMBERS, -1e-9),
    "train_dtype": (*NO_WORDS, "float16"),
    "use_log_det": NO_FLAGS,
    "reference_images": NO_COUNTS,
    "calibration": (*NO_WORDS, "jackknife"),
    "folds": (*NO_COUNTS, 1),
    "holdout": (*NO_NUMBERS, 0.0, -0.1, 1.0),
}


def test_every_field_is_named_in_the_table_of_wrong_values() -> None:
    assert set(WRONG) == {field.name for field in dataclasses.fields(Settings)}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, wrong in WRONG.items() for v in wrong])
def test_a_wrong_field_says_what_was_expected_and_what_came(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: expected .*, got "):
        Settings(**{name: value})


@pytest.mark.parametrize(
    "good",
    [
        {"calibration": "none", "reference_images": 0, "weight_decay": 0},
        {"betas": [0, 0.999]},
        {"size": 252, "n_scales": 3},
        {"noise": 0.0, "whiten": False},
        {"pool_views": False, "transformations": Transformations()},
    ],
)
def test_the_edges_of_the_ranges_are_within(good: dict[str, Any]) -> None:
    settings = Settings(**good)
    assert all(getattr(settings, name) == value for name, value in good.items() if name != "betas")
    assert all(isinstance(b, float) for b in settings.betas)


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.epochs = 3  # type: ignore[misc]
