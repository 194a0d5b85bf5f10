"""The contract of every method: one image is one, scikit-learn's manners, nothing too early."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.exceptions
import torch
from PIL import Image
from sklearn.base import clone, is_outlier_detector
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from differnet_course.baselines import make_detector
from differnet_lite.detector import Detector, NotFittedError
from differnet_lite.images import ImageError
from differnet_lite.model import DifferNet
from differnet_lite.settings import DEFAULT, PAPER, Settings
from differnet_lite.thresholds import (
    Judgement,
    TooFewNormalsError,
    conformal_threshold,
)
from differnet_lite.transforms import Transformations

METHODS = ["differnet", "mahalanobis", "1-nn", "ocsvm", "geotrans", "dsebm"]
ON_FEATURES = METHODS[:4]


@pytest.fixture(scope="module")
def images(picture: Callable[..., np.ndarray]) -> list[np.ndarray]:
    """40 smooth RGB pictures (64, 64, 3)."""
    return [picture(k) for k in range(40)]


@pytest.fixture(scope="module")
def fitted(tiny: dict[str, Any], images: list[np.ndarray]) -> dict[str, Any]:
    """A detector of each method, calibrated on 20 images."""
    found = {}
    for name in METHODS:
        options = {key: tiny[key] for key in ("device", "progress")}
        if name == "differnet":
            options = tiny
        elif name in ON_FEATURES:
            features = ("transformations", "size", "n_scales", "dtype", "reference_images")
            options |= {key: tiny[key] for key in features}
        else:
            options |= {"size": 32, "steps": 2, "width": 4}
        detector = make_detector(name, **options)
        found[name] = detector.fit(images[:20], calibration=images[20:])
    return found


# ---------------------------------------------------------------- one image is one image

RGB_FORMS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array (H, W, 3)": lambda a, folder: a,
    "array (H, W, 4)": lambda a, folder: np.dstack([a, np.full((64, 64), 255, np.uint8)]),
    "float array": lambda a, folder: a / 255,
    "tensor (3, H, W)": lambda a, folder: torch.from_numpy(a).permute(2, 0, 1),
    "Pillow": lambda a, folder: Image.fromarray(a),
    "path": lambda a, folder: written(a, folder),
    "text": lambda a, folder: str(written(a, folder)),
}
GREY_FORMS: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array (H, W)": lambda a, folder: a,
    "array (H, W, 1)": lambda a, folder: a[..., None],
    "tensor (H, W)": lambda a, folder: torch.from_numpy(a),
    "tensor (1, H, W)": lambda a, folder: torch.from_numpy(a)[None],
    "Pillow": lambda a, folder: Image.fromarray(a),
    "path": lambda a, folder: written(a, folder),
}


def written(array: np.ndarray, folder: Path) -> Path:
    Image.fromarray(array).save(folder / "one.png")
    return folder / "one.png"


def uses(detector: Any) -> dict[str, Callable[[Any], np.ndarray]]:
    return {
        "anomaly_scores": detector.anomaly_scores,
        "predict": detector.predict,
        "p_values": detector.p_values,
        "anomaly_maps": detector.anomaly_maps,
        "stream": lambda x: np.concatenate(list(detector.iter_anomaly_scores(x))),
        "judge": lambda x: detector.judge(x).scores,
    }


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_one_image_is_one_image_in_every_form(
    fitted: dict[str, Any], images: list[np.ndarray], name: str, colour: str, tmp_path: Path
) -> None:
    array = images[30] if colour == "rgb" else np.ascontiguousarray(images[30][..., 0])
    for use, function in uses(fitted[name]).items():
        expected = function([array])
        assert len(expected) == 1, use
        for form, make in (RGB_FORMS if colour == "rgb" else GREY_FORMS).items():
            alone = function(make(array, tmp_path))
            assert alone.shape == expected.shape, (use, form)
            # the OCSVM's scores saturate: rounding may move a rank by one where they tie
            near = 1 / (len(fitted[name].calibration_scores_) + 1) if use == "p_values" else 0.0
            np.testing.assert_allclose(
                alone, expected, rtol=1e-4, atol=1e-9 + near, err_msg=f"{use}: {form}"
            )


@pytest.mark.parametrize("name", METHODS)
def test_many_images_in_one_array_are_many(
    fitted: dict[str, Any], images: list[np.ndarray], name: str
) -> None:
    images = images[20:23]
    expected = fitted[name].anomaly_scores(images)
    assert np.ptp(expected) > 0
    array = np.stack(images)
    for many in (array, torch.from_numpy(array).permute(0, 3, 1, 2), iter(images)):
        np.testing.assert_allclose(fitted[name].anomaly_scores(many), expected, rtol=1e-4)
    assert fitted[name].anomaly_scores([]).shape == (0,)
    assert fitted[name].p_values([]).shape == fitted[name].predict([]).shape == (0,)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((45, 64, 64), np.uint8),
        torch.zeros(45, 64, 64),
        torch.zeros(64, 64, 3),
        np.zeros((2, 3, 64, 64), np.uint8),
        torch.zeros(2, 64, 64, 3),
        np.zeros(64),
        np.zeros((1, 1, 64, 64, 3)),
    ],
)
def test_arrays_that_are_neither_one_nor_many_are_errors(
    fitted: dict[str, Any], name: str, wrong: Any
) -> None:
    for function in uses(fitted[name]).values():
        with pytest.raises(ImageError, match=r"images: expected one image .*got shape"):
            function(wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", {"a": 1}, True])
def test_what_is_no_image_says_so(fitted: dict[str, Any], wrong: Any) -> None:
    for use in (fitted["differnet"].anomaly_scores, DifferNet(progress=False).fit):
        with pytest.raises(TypeError, match="images: expected a path, an image or a list"):
            use(wrong)


def test_no_images_give_no_maps(fitted: dict[str, Any]) -> None:
    assert list(fitted["differnet"].iter_anomaly_maps([])) == []
    for name in METHODS:
        side = 64 if name in ON_FEATURES else 32
        assert fitted[name].anomaly_maps([]).shape == (0, side, side)


# ---------------------------------------------------------------- decisions


@pytest.mark.parametrize("name", METHODS)
def test_judging_is_scores_p_values_and_decisions_of_one_pass(
    fitted: dict[str, Any], images: list[np.ndarray], name: str
) -> None:
    detector = fitted[name]
    judged = detector.judge(images, alpha=0.2)
    assert isinstance(judged, Judgement)
    np.testing.assert_array_equal(judged.scores, detector.anomaly_scores(images))
    np.testing.assert_array_equal(judged.p_values, detector.p_values(images))
    np.testing.assert_array_equal(judged.anomalous, detector.predict(images, alpha=0.2))
    np.testing.assert_array_equal(judged.anomalous, judged.p_values <= 0.2)
    assert judged.anomalous.dtype == bool
    assert judged.threshold == detector.threshold(0.2)
    assert judged.threshold == conformal_threshold(detector.calibration_scores_, 0.2)
    assert judged.threshold.n == len(detector.calibration_scores_) == 20
    np.testing.assert_allclose(detector.calibration_scores_, judged.scores[20:], rtol=1e-4)
    with pytest.raises(TooFewNormalsError, match="needs at least 99 held-out normal images"):
        detector.predict(images, alpha=0.01)


def test_scores_that_are_not_finite_are_never_returned(
    fitted: dict[str, Any], images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = iter([np.array([1.0, np.nan])])
    monkeypatch.setattr(DifferNet, "_iter_scores", lambda self, images: bad)
    with pytest.raises(FloatingPointError, match=r"1 score\(s\) are not finite: expected finite"):
        fitted["differnet"].anomaly_scores(images[:2])


# ---------------------------------------------------------------- scikit-learn


@pytest.mark.parametrize("name", METHODS)
def test_labels_of_normal_images_are_accepted_and_others_refused(
    fitted: dict[str, Any], images: list[np.ndarray], name: str
) -> None:
    again = clone(fitted[name]).fit(images[:20], np.zeros(20))
    held_out = len(again.calibration_scores_) if again.calibrated_by_ == "split" else 0
    assert again.n_train_ + held_out == 20
    for y in ([0] * 19, [0] * 19 + [1], np.ones(20), [True] * 20, [-1] * 20):
        with pytest.raises(ValueError, match="y: expected a label 0 for each of"):
            clone(again).fit(images[:20], y)
    with pytest.raises(TypeError, match="y: expected numbers, got"):
        clone(again).fit(images[:20], ["good"] * 20)


@pytest.mark.parametrize("name", METHODS)
def test_a_clone_is_unfitted_and_fits_to_the_same(
    fitted: dict[str, Any], images: list[np.ndarray], name: str
) -> None:
    twin = clone(fitted[name])
    assert type(twin) is type(fitted[name])
    assert twin.get_params() == fitted[name].get_params()
    assert twin.settings == fitted[name].settings
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(twin)
    check_is_fitted(fitted[name])
    twin.fit(images[:20], calibration=images[20:])
    np.testing.assert_array_equal(twin.calibration_scores_, fitted[name].calibration_scores_)


def test_parameters_are_what_was_given_and_can_be_set(
    fitted: dict[str, Any], images: list[np.ndarray], tiny: dict[str, Any]
) -> None:
    model = clone(fitted["differnet"])
    assert model.get_params() == {"preset": "default", "seed": 0, "cache": "auto"} | tiny
    vars(model).update(vars(fitted["differnet"]))
    assert model.set_params(epochs=1, seed=3) is model
    assert (model.settings.epochs, model.seed) == (1, 3)
    assert model.settings == dataclasses.replace(fitted["differnet"].settings, epochs=1)
    assert not [name for name in vars(model) if name.endswith("_")], "no longer fitted"
    with pytest.raises(NotFittedError):
        model.anomaly_scores(images[0])
    with pytest.raises(TypeError, match=r"unknown option\(s\) \['epoch'\]"):
        model.set_params(epoch=3)
    with pytest.raises(ValueError, match="epochs: expected a whole number of at least 1, got 0"):
        model.set_params(epochs=0)
    assert model.settings.epochs == 1, "a refused change changes nothing"
    model.set_params(preset="paper", transformations=PAPER.transformations)
    assert model.settings.adam_eps == 1e-4


def test_it_works_at_the_end_of_a_pipeline(tiny: dict[str, Any], images: list[np.ndarray]) -> None:
    pipe = Pipeline([("d", DifferNet(**tiny))]).fit(images[:6])
    alone = DifferNet(**tiny).fit(images[:6])
    np.testing.assert_array_equal(
        pipe.predict(images[:4], alpha=0.5), alone.predict(images[:4], alpha=0.5)
    )
    assert not hasattr(pipe, "score_samples"), "which in scikit-learn has the opposite direction"
    assert not is_outlier_detector(alone), "those say -1"
    pipe.set_params(d__epochs=1)
    assert pipe["d"].settings.epochs == 1


def test_repr_shows_what_differs_from_the_preset(
    fitted: dict[str, Any], tiny: dict[str, Any], tmp_path: Path
) -> None:
    assert repr(DifferNet()) == "DifferNet()"
    assert repr(DifferNet("paper", epochs=3)) == "DifferNet(epochs=3, preset='paper')"
    assert repr(DifferNet(epochs=DEFAULT.epochs)) == "DifferNet()"
    assert repr(make_detector("1-nn", n_components=5, seed=2)) in (
        "NearestNeighbour(n_components=5, seed=2)",
        "NearestNeighbour(seed=2, n_components=5)",
    )
    text = repr(DifferNet(Settings(hidden=9), transformations=Transformations.none()))
    assert "hidden=9" in text and "angles=(0.0,)" in text
    loaded = DifferNet.load(fitted["differnet"].save(tmp_path / "a"), device="cpu", progress=False)
    assert repr(loaded) == repr(fitted["differnet"])
    assert loaded.get_params() == fitted["differnet"].get_params()
    assert clone(loaded).settings == fitted["differnet"].settings


# ---------------------------------------------------------------- nothing too early


@pytest.mark.parametrize("name", METHODS)
def test_constructing_loads_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("differnet_lite.features.load_trunk", loaded)
    detector = make_detector(name, device="cpu", progress=False)
    repr(detector), detector.get_params(), clone(detector)
    assert not {"extractor", "feature_cache"} & set(vars(detector))
    assert not [key for key in vars(detector) if key.endswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_what_is_not_fitted_says_so(
    fitted: dict[str, Any], images: list[np.ndarray], name: str, tmp_path: Path
) -> None:
    assert NotFittedError is sklearn.exceptions.NotFittedError
    detector = clone(fitted[name])
    calls = [lambda f=f: f(images[:1]) for f in uses(detector).values()]
    calls += [detector.threshold, lambda: detector.save(tmp_path / "a"), detector.check_fitted]
    calls += [lambda: next(detector.iter_anomaly_scores(images))]
    for call in calls:
        with pytest.raises(NotFittedError, match=r"has not been fitted; call fit\(\) first, or"):
            call()
    assert not (tmp_path / "a").exists()
    assert isinstance(detector, Detector)


@pytest.mark.parametrize("name", METHODS)
def test_fitted_attributes_appear_in_fit_alone(fitted: dict[str, Any], name: str) -> None:
    before = set(vars(clone(fitted[name])))
    new = set(vars(fitted[name])) - before - {"extractor", "feature_cache"}
    assert {"n_train_", "calibration_scores_"} < new
    assert all(key.endswith("_") and not key.startswith("_") for key in new), new
    assert not [key for key in before if key.endswith("_")]
