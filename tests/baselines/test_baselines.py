"""The baselines: one detector for all, and the densities of features by their formulas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from differnet_course.baselines import BASELINES, make_detector
from differnet_course.baselines.feature_methods import Components
from differnet_lite import DifferNet

from .conftest import FEATURES, ON_FEATURES

NETWORKS = [name for name in BASELINES if name not in ON_FEATURES]
Make = Callable[..., Any]


@pytest.mark.usefixtures("untouched_generators")
@pytest.mark.parametrize("name", BASELINES)
def test_every_method_fits_scores_and_repeats_itself(
    name: str, make: Make, photographs: list[Path]
) -> None:
    detector = make(name)
    with pytest.raises(NotFittedError):
        detector.anomaly_scores(photographs)
    assert detector.fit(photographs[:4]) is detector
    scores = detector.anomaly_scores(photographs)
    assert scores.shape == (5,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.anomaly_scores(photographs[0].parent), scores)
    again = clone(detector).fit(photographs[:4])
    np.testing.assert_array_equal(again.anomaly_scores(photographs), scores)
    if name in NETWORKS:
        other = make(name, seed=1).fit(photographs[:4])
        assert (other.anomaly_scores(photographs) != scores).all()
    one = make(name).fit(photographs[:1])
    assert np.isfinite(one.anomaly_scores(photographs)).all()


def test_unknown_names_and_settings_say_what_exists() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of 'differnet', 'ocsvm'.*'knn'"):
        make_detector("knn")
    with pytest.raises(TypeError, match="depth"):
        make_detector("ocsvm", depth=3)
    assert isinstance(make_detector("differnet", epochs=3), DifferNet)


@pytest.mark.parametrize("pool_views", [True, False])
def test_mahalanobis_is_differnet_before_training(
    pool_views: bool, make: Make, photographs: list[Path]
) -> None:
    untrained = {"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0, "calibration": "none"}
    same = {"pool_views": pool_views, "device": "cpu", "progress": False}
    model = DifferNet(map_images=0, **untrained, **same, **FEATURES).fit(photographs)
    distance = make("mahalanobis", pool_views=pool_views).fit(photographs)
    expected = model.anomaly_scores(photographs)
    np.testing.assert_allclose(distance.anomaly_scores(photographs), expected, rtol=1e-4)


def test_nearest_neighbour_is_the_distance_to_the_nearest(
    make: Make, photographs: list[Path]
) -> None:
    detector = make("1-nn", pool_views=False).fit(photographs[:3])
    rows = detector.inputs(photographs[:3]).flatten(0, 1)  # (12, D)
    new = detector.inputs(photographs[3:]).flatten(0, 1)  # (8, D)
    components = Components(rows, 64)
    old, here = components(rows).numpy(), components(new).numpy()
    nearest = np.linalg.norm(here[:, None] - old[None], axis=2).min(1)
    scores = detector.anomaly_scores(photographs[3:])
    np.testing.assert_allclose(scores, nearest.reshape(2, 4).mean(1), rtol=1e-9)
