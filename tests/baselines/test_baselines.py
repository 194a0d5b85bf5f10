"""The baselines: one contract for all, and for each method data on which its idea must work, or must fail."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from differnet_lite.baselines import BASELINES, Detector, make_detector
from differnet_lite.baselines.autoencoder import ssim
from differnet_lite.baselines.feature_methods import reduction
from differnet_lite.baselines.geotrans import symmetries
from differnet_lite.cache import FeatureBank
from differnet_lite.data.checkpoint import CheckpointError, NotFittedError
from differnet_lite.data.datasets import DatasetError, load_category
from differnet_lite.data.images import ImageError
from differnet_lite.evaluation.metrics import auroc
from differnet_lite.model import DifferNet
from differnet_lite.samples import make_sample_category
from differnet_lite.transforms import Transformations

ON_FEATURES = ["ocsvm", "1-nn", "mahalanobis"]
NETWORKS = [name for name in BASELINES if name not in ON_FEATURES]
METHODS = ["differnet", *BASELINES]
FEATURES = {
    "transformations": Transformations.grid(4),
    "size": 64,
    "n_scales": 1,
    "dtype": "float32",
}
NETWORK = {"size": 32, "steps": 3, "width": 4, "batch_size": 4}
Arrays = list[np.ndarray]


@pytest.fixture
def make(tiny: dict[str, Any]) -> Callable[..., Any]:
    """Makes a small, fast detector: make(name, **options)."""

    def made(name: str, **options: Any) -> Any:
        small = tiny if name == "differnet" else FEATURES if name in ON_FEATURES else NETWORK
        return make_detector(name, **{"device": "cpu", "progress": False} | small | options)

    return made


# ---------------------------------------------------------------- the contract


@pytest.mark.usefixtures("untouched_generators")
@pytest.mark.parametrize("name", METHODS)
def test_the_contract(
    name: str, make: Callable[..., Any], photographs: list[Path], tmp_path: Path
) -> None:
    detector = make(name)
    assert isinstance(detector, Detector)
    assert type(detector) is (DifferNet if name == "differnet" else BASELINES[name])
    with pytest.raises(NotFittedError, match="has not been fitted"):
        detector.score_samples(photographs)
    with pytest.raises(NotFittedError, match="has not been fitted"):
        detector.save(tmp_path / "early.safetensors")

    assert detector.fit(photographs[:4], calibration=photographs[4:]) is detector
    scores = detector.score_samples(photographs)
    assert scores.shape == (5,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    np.testing.assert_array_equal(detector.calibration_scores_.shape, (1,))
    np.testing.assert_allclose(detector.calibration_scores_, scores[4:], rtol=1e-5)
    np.testing.assert_array_equal(
        detector.score_samples(photographs[0].parent), scores
    )  # a folder, sorted
    assert detector.score_samples([]).shape == (0,)
    assert detector.n_train_ == 4

    with torch.inference_mode():  # what the caller has switched on must not matter
        again = (
            make(name).fit(photographs[:4], calibration=photographs[4:])
            if name != "differnet"
            else detector
        )
    np.testing.assert_array_equal(again.score_samples(photographs), scores)
    if name not in ON_FEATURES:
        other = make(name, seed=1).fit(photographs[:4], calibration=photographs[4:])
        assert (other.score_samples(photographs) != scores).all()

    path = detector.save(tmp_path / "detector.safetensors")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["detector.safetensors"]
    loaded = type(detector).load(path, device="cpu", progress=False)
    np.testing.assert_array_equal(loaded.score_samples(photographs), scores)
    np.testing.assert_array_equal(loaded.calibration_scores_, detector.calibration_scores_)
    assert (loaded.seed, loaded.n_train_, loaded.progress) == (0, 4, False)
    assert loaded.settings == detector.settings


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
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = make(name).fit(photographs).save(tmp_path / "whole.safetensors")
    bad, kind = tmp_path / "bad.safetensors", BASELINES[name]
    bad.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"bad\.safetensors: damaged, cut short"):
        kind.load(bad, device="cpu")
    with pytest.raises(CheckpointError, match=f"expected a 'differnet' model, got a '{name}' one"):
        DifferNet.load(path, device="cpu")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["differnet_lite"])
    content = load_file(path)
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
        save_file(tensors, bad, metadata={"differnet_lite": json.dumps(changed)})
        with pytest.raises(
            CheckpointError, match=r"bad\.safetensors: the file is incomplete or of another version"
        ):
            kind.load(bad, device="cpu")


def test_unknown_names_and_options_list_what_exists() -> None:
    with pytest.raises(
        ValueError, match=r"expected one of \['differnet', 'ocsvm', '1-nn'.*got 'knn'"
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
    before = detector.score_samples(photographs)
    detector.settings = dataclasses.replace(detector.settings, learning_rate=1e30, steps=20)
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        detector.fit(photographs[:2])
    detector.settings = make(name).settings
    np.testing.assert_array_equal(detector.score_samples(photographs), before)
    assert detector.n_train_ == 5


@pytest.mark.parametrize("name", BASELINES)
def test_one_image_is_enough_to_fit(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    assert np.isfinite(make(name).fit(photographs[:1]).score_samples(photographs)).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_what_the_network_sees(
    name: str, make: Callable[..., Any], photographs: list[Path]
) -> None:
    x = make(name).inputs(photographs)
    assert x.shape == (len(photographs), 3, 32, 32)
    assert -1 <= x.min() < x.max() <= 1


def test_the_list_of_methods_costs_nothing_to_import() -> None:
    statement = "import sys, differnet_lite.baselines; print({'torch', 'sklearn', 'numpy'} & set(sys.modules))"
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
    scores = make(name, size=256, n_scales=3).fit(weave).score_samples(category.test)
    assert auroc(category.labels, scores) > 0.8


def test_mahalanobis_is_differnet_before_training(
    make: Callable[..., Any], photographs: list[Path]
) -> None:
    untrained = make("differnet", epochs=1, learning_rate=0.0, weight_decay=0.0, holdout=0.0).fit(
        photographs
    )
    np.testing.assert_allclose(
        make("mahalanobis").fit(photographs).score_samples(photographs),
        untrained.score_samples(photographs),
        rtol=1e-4,
    )
    again = make("mahalanobis", pool_views=False).fit(photographs).score_samples(photographs)
    untrained = make(
        "differnet", epochs=1, learning_rate=0.0, weight_decay=0.0, holdout=0.0, pool_views=False
    ).fit(photographs)
    np.testing.assert_allclose(again, untrained.score_samples(photographs), rtol=1e-4)


def test_nearest_neighbour_is_the_distance_to_the_nearest(
    make: Callable[..., Any], photographs: list[Path]
) -> None:
    detector = make("1-nn", pool_views=False).fit(photographs[:3])
    np.testing.assert_allclose(detector.score_samples(photographs[:3]), 0, atol=1e-5)
    bank: FeatureBank = detector.bank
    rows = (
        bank.features(photographs[:3], detector.angles_).flatten(0, 1).double().numpy()
    )  # (12, D)
    reduce = reduction(rows, 64)
    new = reduce(
        bank.features(photographs[3:], detector.angles_).flatten(0, 1).double().numpy()
    )  # (8, K)
    nearest = np.linalg.norm(new[:, None] - reduce(rows)[None], axis=2).min(1)
    np.testing.assert_allclose(
        detector.score_samples(photographs[3:]), nearest.reshape(2, 4).mean(1), rtol=1e-9
    )


def test_reduction_keeps_distances_and_tames_dead_channels() -> None:
    rows = np.random.default_rng(0).standard_normal((30, 20))
    rows[:, 3] = 1.0  # dead
    reduced = reduction(rows, 64)(rows)
    z = (rows - rows.mean(0)) / np.maximum(rows.std(0), 0.01)
    np.testing.assert_allclose(
        np.linalg.norm(reduced[0] - reduced, axis=1), np.linalg.norm(z[0] - z, axis=1)
    )
    assert np.var(reduction(rows, 5)(rows), axis=0).sum() == pytest.approx(
        np.sort(np.linalg.eigvalsh(np.cov(z.T, bias=True)))[-5:].sum()
    )
    moved = rows[:1] + 0.001 * (np.arange(20) == 3)
    assert np.abs(reduction(rows[:1], 64)(moved)).max() == pytest.approx(0.1)


def test_ocsvm_leaves_few_training_images_outside(make: Callable[..., Any]) -> None:
    detector = make("ocsvm", nu=0.1)
    rows = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    score = detector._scorer({"rows": rows})
    assert 0.02 < np.mean(score(rows.double().numpy()) > 1e-6) <= 0.12
    assert score(np.zeros((1, 6)))[0] < 0 < score(np.full((1, 6), 9.0))[0]


# ---------------------------------------------------------------- with a network


def oriented(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """Noise under a ramp and a bright spot upper left; with the defect the spot lies lower right."""
    rng, (v, u) = np.random.default_rng(seed), np.mgrid[:32, :32]
    corner = (23, 23) if defect else (8, 8)
    clean = 60 + 2 * v + 100 * np.exp(-((v - corner[0]) ** 2 + (u - corner[1]) ** 2) / 18)
    return [
        np.clip(clean + 8 * rng.standard_normal((32, 32)), 0, 255).astype(np.uint8)
        for _ in range(n)
    ]


def turned(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """The same, each picture in one of the 8 positions at random: parts that lie as they fell."""
    rng = np.random.default_rng(seed + 100)
    return [
        np.rot90(image if rng.integers(2) else image[:, ::-1], rng.integers(4))
        for image in oriented(n, seed=seed, defect=defect)
    ]


def stripes(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """Stripes of random phase; with the defect a bright blob somewhere on them."""
    rng, (v, u) = np.random.default_rng(seed), np.mgrid[:32, :32]
    images = []
    for _ in range(n):
        clean = 110 + 50 * np.sin(u / 2.5 + rng.uniform(0, 6.3)) + 4 * rng.standard_normal((32, 32))
        at = rng.integers(8, 24, 2)
        images.append(
            np.clip(
                clean + defect * 150 * np.exp(-((v - at[0]) ** 2 + (u - at[1]) ** 2) / 12), 0, 255
            ).astype(np.uint8)
        )
    return images


def texture(n: int, *, seed: int, defect: bool = False) -> Arrays:
    """Fine random texture; the defect is that there is none: a plain grey image."""
    rng = np.random.default_rng(seed)
    contrast = 2 if defect else 40
    return [
        np.clip(
            128 + contrast * ndimage.gaussian_filter(rng.standard_normal((32, 32)), 0.7) * 2, 0, 255
        ).astype(np.uint8)
        for _ in range(n)
    ]


def measured(detector: Any, pictures: Callable[..., Arrays]) -> tuple[float, np.ndarray]:
    """AUROC and the scores of 20 normal and 20 defective pictures, after fitting 40 others."""
    scores = detector.fit(pictures(40, seed=0)).score_samples(
        pictures(20, seed=1) + pictures(20, seed=2, defect=True)
    )
    return auroc(np.arange(40) >= 20, scores), scores


def test_symmetries_are_the_eight_of_the_square() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    views = {tuple(view.flatten().tolist()) for view in symmetries(x)[0]}
    assert len(views) == 8
    assert {tuple(view.flatten().tolist()) for view in symmetries(x.mT)[0]} == views  # a group
    assert torch.equal(symmetries(x)[:, 0], x)


def test_geotrans_finds_what_is_turned(make: Callable[..., Any]) -> None:
    value, scores = measured(make("geotrans", width=8, steps=60), oriented)
    assert value > 0.95
    assert scores[:20].max() < 1 < math.log(8)  # it knows how a normal image was turned


def test_geotrans_is_blind_where_parts_lie_as_they_fell(make: Callable[..., Any]) -> None:
    """The same defect; but who can tell how a picture was turned if it lay in any position before? The best answer is 1/8 each."""
    value, scores = measured(make("geotrans", width=8, steps=60), turned)
    assert scores[:20].mean() == pytest.approx(math.log(8), abs=0.1)
    assert 0.25 < value < 0.75
    assert (
        measured(make("autoencoder-l2", width=8, steps=120), turned)[0] > 0.95
    )  # though the defect is there to be seen


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ganomaly", {"steps": 200}),
        ("dsebm", {"steps": 200}),
        ("dsebm", {"steps": 200, "score": "reconstruction"}),
        ("autoencoder-l2", {"steps": 200}),
        ("autoencoder-ssim", {"steps": 200}),
    ],
)
def test_a_bright_blob_is_found(
    name: str, options: dict[str, Any], make: Callable[..., Any]
) -> None:
    assert measured(make(name, width=8, batch_size=16, **options), stripes)[0] > 0.9


@pytest.mark.parametrize(
    ("name", "options"), [("autoencoder-l2", {"steps": 120}), ("dsebm", {"steps": 100})]
)
def test_what_is_simpler_than_normal_looks_more_normal(
    name: str, options: dict[str, Any], make: Callable[..., Any]
) -> None:
    """An autoencoder reproduces a plain surface best of all, and near the mean image the energy is lowest."""
    value, _ = measured(make(name, width=8, **options), texture)
    assert value < 0.1


def test_structure_finds_what_squared_error_misses(make: Callable[..., Any]) -> None:
    """Test images are brighter than training images, and the defect is a dim patch: an error smaller than the shift, but in the structure."""
    normal = [image + np.uint8(20) for image in stripes(20, seed=1)]
    patched = [image.copy() for image in stripes(20, seed=2)]
    for image in patched:
        image[10:20, 10:20] = image[10:20, 10:20].T
    value = {}
    for name in ("autoencoder-l2", "autoencoder-ssim"):
        scores = (
            make(name, width=8, batch_size=16, steps=200)
            .fit(stripes(40, seed=0))
            .score_samples(normal + patched)
        )
        value[name] = auroc(np.arange(40) >= 20, scores)
    assert value["autoencoder-ssim"] > 0.9
    assert value["autoencoder-l2"] < 0.5


def test_ganomaly_scores_do_not_depend_on_their_company(make: Callable[..., Any]) -> None:
    detector = make("ganomaly").fit(stripes(8, seed=0))
    images = stripes(4, seed=1)
    np.testing.assert_allclose(
        np.concatenate([detector.score_samples([image]) for image in images]),
        detector.score_samples(images),
        rtol=1e-4,
    )


def test_ssim_by_hand() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 13, 12))
    window = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    values = []
    for i in range(3):
        for j in range(2):
            p, q = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq, c = (
                (window * (p - mp) ** 2).sum(),
                (window * (q - mq) ** 2).sum(),
                (window * (p - mp) * (q - mq)).sum(),
            )
            values.append(
                (2 * mp * mq + 1e-4) * (2 * c + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
            )
    assert float(ssim(*(torch.from_numpy(x)[None, None] for x in (a, b)))) == pytest.approx(
        np.mean(values), rel=1e-10
    )
