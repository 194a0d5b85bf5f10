"""The device path without a GPU: fake tensors elsewhere, whose operations refuse to mix devices.

A fake tensor has a shape and a device and no numbers. So whatever reads numbers (`float(loss)`,
`.numpy()`, angles of each image's own) is given plain ones here, and the rest runs as it is. What
runs forward alone is tried on a fake "cuda"; going back through it, and inference mode, need a
driver, so these are tried on a fake "meta", which is as far from the CPU as any.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from differnet_course.baselines import make_detector
from differnet_lite import cache as cache_module
from differnet_lite import reference, training
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.localizer import METHODS, Localizer
from differnet_lite.loss import nll
from differnet_lite.reference import reference_maps
from differnet_lite.sampling import view_sampler, whitening_matrix
from differnet_lite.scoring import Scorer, flow_score, latents
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import (
    add_noise,
    build_optimiser,
    products_of,
    train_step,
)
from differnet_lite.transforms import Transformations, jitter, rotate

CPU, META, CUDA = torch.device("cpu"), torch.device("meta"), torch.device("cuda", 0)
ANGLES = (0.0, 45.0, 90.0, 300.0)
GRID = Transformations(angles=ANGLES)
PIXELS = torch.zeros(2, 3, 252, 252, dtype=torch.uint8)


@pytest.fixture
def fake() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.fixture(params=["cuda", "meta"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """For what runs forward alone."""
    return META if request.param == "meta" else CUDA


EXTRACTORS = {
    key: MultiScaleExtractor(size=252, device="cpu", downscale=key[0], dtype=key[1])
    for key in (("area", "float32"), ("nearest", "float32"), ("area", "bfloat16"))
}
WHITENING = whitening_matrix(
    torch.randn(20, 768, generator=torch.Generator().manual_seed(0)), eps=0.1
)


def extractor_on(
    device: torch.device, downscale: str = "area", dtype: str = "float32"
) -> MultiScaleExtractor:
    """Built on the CPU, whose weights have numbers to hash, and moved under the fake mode."""
    with unset_fake_temporarily():
        extractor = copy.deepcopy(EXTRACTORS[downscale, dtype])
    extractor.device = device
    return extractor.to(device)


def flow_on(device: torch.device) -> CouplingFlow:
    """768 features, whitened."""
    with unset_fake_temporarily():
        flow = copy.deepcopy(FLOW)
    return flow.to(device)


FLOW = build_flow(768, n_blocks=2, hidden=8, whitening=WHITENING, seed=0)


def device_of(tensor: torch.Tensor) -> torch.device:
    assert isinstance(tensor, FakeTensor), "a plain tensor would hide what it meets"
    return tensor.device


@pytest.mark.usefixtures("fake")
def test_mixed_devices_are_noticed_here(device: torch.device) -> None:
    there = torch.zeros(3, device=device)
    assert device_of(there) == device
    for mixed in (
        lambda: there + torch.zeros(3),
        lambda: there @ torch.zeros(3, 2),
        lambda: torch.cat([there, torch.zeros(3)]),
        lambda: torch.einsum("a,a->a", there, torch.zeros(3)),
    ):
        with pytest.raises(RuntimeError, match="device"):
            mixed()


# ---------------------------------------------------------------- features


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("fill", ["reflection", "black"])
def test_rotations_and_jitter_stay_where_the_images_are(device: torch.device, fill: Any) -> None:
    images = torch.zeros(2, 3, 64, 64, device=device)
    for angle in (30.0, 90.0, 0.0, -200.0):
        assert device_of(rotate(images, angle, fill=fill)) == device
    t = Transformations(brightness=0.1, contrast=0.1)
    assert device_of(jitter(images, t, torch.Generator())) == device


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_features_are_made_there(device: torch.device, downscale: str) -> None:
    extractor = extractor_on(device, downscale)
    assert {device_of(x) for x in extractor.state_dict().values()} == {device}
    assert device_of(extractor.mean) == device_of(extractor.std) == device
    x = torch.zeros(2, 3, 252, 252)
    for images in (x, x.to(device)):
        assert [device_of(m) for m in extractor.feature_maps(images)] == [device] * 3
        assert device_of(extractor(images)) == device


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_features_of_views_come_back(downscale: str) -> None:
    extractor = extractor_on(META, downscale)
    views = extractor.views(PIXELS, ANGLES, GRID)
    assert (device_of(views), views.shape) == (CPU, (2, 4, 768))
    jittered = Transformations(angles=ANGLES, brightness=0.2)
    assert device_of(extractor.views(PIXELS, ANGLES, jittered, torch.Generator())) == CPU


@pytest.mark.usefixtures("fake")
def test_features_of_a_rough_trunk_are_float32() -> None:
    extractor = extractor_on(META, dtype="bfloat16")
    maps = extractor.feature_maps(torch.zeros(1, 3, 252, 252))
    assert {m.dtype for m in maps} == {torch.bfloat16}
    assert extractor.views(PIXELS, ANGLES, GRID).dtype == torch.float32


@pytest.mark.usefixtures("fake")
def test_the_cache_takes_larger_batches_there() -> None:
    extractor = extractor_on(META)
    cache = cache_module.FeatureCache(extractor, GRID, folder=None, progress=False)
    assert cache.batch_size == 32
    assert device_of(cache._views(PIXELS, "", ANGLES)) == CPU


@pytest.mark.usefixtures("fake")
def test_reference_maps_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "iter_decoded", lambda images, **_: iter([PIXELS, PIXELS[:1]]))
    extractor = extractor_on(META)
    images: list[Any] = [None] * 3
    found = reference_maps(extractor, images, angles=ANGLES, transformations=GRID)
    for kind in found:
        assert [tuple(x.shape[:2]) for x in kind] == [(4, 256)] * 3
        assert {device_of(x) for x in kind} == {CPU}


# ---------------------------------------------------------------- training


@pytest.mark.usefixtures("fake")
def test_a_step_of_training_is_made_there() -> None:
    flow = flow_on(META).train()
    optimiser = build_optimiser(flow, DEFAULT)
    loss = train_step(flow, optimiser, torch.zeros(6, 768, device="meta"))
    assert device_of(loss) == META and loss.shape == ()
    assert {device_of(p.grad) for p in flow.trainable()} == {META}  # type: ignore[arg-type]
    moments = [state[name] for state in optimiser.state.values() for name in ("exp_avg",)]
    assert len(moments) == len(flow.trainable())
    assert {device_of(x) for x in moments} == {META}


@pytest.mark.usefixtures("fake")
def test_adam_is_fused_where_it_can_be() -> None:
    assert build_optimiser(flow_on(CUDA), DEFAULT).defaults["fused"]
    assert not build_optimiser(flow_on(META), DEFAULT).defaults["fused"]
    assert build_optimiser(FLOW, DEFAULT).defaults["fused"]


@pytest.mark.usefixtures("fake")
def test_the_loss_lies_there() -> None:
    flow = flow_on(CUDA).train()
    loss = nll(*flow(torch.zeros(6, 768, device="cuda")))
    assert device_of(loss) == CUDA and loss.dtype == torch.float32


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("known", ["cpu", "cuda", "meta"])
def test_views_and_noise_are_drawn_here_for_rows_there(pool_views: bool, known: str) -> None:
    features = torch.zeros(5, 4, 768, device=known)
    sample = view_sampler(features, views_per_image=3, pool_views=pool_views)
    rows = sample(torch.arange(2), torch.Generator())
    assert device_of(rows) == features.device and rows.shape == (2, 3, 768)
    assert device_of(add_noise(rows, 0.1, torch.Generator())) == features.device


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("known", ["cpu", "meta"])
def test_whole_training_is_made_there(monkeypatch: pytest.MonkeyPatch, known: str) -> None:
    """All but the reading of losses: `float` of a fake tensor has no number to give."""
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: 10.0)
    monkeypatch.setattr(training, "start_flow", lambda *_, **__: flow_on(CPU))
    settings = Settings(n_blocks=2, hidden=8, epochs=2, batch_images=3)
    features = torch.zeros(5, 4, 768, device=known)
    flow, history = training.train_flow(
        view_sampler(features, views_per_image=2, pool_views=True),
        5,
        settings,
        held_out=features[:2, :1],
        device="meta",
        progress=False,
    )
    assert device_of(flow.mean) == META
    assert {device_of(p) for p in flow.trainable()} == {META}
    assert history["train"] == [2.0, 2.0] and history["held_out"] == [10.0, 10.0]


@pytest.mark.usefixtures("fake")
def test_which_products_are_rounded_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    weights = torch.zeros(1, device="cuda")
    assert products_of("auto", 2048, weights) == torch.bfloat16
    assert products_of("auto", 128, weights) is None


# ---------------------------------------------------------------- scores and maps


def numpy_of(tensor: torch.Tensor) -> np.ndarray:
    assert tensor.device == CPU, "only what lies on the CPU becomes an array"
    assert not tensor.requires_grad
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("use_log_det", [False, True])
@pytest.mark.parametrize("here", [False, True])
def test_scores(
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    pool_views: bool,
    use_log_det: bool,
    here: bool,
) -> None:
    """Of features that lie here or there."""
    monkeypatch.setattr(torch.Tensor, "numpy", numpy_of)
    flow = flow_on(device)
    scorer = Scorer(flow_score(flow, use_log_det=use_log_det), pool_views)
    features = torch.zeros(3, 4, 768, device="cpu" if here else device)
    scores = scorer.scores(features, batch_size=2)
    assert scores.shape == (3,) and scores.dtype == np.float64
    z, log_det = latents(flow, features, batch_size=5)
    assert device_of(z) == device_of(log_det) == CPU


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("known", ["cpu", "meta"])
def test_gradients_lie_where_the_features_are(pool_views: bool, known: str) -> None:
    scorer = Scorer(flow_score(flow_on(META), use_log_det=True), pool_views)
    features = torch.zeros(3, 4, 768, device=known)
    gradient = scorer.gradient(features)
    assert device_of(gradient) == features.device and gradient.shape == (3, 4, 768)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "distance"])
def test_maps(monkeypatch: pytest.MonkeyPatch, method: str, pool_views: bool) -> None:
    monkeypatch.setattr(torch.Tensor, "numpy", numpy_of)
    extractor = extractor_on(META)
    sides = [m.shape[-2:] for m in extractor.feature_maps(torch.zeros(1, 3, 252, 252))]
    means = [torch.zeros(4, 256, *side, dtype=torch.float16) for side in sides]
    scorer = Scorer(flow_score(flow_on(META)), pool_views)
    localizer = Localizer(extractor, scorer, GRID, ANGLES, means, means)
    for n_angles in (None, 2):
        drawn = localizer.anomaly_map(PIXELS[0], method=method, n_angles=n_angles)
        assert drawn.shape == (252, 252) and drawn.dtype == np.float32


@pytest.mark.parametrize("name", ["mahalanobis", "1-nn", "ocsvm"])
def test_a_baseline_scores_features_there(request: pytest.FixtureRequest, name: str) -> None:
    """Its state is fitted on the CPU; maps hand it rows that lie where the trunk is."""
    detector = make_detector(name, progress=False, pool_views=False, device="cpu")
    features = torch.randn(20, 2, 768, generator=torch.Generator().manual_seed(0))
    score = detector._row_score(detector._learn(features))  # type: ignore[attr-defined]
    request.getfixturevalue("fake")
    for known in ("cpu", "meta"):
        rows = torch.zeros(2, 3, 768, device=known)
        assert device_of(Scorer(score, False).gradient(rows)) == rows.device
