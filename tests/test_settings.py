"""The presets, their way through JSON, and settings that contradict each other."""

from __future__ import annotations

import dataclasses
import json
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


def test_paper_is_the_published_protocol() -> None:
    expected = {
        "n_blocks": 8,
        "hidden": 2048,
        "alpha": 3.0,
        "epochs": 192,
        "batch_images": 24,
        "learning_rate": 2e-4,
        "betas": (0.8, 0.8),
        "adam_eps": 1e-4,
        "weight_decay": 1e-5,
        "size": 448,
        "n_scales": 3,
        "backbone": "alexnet",
        "use_log_det": False,
        "whiten": False,
        "noise": 0.0,
        "pool_views": False,
        "start_as_identity": False,
        "downscale": "nearest",
    }
    assert {name: getattr(PAPER, name) for name in expected} == expected
    t = PAPER.transformations
    assert (t.angles, t.n_train, t.n_test, t.max_angle, t.fill, t.interpolation) == (
        None,
        4,
        64,
        180.0,
        "black",
        "nearest",
    )
    assert not t.jitters


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
        ({"noise": 0.0}, "whiten=True needs noise > 0"),
        ({"holdout": 1.0}, "holdout: expected 0 <= holdout < 1, got 1.0"),
        ({"holdout": -0.1}, "holdout"),
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"batch_images": 0}, "batch_images"),
        ({"views_per_image": 0}, "views_per_image"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DEFAULT, **changes)


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.epochs = 3  # type: ignore[misc]
