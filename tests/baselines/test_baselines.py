"""The baselines: one contract for all, and the methods on features by their formulas."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.svm import OneClassSVM

from differnet_course.baselines import BASELINES, load_detector, make_detector
from differnet_course.baselines.feature_methods import reduced, reduction
from differnet_course.samples import make_sample_category
from differnet_lite.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from differnet_lite.detector import Detector, NotFittedError
from differnet_lite.folders import DatasetError, load_category
from differnet_lite.images import ImageError
from differnet_lite.metrics import auroc
from differnet_lite.model import DifferNet
from differnet_lite.splits import held_out_split
from differnet_lite.transforms import Transformations

ON_FEATURES = ["ocsvm", "1-nn", "mahalanobis"]
NETWORKS = [name for name in BASELINES if name not in ON_FEATURES]
METHODS = ["differnet", *BASELINES]


# ---------------------------------------------------------------- the contract


@pytest.mark.usefixtures("untouched_generators")
@pytest.mark.parametrize("name", METHODS)
def test_the_contract(
    name: str, make: Callable[..., Any], photographs: list[Path], tmp_path: Path
) -> None:
    detector = make(name)
    assert isinstance(detector, Detector)
    assert type(detector) is (DifferNet if name == "differnet" else BASELINES[name])
    assert type(detector).kind == name
    with pytest.raises(NotFittedError, match="has not been fitted"):
        detector.anomaly_scores(photographs)
    with pytest.raises(NotFittedError, match="has not been fitted"):
        detector.save(tmp_path / "early.safetensors")

    assert detector.fit(photographs[:4], calibration=photographs[4:]) is detector
    scores = detector.anomaly_scores(photographs)
    assert scores.shape == (5,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.calibration_scores_.shape, (1,))
    np.testing.assert_allclose(detector.calibration_scores_, scores[4:], rtol=1e-5)
    np.testing.assert_array_equal(
        detector.anomaly_scores(photographs[0].parent), scores
    )  # a folder, sorted
    assert detector.anomaly_scores([]).shape == (0,)
    assert detector.n_train_ == 4

    with torch.inference_mode():  # what the caller has switched on must not matter
        again = (
            make(name).fit(photographs[:4], calibration=photographs[4:])
            if name != "differnet"
            else detector
        )
    np.testing.assert_array_equal(again.anomaly_scores(photographs), scores)
    if name not in ON_FEATURES:
        other = make(name, seed=1).fit(photographs[:4], calibration=photographs[4:])
        assert (other.anomaly_scores(photographs) != scores).all()

    path = detector.save(tmp_path / "detector.safetensors")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["detector.safetensors"]
    loaded = type(detector).load(path, device="cpu", progress=False)
    np.testing.assert_array_equal(loaded.anomaly_scores(photographs), scores)
    np.testing.assert_array_equal(loaded.calibration_scores_, detector.calibration_scores_)
    assert (loaded.seed, loaded.n_train_, loaded.progress) == (0, 4, False)
    assert loaded.settings == detector.settings
    maps = detector.anomaly_maps(photographs[3:])
    side = detector.settings.size
    assert maps.shape == (2, side, side) and maps.dtype == np.float32
    assert maps.min() >= 0
    if name != "1-nn":  # one place alone at 64 px, and its share of a distance may be negative
        assert maps.max() > 0 and not np.array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(loaded.anomaly_maps(photographs[3:]), maps)
    any_kind = load_detector(path, device="cpu", progress=False)
    assert type(any_kind) is type(detector)
    np.testing.assert_array_equal(any_kind.anomaly_scores(photographs), scores)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_calibrated_like_the_flow(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    """A held-out share, by the same split; the rest trains. By default nothing is held out."""
    detector = make(name, calibration="split", seed=4).fit(photographs)
    train, calibrate = held_out_split(range(5), 0.2, seed=4)
    assert (detector.n_train_, len(detector.calibration_scores_)) == (3, 2)
    alone = make(name, seed=4).fit([photographs[i] for i in train])
    held_out = alone.anomaly_scores([photographs[i] for i in calibrate])
    np.testing.assert_allclose(detector.calibration_scores_, held_out, rtol=1e-4, atol=1e-6)
    assert detector.threshold(0.4).n == 2
    assert set(detector.p_values(photographs)) <= {1 / 3, 2 / 3, 1.0}
    flagged = detector.predict(photographs, alpha=0.4)
    np.testing.assert_array_equal(flagged, detector.p_values(photographs) <= 0.4)
    assert alone.n_train_ == 3 and alone.calibration_scores_.shape == (0,)
    with pytest.raises(ValueError, match="got none; fit with a calibration set"):
        alone.threshold(0.4)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_data_says_so(name: str, make: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for nothing, error in (
        ([], DatasetError),
        (tmp_path / "empty", DatasetError),
        (tmp_path / "gone", FileNotFoundError),
    ):
        with pytest.raises(error):
            make(name).fit(nothing)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        make(name).fit([tmp_path / "broken.png"] * 2)


@pytest.mark.parametrize("name", BASELINES)
def test_files_that_are_no_such_model(
    name: str, make: Callable[..., Any], photographs: list[Path], tmp_path: Path
) -> None:
    path = make(name).fit(photographs).save(tmp_path / "whole.safetensors")
    bad, kind = tmp_path / "bad.safetensors", BASELINES[name]
    bad.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: damaged, cut short"):
        kind.load(bad, device="cpu")
    with pytest.raises(CheckpointError, match=f"expected a 'differnet' model, got a '{name}' one"):
        DifferNet.load(path, device="cpu")
    header, content = read_checkpoint(path)
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (header | {"settings": header["settings"] | {"novelty": 1}}, content),
        ({key: value for key, value in header.items() if key != "seed"}, content),
        (header, {key: value for key, value in content.items() if key == "calibration_scores"}),
        (header, {key: value for key, value in content.items() if key != "calibration_scores"}),
        (
            header
            | (
                {"trunk": "alexnet/0/float32"}
                if name in ON_FEATURES
                else {"settings": header["settings"] | {"width": 8}}
            ),
            content,
        ),
    ]
    for changed, tensors in cases:
        kept = {k: v for k, v in changed.items() if k not in ("kind", "format")}
        write_checkpoint(bad, tensors, kept, kind=name)
        with pytest.raises(
            CheckpointError, match=r"bad\.safetensors: the file is incomplete or of another version"
        ):
            kind.load(bad, device="cpu")


def test_unknown_names_and_options_list_what_exists() -> None:
    with pytest.raises(
        ValueError, match=r"method: expected one of 'differnet', 'ocsvm', '1-nn'.*got 'knn'"
    ):
        make_detector("knn")
    for name, known in (
        ("differnet", "epochs"),
        ("ocsvm", "nu"),
        ("1-nn", "n_components"),
        ("mahalanobis", "noise"),
        ("dsebm", "steps"),
    ):
        with pytest.raises(TypeError, match=rf"\['depth'\]; expected some of .*'{known}'"):
            make_detector(name, depth=3)
    for name, option in (
        ("dsebm", {"score": "l3"}),
        ("autoencoder-l2", {"score": "l3"}),
        ("geotrans", {"size": 48}),
        ("ganomaly", {"steps": 0}),
        ("dsebm", {"noise": 0}),
        ("1-nn", {"n_components": 0}),
        ("ocsvm", {"transformations": Transformations()}),
    ):
        with pytest.raises(ValueError, match=r"expected|needs"):
            make_detector(name, **option)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loss_that_explodes_says_what_to_do_and_leaves_the_detector(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    detector = make(name).fit(photographs)
    before = detector.anomaly_scores(photographs)
    detector.settings = dataclasses.replace(detector.settings, learning_rate=1e30, steps=20)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        detector.fit(photographs[:2])
    detector.settings = make(name).settings
    np.testing.assert_array_equal(detector.anomaly_scores(photographs), before)
    assert detector.n_train_ == 5


@pytest.mark.parametrize("name", BASELINES)
def test_one_image_is_enough_to_fit(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    assert np.isfinite(make(name).fit(photographs[:1]).anomaly_scores(photographs)).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_what_the_network_sees(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    x = make(name).inputs(photographs)
    assert x.shape == (len(photographs), 3, 32, 32)
    assert -1 <= x.min() < x.max() <= 1


def test_the_list_of_methods_costs_nothing_to_import() -> None:
    heavy = "{'torch', 'sklearn', 'numpy'}"
    statement = f"import sys, differnet_course.baselines; print({heavy} & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", statement], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )


# ---------------------------------------------------------------- on features


@pytest.fixture(scope="module")
def weave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 normal training images, 6 normal test images and 3 of each kind of defect."""
    return make_sample_category(
        "weave",
        tmp_path_factory.mktemp("weave"),
        n_train=16,
        n_test_good=6,
        n_per_defect=3,
        progress=False,
    )


@pytest.mark.parametrize("name", ON_FEATURES)
def test_feature_methods_find_defects(name: str, make: Callable[..., Any], weave: Path) -> None:
    category = load_category(weave)
    scores = make(name, size=256, n_scales=3).fit(weave).anomaly_scores(category.test)
    assert auroc(category.labels, scores) > 0.8


def test_mahalanobis_is_differnet_before_training(
    make: Callable[..., Any], photographs: list[Path]
) -> None:
    untrained = make(
        "differnet", epochs=1, learning_rate=1e-30, weight_decay=0.0, calibration="none"
    ).fit(photographs)
    np.testing.assert_allclose(
        make("mahalanobis").fit(photographs).anomaly_scores(photographs),
        untrained.anomaly_scores(photographs),
        rtol=1e-4,
    )
    again = make("mahalanobis", pool_views=False).fit(photographs).anomaly_scores(photographs)
    untrained = make(
        "differnet",
        epochs=1,
        learning_rate=1e-30,
        weight_decay=0.0,
        calibration="none",
        pool_views=False,
    ).fit(photographs)
    np.testing.assert_allclose(again, untrained.anomaly_scores(photographs), rtol=1e-4)


def test_nearest_neighbour_is_the_distance_to_the_nearest(
    make: Callable[..., Any], photographs: list[Path]
) -> None:
    detector = make("1-nn", pool_views=False).fit(photographs[:3])
    np.testing.assert_allclose(detector.anomaly_scores(photographs[:3]), 0, atol=1e-5)
    rows = detector.features(photographs[:3]).flatten(0, 1)  # (12, D)
    new = detector.features(photographs[3:]).flatten(0, 1)  # (8, D)
    state = reduction(rows, 64)
    old, here = reduced(rows, state).numpy(), reduced(new, state).numpy()
    nearest = np.linalg.norm(here[:, None] - old[None], axis=2).min(1)
    np.testing.assert_allclose(
        detector.anomaly_scores(photographs[3:]), nearest.reshape(2, 4).mean(1), rtol=1e-9
    )


def test_reduction_keeps_distances_and_tames_dead_channels() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 20))
    rows[:, 3] = 1.0  # dead

    def reduce(fitted: np.ndarray, k: int, new: np.ndarray) -> np.ndarray:
        state = reduction(torch.from_numpy(fitted), k)
        return reduced(torch.from_numpy(new), state).numpy()

    components = reduce(rows, 64, rows)
    z = (rows - rows.mean(0)) / np.maximum(rows.std(0), 0.01)
    np.testing.assert_allclose(
        np.linalg.norm(components[0] - components, axis=1), np.linalg.norm(z[0] - z, axis=1)
    )
    largest = np.sort(np.linalg.eigvalsh(np.cov(z.T, bias=True)))[-5:]
    assert np.var(reduce(rows, 5, rows), axis=0).sum() == pytest.approx(largest.sum())
    moved = rows[:1] + 0.001 * (np.arange(20) == 3)
    assert np.abs(reduce(rows[:1], 64, moved)).max() == pytest.approx(0.1)


def test_ocsvm_is_scikit_learns_and_leaves_few_training_images_outside(
    make: Callable[..., Any],
) -> None:
    detector = make("ocsvm", nu=0.1, pool_views=False)
    rows = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    state = detector._learn(rows[:, None])
    score = detector._row_score(state)
    assert 0.02 < float((score(rows) > 1e-6).double().mean()) <= 0.12
    assert score(torch.zeros(1, 6))[0] < 0 < score(torch.full((1, 6), 9.0))[0]
    components = reduced(rows, state).numpy()
    machine = OneClassSVM(nu=0.1, gamma="scale").fit(components)
    new = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    expected = -machine.decision_function(reduced(new, state).numpy())
    np.testing.assert_allclose(score(new).numpy(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ON_FEATURES)
def test_scores_of_rows_are_differentiable(name: str, make: Callable[..., Any]) -> None:
    detector = make(name, pool_views=False)
    features = torch.randn(40, 1, 6, generator=torch.Generator().manual_seed(0))
    score = detector._row_score(detector._learn(features))
    row = torch.randn(1, 6, generator=torch.Generator().manual_seed(1)).double()
    assert torch.autograd.gradcheck(score, row.requires_grad_(True), atol=1e-4)
