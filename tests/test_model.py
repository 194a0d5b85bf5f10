"""The whole detector: fit, score, decide, draw, keep, and what can go wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from differnet_lite import feature_detector
from differnet_lite import model as model_module
from differnet_lite.folders import DatasetError
from differnet_lite.images import ImageError, as_rgb
from differnet_lite.model import DifferNet
from differnet_lite.settings import Settings
from differnet_lite.splits import cross_splits, held_out_split
from differnet_lite.thresholds import TooFewNormalsError, p_values
from differnet_lite.training import train_flow
from differnet_lite.transforms import Transformations

Picture = Callable[..., np.ndarray]


# ---------------------------------------------------------------- fit


def test_category_folder_and_arrays_give_the_same_model(
    small: dict[str, Any],
    model: DifferNet,
    category_folder: Path,
    scores: np.ndarray,
    test_images: list[Path],
) -> None:
    train = sorted((category_folder / "train" / "good").iterdir())
    arrays = [np.asarray(as_rgb(path)) for path in train]
    for source in (category_folder / "train" / "good", [str(path) for path in train], arrays):
        other = DifferNet(**small).fit(source)  # type: ignore[arg-type]
        assert (other.n_train_, len(other.calibration_scores_)) == (12, 12)
        np.testing.assert_allclose(other.calibration_scores_, model.calibration_scores_, rtol=1e-4)
        np.testing.assert_allclose(other.anomaly_scores(test_images[:2]), scores[:2], rtol=1e-4)


@pytest.mark.usefixtures("untouched_generators")
def test_same_seed_same_bits_and_the_callers_generators_untouched(
    small: dict[str, Any],
    model: DifferNet,
    category_folder: Path,
    scores: np.ndarray,
    test_images: list[Path],
    tmp_path: Path,
) -> None:
    again = DifferNet(**small).fit(category_folder)
    state, other = model.flows_[0].state_dict(), again.flows_[0].state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    np.testing.assert_array_equal(again.anomaly_scores(test_images), scores)
    np.testing.assert_array_equal(again.calibration_scores_, model.calibration_scores_)
    assert again.history_ == model.history_
    np.testing.assert_array_equal(
        again.anomaly_maps(test_images[:1]), model.anomaly_maps(test_images[:1])
    )
    DifferNet.load(again.save(tmp_path / "a.safetensors"), progress=False)


def test_another_seed_is_another_model(
    small: dict[str, Any], category_folder: Path, scores: np.ndarray, test_images: list[Path]
) -> None:
    other = DifferNet(**small, seed=1).fit(category_folder)
    assert np.abs(other.anomaly_scores(test_images) / scores - 1).max() > 1e-3


def test_defects_score_higher_than_normals(
    model: DifferNet, scores: np.ndarray, test_images: list[Path]
) -> None:
    good = np.array([path.parent.name == "good" for path in test_images])
    assert scores[~good].mean() > scores[good].mean()


def test_calibration_images_are_not_trained_on(
    small: dict[str, Any], category_folder: Path
) -> None:
    train = sorted((category_folder / "train" / "good").iterdir())
    given = DifferNet(**small).fit(train[:6], calibration=train[6:])
    assert (given.n_train_, len(given.calibration_scores_)) == (6, 6)
    np.testing.assert_array_equal(given.calibration_scores_, given.anomaly_scores(train[6:]))
    split = DifferNet(**small, calibration="split").fit(train)
    all_scores = split.anomaly_scores(train)
    # not np.isin: some processors multiply 12 rows in another order of rounding than 6
    held_out = np.isclose(all_scores[:, None], split.calibration_scores_, rtol=1e-4, atol=0).any(1)
    assert held_out.sum() == 6
    assert all_scores[held_out].mean() > all_scores[~held_out].mean(), (
        "what was trained on scores lower"
    )


def test_too_few_images(tiny: dict[str, Any], tmp_path: Path, picture: Picture) -> None:
    with pytest.raises(
        DatasetError, match=r"at least 2 different normal images.*got 1; add images, or pass cali"
    ):
        DifferNet(**tiny).fit([picture()])
    with pytest.raises(DatasetError, match="got none"):
        DifferNet(**tiny).fit([])
    with pytest.raises(DatasetError, match="got none"):
        DifferNet(**tiny).fit([picture()], calibration=[])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        DifferNet(**tiny).fit(tmp_path / "nowhere")
    (tmp_path / "empty" / "train" / "good").mkdir(parents=True)
    with pytest.raises(DatasetError, match="found none"):
        DifferNet(**tiny).fit(tmp_path / "empty")


def test_one_image_without_calibration(tiny: dict[str, Any], picture: Picture) -> None:
    model = DifferNet(**tiny, calibration="none").fit(picture())
    assert model.n_train_ == 1 and model.calibration_scores_.shape == (0,)
    same, other = model.anomaly_scores([picture(), picture(1)])
    assert same < other
    assert model.history_["held_out"] == []
    for decide in (
        model.threshold,
        lambda: model.predict([picture()]),
        lambda: model.p_values([picture()]),
    ):
        with pytest.raises(ValueError, match="got none; fit with a calibration set"):
            decide()


def test_a_damaged_training_image_is_named(tiny: dict[str, Any], photographs: list[Path]) -> None:
    photographs[2].write_bytes(photographs[2].read_bytes()[:300])
    with pytest.raises(ImageError, match=r"2\.png: .*copy it again or remove it"):
        DifferNet(**tiny).fit(photographs)


@pytest.mark.parametrize("where", ["training", "reference maps"])
def test_an_interruption_leaves_the_earlier_fit(
    tiny: dict[str, Any],
    photographs: list[Path],
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    model = DifferNet(**tiny).fit(photographs)
    before = (
        model.anomaly_scores(photographs),
        model.anomaly_maps(photographs[:1]),
        model.threshold(0.5),
    )

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if where == "training":
            train_flow(*arguments, **options)
        raise KeyboardInterrupt

    if where == "training":
        monkeypatch.setattr(model_module, "train_flow", interrupted)
    else:
        monkeypatch.setattr(feature_detector, "reference_maps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit([picture(seed) for seed in range(20, 26)])
    np.testing.assert_array_equal(model.anomaly_scores(photographs), before[0])
    np.testing.assert_array_equal(model.anomaly_maps(photographs[:1]), before[1])
    assert model.threshold(0.5) == before[2]


def test_unknown_settings_and_presets() -> None:
    message = r"DifferNet: unknown option\(s\) \['epoch'\]; expected some of .*'epochs'"
    with pytest.raises(TypeError, match=message):
        DifferNet(epoch=3)
    with pytest.raises(ValueError, match="preset: expected one of 'default', 'paper', got 'papr'"):
        DifferNet("papr")
    with pytest.raises(ValueError, match="epochs: expected a whole number of at least 1, got 0"):
        DifferNet(epochs=0)
    for seed in (-1, 1.0, "0", True, None):
        with pytest.raises((TypeError, ValueError), match="seed: expected a whole number"):
            DifferNet(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="progress: expected True or False"):
        DifferNet(progress="no")  # type: ignore[arg-type]
    assert DifferNet(Settings(epochs=7), device="cpu", hidden=9).settings == Settings(
        epochs=7, hidden=9
    )


# ---------------------------------------------------------------- use


def test_one_image_scores_as_in_company(
    model: DifferNet, small: dict[str, Any], test_images: list[Path], scores: np.ndarray
) -> None:
    alone = DifferNet(**small, cache=None)
    fitted = ("flows_", "calibration_scores_", "angles_", "reference_")
    vars(alone).update({name: getattr(model, name) for name in fitted})
    for k in (0, 5, len(test_images) - 1):
        for form in (test_images[k], [test_images[k]], [np.asarray(as_rgb(test_images[k]))]):
            np.testing.assert_allclose(alone.anomaly_scores(form), scores[k : k + 1], rtol=1e-5)
    np.testing.assert_allclose(alone.anomaly_scores(test_images[::-1]), scores[::-1], rtol=1e-5)


def test_a_folder_is_scored_in_natural_order(model: DifferNet, category_folder: Path) -> None:
    folder = category_folder / "test" / "good"
    np.testing.assert_array_equal(
        model.anomaly_scores(folder), model.anomaly_scores(sorted(folder.iterdir()))
    )
    np.testing.assert_array_equal(
        np.concatenate(list(model.iter_anomaly_scores(folder))), model.anomaly_scores(str(folder))
    )


def test_no_images_give_no_scores(model: DifferNet, tmp_path: Path) -> None:
    assert model.anomaly_scores([]).shape == (0,)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        model.anomaly_scores(tmp_path / "nowhere")


@pytest.mark.parametrize("alpha", [1 / 7, 0.2, 0.3, 0.5, 0.9])
def test_predict_is_the_p_value_at_most_alpha(
    model: DifferNet, category_folder: Path, alpha: float
) -> None:
    images = [
        *sorted((category_folder / "test").rglob("*.png")),
        *sorted((category_folder / "train").rglob("*.png")),
    ]
    np.testing.assert_array_equal(
        model.predict(images, alpha=alpha), model.p_values(images) <= alpha
    )


def test_p_values_are_those_of_the_calibration_scores(
    model: DifferNet, test_images: list[Path], scores: np.ndarray
) -> None:
    np.testing.assert_array_equal(
        model.p_values(test_images), p_values(model.calibration_scores_, scores)
    )


def test_a_rate_that_the_calibration_cannot_give(model: DifferNet, test_images: list[Path]) -> None:
    with pytest.raises(
        TooFewNormalsError, match=r"5\.00% needs at least 19 held-out normal images, got 12"
    ):
        model.predict(test_images)
    with pytest.warns(UserWarning, match="cannot guarantee"):
        fallback = model.threshold(0.05, if_too_few="fallback")
    assert (fallback.rule, fallback.guaranteed) == ("cross-conformal", None)
    assert fallback.smallest_alpha == pytest.approx(1 / 13)
    with pytest.raises(ValueError, match="alpha"):
        model.threshold(5)


def test_cross_fitted_scores_are_of_flows_that_did_not_see_them(
    model: DifferNet, small: dict[str, Any], category_folder: Path
) -> None:
    """A normal's own score is that of its fold's flow; a new image's is the mean of all flows."""
    train = sorted((category_folder / "train" / "good").iterdir())
    folds = cross_splits(range(12), 5, seed=0)[1:]
    rows = model.features(train).mean(1)
    with torch.no_grad():
        each = torch.stack([flow(rows)[0].square().mean(1) for flow in model.flows_]).numpy()
    assert len(model.flows_) == len(folds) == 5
    for k, fold in enumerate(folds):
        own = model.calibration_scores_[fold.calibrate]
        np.testing.assert_allclose(own, each[k, fold.calibrate], rtol=1e-4)
        assert (own > each[np.arange(5) != k][:, fold.calibrate]).mean() > 0.9, "not seen: higher"
    np.testing.assert_allclose(model.anomaly_scores(train), each.mean(0), rtol=1e-4)
    with pytest.raises(AttributeError, match="this model has 5, see flows_"):
        _ = model.flow_
    assert len(DifferNet(**small, calibration="split").fit(train).flows_) == 1


def test_maps(model: DifferNet, test_images: list[Path]) -> None:
    maps = model.anomaly_maps(test_images[:3])
    assert maps.shape == (3, 256, 256)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() > 0
    np.testing.assert_array_equal(maps[1], model.anomaly_maps(test_images[1])[0])
    np.testing.assert_array_equal(maps, model.anomaly_maps(test_images[:3], method="distance"))
    for method in ("attribution", "deviation", "gradient"):
        other = model.anomaly_maps(test_images[:3], method=method)
        assert not np.array_equal(maps, other)
        assert not np.array_equal(
            other, model.anomaly_maps(test_images[:3], method=method, n_angles=1)
        )


def test_without_reference_images_maps_are_gradients(
    tiny: dict[str, Any], photographs: list[Path]
) -> None:
    model = DifferNet(**tiny | {"reference_images": 0}).fit(photographs)
    np.testing.assert_array_equal(
        model.anomaly_maps(photographs[:1]), model.anomaly_maps(photographs[:1], method="gradient")
    )
    with pytest.raises(ValueError, match="reference_images > 0"):
        model.anomaly_maps(photographs[:1], method="attribution")


def test_silence(
    tiny: dict[str, Any], photographs: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    model = DifferNet(**tiny).fit(photographs)
    model.predict(photographs, alpha=0.5)
    model.anomaly_maps(photographs[:1])
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- presets and transformations


def test_paper_preset_works_end_to_end(photographs: list[Path], tmp_path: Path) -> None:
    t = Transformations(angles=None, n_train=2, n_test=5, fill="black", interpolation="nearest")
    model = DifferNet(
        "paper",
        epochs=2,
        hidden=8,
        size=64,
        n_scales=1,
        dtype="float32",
        transformations=t,
        batch_images=2,
        device="cpu",
        progress=False,
    ).fit(photographs)
    assert len(model.angles_) == len(set(model.angles_)) == 5
    assert len(model.history_["train"]) == 2
    assert np.isfinite(model.history_["train"]).all()
    scores = model.anomaly_scores(photographs)
    np.testing.assert_array_equal(scores, model.anomaly_scores(photographs))
    loaded = DifferNet.load(
        model.save(tmp_path / "paper.safetensors"), device="cpu", progress=False
    )
    assert loaded.angles_ == model.angles_
    np.testing.assert_array_equal(loaded.anomaly_scores(photographs), scores)
    assert model.anomaly_maps(photographs[:1]).max() > 0


def test_fresh_angles_in_every_step(
    tiny: dict[str, Any], photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[torch.Tensor] = []
    draw = Transformations.draw_angles

    def spy(self: Transformations, n: int, generator: torch.Generator) -> torch.Tensor:
        drawn.append(draw(self, n, generator))
        return drawn[-1]

    arguments = tiny | {
        "transformations": Transformations(n_train=3, n_test=2),
        "pool_views": False,
        "batch_images": 2,
        "epochs": 2,
        "whiten": False,
        "calibration": "split",
    }
    model = DifferNet(**arguments)
    monkeypatch.setattr(Transformations, "draw_angles", spy)
    model.fit(photographs)  # 3 to train on: 2 steps an epoch
    fresh = [angles for angles in drawn if len(angles) != 2]  # 2 are the fixed ones for scoring
    assert [len(angles) for angles in fresh] == [6, 3, 6, 3]
    assert torch.cat(fresh).unique().numel() == 18


def test_no_rotation_tells_a_turned_part(tiny: dict[str, Any], picture: Picture) -> None:
    base = picture(0).astype(float)
    normal = [
        np.clip(base + 0.1 * (picture(k).astype(float) - 128), 0, 255).astype(np.uint8)
        for k in range(1, 9)
    ]
    turned = np.ascontiguousarray(np.rot90(normal[0], 2))
    fixed = DifferNet(**tiny | {"transformations": Transformations.none()}, holdout=0.25).fit(
        normal
    )
    grid = DifferNet(**tiny, holdout=0.25).fit(normal)
    assert fixed.anomaly_scores([turned])[0] > 1.5 * fixed.calibration_scores_.max()
    np.testing.assert_allclose(
        grid.anomaly_scores([turned]), grid.anomaly_scores(normal[:1]), rtol=1e-3
    )


def test_jitter_works_end_to_end(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path
) -> None:
    t = Transformations.grid(2, brightness=0.1, contrast=0.1)
    model = DifferNet(**tiny | {"transformations": t}).fit(photographs)
    scores = model.anomaly_scores(photographs)
    np.testing.assert_allclose(model.anomaly_scores(photographs[3]), scores[3:4], rtol=1e-5)
    loaded = DifferNet.load(model.save(tmp_path / "a.safetensors"), device="cpu", progress=False)
    np.testing.assert_array_equal(loaded.anomaly_scores(photographs), scores)


@pytest.mark.parametrize("pool_views", [True, False])
def test_the_log_det_is_part_of_every_score_or_of_none(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path, pool_views: bool
) -> None:
    """One training, two scores: the calibration's, the stream's, a loaded model's and the maps'."""
    fits = [
        DifferNet(**tiny, use_log_det=use, pool_views=pool_views).fit(
            photographs[:3], calibration=photographs[3:]
        )
        for use in (False, True)
    ]
    states = [model.flow_.state_dict() for model in fits]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    for use, model in zip((False, True), fits, strict=True):
        y = model.features(photographs)
        rows = y.mean(1, keepdim=True) if pool_views else y  # (N, V, D)
        with torch.no_grad():
            z, log_det = model.flow_(rows.flatten(0, 1))
        expected = z.square().mean(1) - 2 * log_det / z.shape[1] if use else z.square().mean(1)
        expected = expected.view(5, -1).mean(1).double().numpy()
        assert (log_det.abs() / z.shape[1]).min() > 0.1
        np.testing.assert_allclose(model.anomaly_scores(photographs), expected, rtol=1e-4)
        np.testing.assert_allclose(model.calibration_scores_, expected[3:], rtol=1e-4)
        stream = np.concatenate(list(model.iter_anomaly_scores(photographs)))
        np.testing.assert_allclose(stream, expected, rtol=1e-4)
        np.testing.assert_allclose(model.judge(photographs, alpha=0.5).scores, expected, rtol=1e-4)
        loaded = DifferNet.load(model.save(tmp_path / f"{use}"), device="cpu", progress=False)
        assert loaded.settings.use_log_det is use
        np.testing.assert_allclose(loaded.anomaly_scores(photographs), expected, rtol=1e-4)
        flow_rows = rows.flatten(0, 1).requires_grad_(True)
        z, log_det = model.flow_(flow_rows)
        total = z.square().mean(1).sum() - use * 2 * log_det.sum() / z.shape[1]
        (slope,) = torch.autograd.grad(total, flow_rows)
        gradient = model.localizer.scorer.gradient(y)
        wanted = slope.view(5, -1, y.shape[-1]).expand_as(y)
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


def test_the_held_out_images_depend_on_the_seed(
    tiny: dict[str, Any], picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, splits = [picture(k) for k in range(10)], []

    def stop(self: DifferNet, images: Any, chosen: Any) -> Any:
        splits.extend(chosen)
        raise KeyboardInterrupt

    monkeypatch.setattr(DifferNet, "_fit", stop)
    for seed in (0, 0, 1):
        with pytest.raises(KeyboardInterrupt):
            DifferNet(**tiny, seed=seed, calibration="split").fit(images)
    assert splits[0] == splits[1] == held_out_split(range(10), 0.2, seed=0)
    assert splits[2] == held_out_split(range(10), 0.2, seed=1) != splits[0]
