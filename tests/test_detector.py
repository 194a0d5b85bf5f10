"""The whole detector: fit, score, decide, draw, resume, and what can go wrong on the way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone, is_outlier_detector
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from differnet_lite import DifferNet, Transformations, detector
from differnet_lite.detector import NotFittedError
from differnet_lite.images import ImageError
from differnet_lite.listing import DatasetError
from differnet_lite.sampling import view_sampler
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.splits import Split, cross_splits, held_out_split
from differnet_lite.thresholds import Calibration, TooFewNormalsError
from differnet_lite.training import train_flow

Picture = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def images(picture: Picture) -> list[np.ndarray]:
    """30 smooth RGB pictures (64, 64, 3)."""
    return [picture(k) for k in range(30)]


@pytest.fixture(scope="module")
def fitted(tiny: dict[str, Any], images: list[np.ndarray]) -> DifferNet:
    """Calibrated on the last 20 of the pictures; tests read it and never change it."""
    return DifferNet(**tiny).fit(images[:10], calibration=images[10:])


def fit_by_hand(
    model: DifferNet, images: list[np.ndarray], parts: list[Split]
) -> tuple[np.ndarray, list[dict[str, list[float]]]]:
    """(K, N) scores of all images by each part's flow, and the history of each part."""
    features = model.features(images)
    scores = []
    histories = []
    for k, split in enumerate(parts):
        flow, history = train_flow(
            view_sampler(features[split.train], views_per_image=4, pool_views=True),
            len(split.train),
            model.settings,
            n_features=features.shape[-1],
            held_out=features[split.calibrate].mean(1, keepdim=True),
            seed=model.seed + k,
            progress=False,
        )
        score_rows = flow_score(flow, soft_limit=model.settings.soft_limit)
        scores.append(Scorer(score_rows).scores(features))
        histories.append(history)
    return np.array(scores), histories


@pytest.mark.parametrize("calibration", ["cross", "split"])
@pytest.mark.usefixtures("untouched_generators")
def test_a_fit_is_its_parts(
    tiny: dict[str, Any], images: list[np.ndarray], calibration: str
) -> None:
    """The seeds of splits and flows; each normal scored by the flow that never saw it; the mean."""
    model = DifferNet(**tiny, seed=3, calibration=calibration, folds=3).fit(images)
    parts = cross_splits(range(30), 3, seed=3)[1:]
    if calibration == "split":
        parts = [held_out_split(range(30), 0.2, seed=3)]
    scores, histories = fit_by_hand(model, images, parts)
    expected = np.full(30, np.nan)
    for k, split in enumerate(parts):
        expected[split.calibrate] = scores[k, split.calibrate]
    expected = expected[np.isfinite(expected)]
    assert len(expected) == (30 if calibration == "cross" else 15)
    np.testing.assert_allclose(model.calibration_scores_, expected, rtol=1e-4)
    np.testing.assert_allclose(model.anomaly_scores(images), scores.mean(0), rtol=1e-4)
    for name in ("train", "held_out"):
        mean = np.mean([history[name] for history in histories], 0)
        np.testing.assert_allclose(model.history_[name], mean, rtol=1e-4)
    assert model.calibrated_by_ == calibration
    assert model.n_train_ == (30 if calibration == "cross" else 15)


def test_images_that_train_do_not_calibrate(
    tiny: dict[str, Any], images: list[np.ndarray], fitted: DifferNet
) -> None:
    assert (fitted.n_train_, fitted.calibrated_by_, len(fitted.flows_)) == (10, "given", 1)
    np.testing.assert_allclose(
        fitted.calibration_scores_, fitted.anomaly_scores(images[10:]), rtol=1e-4
    )
    with pytest.warns(UserWarning, match="4 of 10 calibration images are copies"):
        model = DifferNet(**tiny).fit(images[:10], calibration=images[6:16])
    np.testing.assert_allclose(
        model.calibration_scores_, model.anomaly_scores(images[10:16]), rtol=1e-4
    )
    with pytest.raises(DatasetError, match="other images than those that train"):
        model.fit(images[:10], calibration=images[2:9])


def test_images_of_one_group_stay_together_and_count_once(
    tiny: dict[str, Any], images: list[np.ndarray]
) -> None:
    parts = [k % 10 for k in range(30)]
    model = DifferNet(**tiny, seed=1).fit(images, groups=parts)
    splits = cross_splits(parts, 5, seed=1)[1:]
    scores = fit_by_hand(model, images, splits)[0]
    folds = [next(k for k, split in enumerate(splits) if i in split.calibrate) for i in range(30)]
    expected = scores[folds, np.arange(30)]
    np.testing.assert_allclose(model.calibration_scores_, expected, rtol=1e-4)
    largest = [expected[np.array(parts) == part].max() for part in range(10)]
    np.testing.assert_allclose(np.sort(model.calibration_.evidence), np.sort(largest), rtol=1e-4)
    assert model.threshold(0.2).n == 10


def test_images_that_are_too_few_damaged_or_labelled_are_named(
    tiny: dict[str, Any], photographs: list[Path]
) -> None:
    model = DifferNet(**tiny)
    with pytest.raises(ValueError, match="y: expected a label 0 for each of 5 normal images"):
        model.fit(photographs, [0, 0, 0, 0, 1])
    with pytest.raises(DatasetError, match="at least 2 normal images to train on, got 1"):
        model.fit(photographs[:1])
    with pytest.raises(ValueError, match="groups: with calibration= expected 'folder' or"):
        model.fit(photographs[:2], calibration=photographs[2:], groups=[0, 1])
    photographs[2].write_bytes(photographs[2].read_bytes()[:300])
    with pytest.raises(ImageError, match=r"2\.png: "):
        model.fit(photographs)


@pytest.mark.parametrize("step", ["train_flow", "place_statistics"])
def test_an_interruption_leaves_the_earlier_fit(
    tiny: dict[str, Any], images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    model = DifferNet(**tiny).fit(images[:5])
    scores = model.anomaly_scores(images[5:])
    threshold = model.threshold(0.5)
    monkeypatch.setattr(detector, step, Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.fit(images[10:])
    np.testing.assert_allclose(model.anomaly_scores(images[5:]), scores, rtol=1e-5)
    assert model.threshold(0.5) == threshold


def test_an_interrupted_fit_resumes_and_takes_no_other_state(
    tiny: dict[str, Any], images: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def on_epoch(epoch: int, *_: object) -> None:
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(detector, "train_flow", functools.partial(train_flow, on_epoch=on_epoch))
    options = tiny | {"epochs": 4, "calibration": "none"}
    with pytest.raises(KeyboardInterrupt):
        DifferNet(**options).fit(images[:8], checkpoint=tmp_path)
    DifferNet(**options).fit(images[:8], checkpoint=tmp_path)
    assert epochs == [1, 2, 3, 4], "each epoch once"
    for change, first in ({"seed": 1}, 0), ({"noise": 0.05}, 0), ({"white": 255.0}, 0), ({}, 1):
        epochs[4:] = []
        DifferNet(**options | change).fit(images[first : 8 + first], checkpoint=tmp_path)
        assert epochs[4:] == [1, 2, 3, 4], change


def test_misspelt_names_and_values_out_of_range() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        DifferNet(epoch=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="preset: expected one of 'default', 'paper', got 'papr'"):
        DifferNet("papr")
    with pytest.raises(ValueError, match="seed: expected a whole number of at least 0, got -1"):
        DifferNet(seed=-1)
    with pytest.raises(ValueError, match="device: expected 'auto', 'cpu'"):
        DifferNet(device="gpu")


def test_one_image_is_one_in_every_form_and_scores_as_in_company(
    fitted: DifferNet, images: list[np.ndarray], tmp_path: Path
) -> None:
    array = images[20]
    Image.fromarray(array).save(tmp_path / "one.png")
    expected = fitted.anomaly_scores(images)[20:21]
    for form in (array, tmp_path / "one.png", str(tmp_path), [array]):
        np.testing.assert_allclose(fitted.anomaly_scores(form), expected, rtol=1e-4)
        assert fitted.anomaly_maps(form).shape == (1, 64, 64)
    assert fitted.anomaly_scores([]).shape == fitted.predict([]).shape == (0,)


def test_judging_is_scores_p_values_and_decisions(
    fitted: DifferNet, images: list[np.ndarray]
) -> None:
    judgement = fitted.judge(images, alpha=0.2)
    scores = fitted.anomaly_scores(images)
    np.testing.assert_allclose(judgement.scores, scores, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate([*fitted.iter_anomaly_scores(images)]), scores)
    np.testing.assert_array_equal(judgement.p_values, fitted.p_values(images))
    np.testing.assert_array_equal(judgement.anomalous, fitted.predict(images, alpha=0.2))
    np.testing.assert_array_equal(judgement.anomalous, judgement.p_values <= 0.2)
    calibration = Calibration(fitted.calibration_scores_, "given")
    assert judgement.threshold == fitted.threshold(0.2) == calibration.threshold(0.2)


def test_a_rate_that_the_calibration_cannot_give(
    model: DifferNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DifferNet, "anomaly_scores", None)  # refused before the work
    with pytest.raises(TooFewNormalsError, match=r"needs at least 19 .*got 12"):
        model.predict([])
    with pytest.warns(UserWarning, match="cannot guarantee"):
        fallback = model.threshold(0.05, if_too_few="fallback")
    assert (fallback.rule, fallback.n, fallback.guaranteed) == ("cross-conformal", 12, None)


def test_scores_that_are_not_finite_are_never_returned(
    fitted: DifferNet, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "scores", lambda self, features: np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="scores: expected finite numbers, got 1 of 2"):
        fitted.anomaly_scores(images[:2])


@pytest.mark.parametrize("use_log_det", [False, True])
def test_the_log_det_is_part_of_every_score_or_of_none(
    tiny: dict[str, Any], images: list[np.ndarray], use_log_det: bool
) -> None:
    """Of the scores that calibrate, and of those of new images."""
    model = DifferNet(**tiny, use_log_det=use_log_det, soft_limit=0)
    model.fit(images[:5], calibration=images[5:10])
    with torch.no_grad():
        z, log_det = model.flows_[0](model.features(images[5:10]).mean(1))
    assert (log_det.abs() / z.shape[1]).min() > 0.1
    expected = z.square().mean(1) - use_log_det * 2 * log_det / z.shape[1]
    np.testing.assert_allclose(model.anomaly_scores(images[5:10]), expected, rtol=1e-4)
    np.testing.assert_allclose(model.calibration_scores_, expected, rtol=1e-4)


def test_silence(
    tiny: dict[str, Any], images: list[np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    model = DifferNet(**tiny).fit(images[:5])
    model.predict(images[:2], alpha=0.5)
    model.anomaly_maps(images[:1])
    assert capfd.readouterr() == ("", "")


def test_the_paper_preset_draws_fresh_angles_in_every_step(
    tiny: dict[str, Any], images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    t = Transformations(n_train=3, n_test=2, fill="black", interpolation="nearest")
    options = tiny | {"transformations": t, "batch_images": 2, "map_images": None}
    drawn: list[torch.Tensor] = []
    draw = Transformations.draw_angles
    monkeypatch.setattr(
        Transformations, "draw_angles", lambda *args: drawn.append(draw(*args)) or drawn[-1]
    )
    model = DifferNet("paper", **options).fit(images[:3])
    fresh = [angles for angles in drawn if len(angles) != 2]  # 2 are the fixed ones for scoring
    assert [len(angles) for angles in fresh] == [6, 3, 6, 3]
    assert torch.cat(fresh).unique().numel() == 18
    scores = model.anomaly_scores(images)
    np.testing.assert_allclose(model.anomaly_scores(images[7]), scores[7:8], rtol=1e-4)
    with pytest.raises(TooFewNormalsError, match="fitted with calibration='none'"):
        model.threshold(0.5)
    with pytest.raises(ValueError, match="no statistics for maps; fit it with map_images=200"):
        model.anomaly_maps(images[0])


def test_without_rotation_a_turned_part_is_noticed(tiny: dict[str, Any], picture: Picture) -> None:
    base = picture(0) / 255
    normal = [0.9 * base + 0.1 * picture(k) / 255 for k in range(1, 9)]
    turned = np.ascontiguousarray(np.rot90(normal[0], 2))
    upright = DifferNet(**tiny | {"transformations": Transformations.none()}).fit(normal)
    assert upright.anomaly_scores(turned)[0] > 1.5 * upright.calibration_scores_.max()
    grid = DifferNet(**tiny).fit(normal)
    np.testing.assert_allclose(
        grid.anomaly_scores(turned), grid.anomaly_scores(normal[0]), rtol=1e-3
    )


def test_nothing_is_loaded_or_fitted_too_early(
    fitted: DifferNet, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector, "MultiScaleExtractor", None)
    model = clone(fitted)
    assert model.get_params() == fitted.get_params()
    assert model.settings == fitted.settings
    check_is_fitted(fitted)
    for use in (model.anomaly_scores, model.predict, model.judge, model.anomaly_maps, model.save):
        with pytest.raises(NotFittedError, match=r"has not been fitted; call fit\(\) first"):
            use(images[:1])
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_parameters_can_be_set_and_unset_the_fit(fitted: DifferNet) -> None:
    model = clone(fitted)
    vars(model).update(vars(fitted))
    assert model.set_params(epochs=1, seed=3) is model
    assert (model.settings.epochs, model.seed) == (1, 3)
    assert not [name for name in vars(model) if name.endswith("_")], "no longer fitted"
    with pytest.raises(ValueError, match="epochs: expected"):
        model.set_params(epochs=0)
    assert model.settings.epochs == 1, "a refused change changes nothing"


def test_repr_and_pipeline(tiny: dict[str, Any], images: list[np.ndarray]) -> None:
    assert repr(DifferNet("paper", epochs=3)) == "DifferNet(epochs=3, preset='paper')"
    pipeline = Pipeline([("detector", DifferNet(**tiny))]).fit(images[:6])
    assert pipeline.predict(images[:4], alpha=0.5).shape == (4,)
    assert not is_outlier_detector(pipeline["detector"]), "scikit-learn's own say -1"
