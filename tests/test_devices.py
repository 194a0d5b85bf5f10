"""The device path without a GPU: fake CUDA tensors, whose operations refuse to mix devices.

A fake tensor has a shape and a device and no numbers. So whatever reads numbers (`float(loss)`,
`.numpy()`, an angle of each image's own) is given plain ones here, and the rest runs as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from differnet_lite import cache as cache_module
from differnet_lite.baselines import make_detector
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow, whitening_matrix
from differnet_lite.localization import METHODS, Localizer, reference_maps
from differnet_lite.loss import nll
from differnet_lite.sampling import view_sampler
from differnet_lite.scoring import Scorer, flow_score, latents
from differnet_lite.settings import DEFAULT
from differnet_lite.training import (
    add_noise,
    build_optimiser,
    products_of,
    set_products,
    train_epoch,
    train_flow,
    train_step,
)
from differnet_lite.transforms import Transformations, jitter, rotate

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
ANGLES = (0.0, 45.0, 90.0, 300.0)
GRID = Transformations(angles=ANGLES)
PIXELS = torch.zeros(2, 3, 252, 252, dtype=torch.uint8)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with a CUDA device, as far as shapes and devices go."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def moved(extractor: MultiScaleExtractor) -> MultiScaleExtractor:
    """Built on the CPU, whose weights have numbers to hash, and moved to the fake device."""
    extractor.device = torch.device("cuda")
    return extractor.to("cuda")


@pytest.fixture
def on_gpu(request: pytest.FixtureRequest) -> MultiScaleExtractor:
    extractor = MultiScaleExtractor(size=252, device="cpu", dtype="float32")
    request.getfixturevalue("gpu")
    return moved(extractor)


@pytest.fixture
def flow(request: pytest.FixtureRequest) -> CouplingFlow:
    """768 features, whitened, on the fake device."""
    y = torch.randn(20, 768, generator=torch.Generator().manual_seed(0))
    whitening = whitening_matrix(y, eps=0.1)
    built = build_flow(768, n_blocks=2, hidden=8, whitening=whitening, seed=0)
    request.getfixturevalue("gpu")
    return built.to("cuda")


def device_of(tensor: torch.Tensor) -> torch.device:
    assert isinstance(tensor, FakeTensor), "a plain tensor would hide what it meets"
    return tensor.device


@pytest.mark.usefixtures("gpu")
def test_mixed_devices_are_noticed_here() -> None:
    there = torch.zeros(3, device="cuda")
    assert device_of(there) == CUDA
    with pytest.raises(RuntimeError, match="device"):
        there + torch.zeros(3)


# ---------------------------------------------------------------- features


@pytest.mark.parametrize("fill", ["reflection", "black"])
def test_rotations_and_jitter_stay_where_the_images_are(gpu: None, fill: Any) -> None:
    images = torch.zeros(2, 3, 64, 64, device="cuda")
    assert device_of(rotate(images, 30.0, fill=fill)) == CUDA
    assert device_of(rotate(images, 90.0, fill=fill)) == CUDA
    t = Transformations(brightness=0.1, contrast=0.1)
    assert device_of(jitter(images, t, torch.Generator())) == CUDA


@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_features_are_made_there_and_come_back(
    request: pytest.FixtureRequest, downscale: str
) -> None:
    extractor = MultiScaleExtractor(size=252, downscale=downscale, device="cpu", dtype="float32")
    request.getfixturevalue("gpu")
    extractor = moved(extractor)
    assert {device_of(x) for x in extractor.state_dict().values()} == {CUDA}
    assert device_of(extractor.mean) == device_of(extractor.std) == CUDA
    x = torch.zeros(2, 3, 252, 252)
    for images in (x, x.to("cuda")):
        assert [device_of(m) for m in extractor.feature_maps(images)] == [CUDA] * 3
        assert device_of(extractor(images)) == CUDA
    views = extractor.views(PIXELS, ANGLES, GRID)
    assert (device_of(views), views.shape) == (CPU, (2, 4, 768))
    jittered = Transformations(angles=ANGLES, brightness=0.2)
    assert device_of(extractor.views(PIXELS, ANGLES, jittered, torch.Generator())) == CPU


def test_features_of_a_rough_trunk_are_float32(request: pytest.FixtureRequest) -> None:
    extractor = MultiScaleExtractor(size=252, device="cpu", dtype="bfloat16")
    request.getfixturevalue("gpu")
    extractor = moved(extractor)
    assert {m.dtype for m in extractor.feature_maps(torch.zeros(1, 3, 252, 252))} == {
        torch.bfloat16
    }
    assert extractor.views(PIXELS, ANGLES, GRID).dtype == torch.float32


def test_the_cache_takes_larger_batches_there(on_gpu: MultiScaleExtractor) -> None:
    cache = cache_module.FeatureCache(on_gpu, GRID, folder=None, progress=False)
    assert cache.batch_size == 32
    assert device_of(cache._views(PIXELS, "", ANGLES)) == CPU


def test_reference_maps_come_back(
    on_gpu: MultiScaleExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = lambda images, **_: iter([PIXELS, PIXELS[:1]])  # noqa: E731
    monkeypatch.setattr("differnet_lite.localization.reference.iter_decoded", batches)
    found = reference_maps(on_gpu, [None] * 3, angles=ANGLES, transformations=GRID)
    for kind in found:
        assert [tuple(x.shape[:2]) for x in kind] == [(4, 256)] * 3
        assert {device_of(x) for x in kind} == {CPU}


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("products", [None, torch.bfloat16])
def test_a_step_of_training_is_made_there(flow: CouplingFlow, products: Any) -> None:
    set_products(flow, products)
    optimiser = build_optimiser(flow, DEFAULT)
    flow.train()
    before = [p for p in flow.trainable()]
    loss = train_step(flow, optimiser, torch.zeros(6, 768, device="cuda"))
    assert device_of(loss) == CUDA and loss.shape == ()
    assert {device_of(p.grad) for p in before if p.grad is not None} == {CUDA}
    assert all(p.grad is not None for p in before)
    moments = [x for state in optimiser.state.values() for x in state.values()]
    assert {device_of(x) for x in moments} == {CUDA}, "fused Adam keeps its steps there too"
    assert optimiser.defaults["fused"]


@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("known", ["cpu", "cuda"])
def test_views_and_noise_are_drawn_here_for_rows_there(
    gpu: None, pool_views: bool, known: str
) -> None:
    features = torch.zeros(5, 4, 768, device=known)
    sample = view_sampler(features, views_per_image=3, pool_views=pool_views)
    rows = sample(torch.arange(2), torch.Generator())
    assert device_of(rows) == features.device and rows.shape == (2, 3, 768)
    assert device_of(add_noise(rows, 0.1, torch.Generator())) == features.device


def test_whole_training_is_made_there(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the reading of losses: `float` of a fake tensor has no number to give."""
    monkeypatch.setattr(FakeTensor, "__float__", lambda self: 1.0, raising=False)
    settings = DEFAULT.__class__(n_blocks=2, hidden=8, epochs=2, batch_images=3, whiten=False)
    features = torch.zeros(5, 4, 768)
    flow, history = train_flow(
        view_sampler(features, views_per_image=2, pool_views=True),
        5,
        settings,
        held_out=features[:2, :1],
        device="cuda",
        progress=False,
    )
    assert device_of(flow.mean) == CUDA
    assert {device_of(p) for p in flow.trainable()} == {CUDA}
    assert history["train"] == [0.2, 0.2] and history["held_out"] == [1.0, 1.0]


def test_an_epoch_over_features_there(flow: CouplingFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTensor, "__float__", lambda self: 10.0, raising=False)
    features = torch.zeros(5, 4, 768, device="cuda")
    sample = view_sampler(features, views_per_image=2, pool_views=False)
    optimiser, generator = build_optimiser(flow, DEFAULT), torch.Generator()
    options: dict[str, Any] = {"batch_images": 3, "noise": 0.1, "generator": generator}
    assert train_epoch(flow, optimiser, sample, 5, **options) == 2.0


def test_which_products_are_rounded_there(gpu: None) -> None:
    weights = torch.zeros(1, device="cuda")
    assert products_of("auto", 2048, weights) == torch.bfloat16
    assert products_of("auto", 128, weights) is None


# ---------------------------------------------------------------- scores and maps


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    assert tensor.device == CPU, "only what lies on the CPU becomes an array"
    assert not tensor.requires_grad
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("use_log_det", [False, True])
@pytest.mark.parametrize("known", ["cpu", "cuda"])
def test_scores_and_gradients(
    flow: CouplingFlow,
    monkeypatch: pytest.MonkeyPatch,
    pool_views: bool,
    use_log_det: bool,
    known: str,
) -> None:
    monkeypatch.setattr(FakeTensor, "numpy", numpy_of)
    scorer = Scorer(flow_score(flow, use_log_det=use_log_det), pool_views)
    features = torch.zeros(3, 4, 768, device=known)
    scores = scorer.scores(features, batch_size=2)
    assert scores.shape == (3,) and scores.dtype == np.float64
    gradient = scorer.gradient(features)
    assert device_of(gradient) == features.device and gradient.shape == (3, 4, 768)
    z, log_det = latents(flow, features, batch_size=5)
    assert device_of(z) == device_of(log_det) == CPU
    assert device_of(nll(*flow(features.flatten(0, 1).to("cuda")))) == CUDA


@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_maps(
    on_gpu: MultiScaleExtractor,
    flow: CouplingFlow,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    pool_views: bool,
) -> None:
    monkeypatch.setattr(FakeTensor, "numpy", numpy_of)
    sides = [m.shape[-2:] for m in on_gpu.feature_maps(torch.zeros(1, 3, 252, 252))]
    means = [torch.zeros(4, 256, *side, dtype=torch.float16) for side in sides]
    scorer = Scorer(flow_score(flow), pool_views)
    localizer = Localizer(on_gpu, scorer, GRID, ANGLES, means, means)
    for n_angles in (None, 2):
        drawn = localizer.anomaly_map(PIXELS[0], method=method, n_angles=n_angles)
        assert drawn.shape == (252, 252) and drawn.dtype == np.float32


@pytest.mark.parametrize("name", ["mahalanobis", "1-nn"])
def test_a_baseline_scores_features_there(request: pytest.FixtureRequest, name: str) -> None:
    """Its state is fitted on the CPU; maps hand it rows that lie where the trunk is."""
    detector = make_detector(name, progress=False, pool_views=False, device="cpu")
    features = torch.randn(20, 2, 768, generator=torch.Generator().manual_seed(0))
    score = detector._row_score(detector._learn(features))
    request.getfixturevalue("gpu")
    for known in ("cpu", "cuda"):
        rows = torch.zeros(2, 3, 768, device=known)
        gradient = Scorer(score, False).gradient(rows)
        assert device_of(gradient) == rows.device
