"""The device path without a GPU: fake tensors elsewhere, whose operations refuse to mix devices.

A fake tensor has a shape and a device and no numbers. So whatever reads numbers (`float(loss)`,
`.numpy()`) is given plain ones here, and the rest runs as it is. What runs forward alone is tried
on a fake "cuda"; going back through it, and inference mode, need a driver, so these are tried on a
fake "meta", which is as far from the CPU as any.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from differnet_lite import maps, training
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.maps import PlaceStatistics
from differnet_lite.resampling import rotate
from differnet_lite.sampling import view_sampler, whitening_matrix
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.transforms import Transformations

CPU = torch.device("cpu")
META = torch.device("meta")
CUDA = torch.device("cuda", 0)
GRID = Transformations(angles=(0.0, 45.0, 90.0, 300.0))
PIXELS = torch.zeros(2, 3, 252, 252, dtype=torch.uint8)

pytestmark = pytest.mark.usefixtures("fake")
forward_only = pytest.mark.parametrize("device", [META, CUDA], ids=["meta", "cuda"])


@pytest.fixture
def fake() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@functools.cache
def plain_extractor(dtype: str) -> MultiScaleExtractor:
    return MultiScaleExtractor(size=252, device="cpu", dtype=dtype)


def extractor_on(device: torch.device, dtype: str = "float32") -> MultiScaleExtractor:
    """Built on the CPU, whose weights have numbers to hash, and moved under the fake mode."""
    with unset_fake_temporarily():
        extractor = copy.deepcopy(plain_extractor(dtype))
    extractor.device = device
    return extractor.to(device)


@functools.cache
def plain_flow() -> CouplingFlow:
    """768 features, whitened."""
    y = torch.randn(20, 768, generator=torch.Generator().manual_seed(0))
    return build_flow(768, n_blocks=2, hidden=8, whitening=whitening_matrix(y, eps=0.1), seed=0)


def flow_on(device: torch.device) -> CouplingFlow:
    with unset_fake_temporarily():
        flow = copy.deepcopy(plain_flow())
    return flow.to(device)


def device_of(tensor: Tensor | None) -> torch.device:
    assert isinstance(tensor, FakeTensor), "a plain tensor would hide what it meets"
    return tensor.device


def numpy_of(tensor: Tensor) -> np.ndarray:
    """In place of `Tensor.numpy`."""
    assert tensor.device == CPU, "only what lies on the CPU becomes an array"
    assert not tensor.requires_grad
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


@forward_only
@pytest.mark.parametrize("fill", ["reflection", "black"])
def test_rotations_stay_where_the_images_are(device: torch.device, fill: str) -> None:
    images = torch.zeros(2, 3, 64, 64, device=device)
    for angle in (30.0, 90.0):
        assert device_of(rotate(images, angle, fill=fill)) == device


@forward_only
def test_features_are_made_there(device: torch.device) -> None:
    extractor = extractor_on(device)
    images = torch.zeros(2, 3, 252, 252)
    for x in (images, images.to(device)):
        assert device_of(extractor(x)) == device


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_of_views_come_back(dtype: str) -> None:
    extractor = extractor_on(META, dtype=dtype)
    for t in (GRID, Transformations(angles=GRID.angles, brightness=0.2)):
        views = extractor.views(PIXELS, t.test_angles(), t, torch.Generator())
        assert (device_of(views), views.shape, views.dtype) == (CPU, (2, 4, 768), torch.float32)


@pytest.mark.parametrize("features_on", ["cpu", "meta"])
def test_a_whole_training_is_made_there(monkeypatch: pytest.MonkeyPatch, features_on: str) -> None:
    """All but the reading of losses: `float` of a fake tensor has no number to give."""
    assert training.build_optimiser(flow_on(CUDA), DEFAULT).defaults["fused"]
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: 10.0)
    monkeypatch.setattr(training, "start_flow", lambda *_, **__: flow_on(CPU))
    settings = Settings(n_blocks=2, hidden=8, epochs=2, batch_images=3)
    features = torch.zeros(5, 4, 768, device=features_on)
    sample = view_sampler(features, views_per_image=2, pool_views=True)
    options = {"held_out": features[:2, :1], "device": "meta", "progress": False}
    flow, history = training.train_flow(sample, 5, settings, **options)
    assert {device_of(p) for p in flow.trainable()} == {device_of(flow.mean)} == {META}
    assert history["train"] == [2.0, 2.0] and history["held_out"] == [10.0, 10.0]


@forward_only
@pytest.mark.parametrize("here", [False, True])
def test_scores_come_back(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    """Of features that lie here or there."""
    monkeypatch.setattr(torch.Tensor, "numpy", numpy_of)
    features = torch.zeros(3, 4, 768, device=CPU if here else device)
    scores = Scorer(flow_score(flow_on(device), use_log_det=True)).scores(features, batch_size=2)
    assert scores.shape == (3,) and scores.dtype == np.float64


@pytest.mark.parametrize("features_on", ["cpu", "meta"])
def test_gradients_lie_where_the_features_are(features_on: str) -> None:
    features = torch.zeros(3, 4, 768, device=features_on)
    gradient = Scorer(flow_score(flow_on(META))).gradient(features)
    assert device_of(gradient) == features.device and gradient.shape == (3, 4, 768)


def test_maps_are_made_there() -> None:
    extractor = extractor_on(META)
    images = torch.zeros(2, 3, 252, 252, device="meta")
    layers = maps.place_features(extractor, images)
    n_channels = sum(layer.shape[1] for layer in layers)
    h, w = layers[0].shape[2:]
    statistics = PlaceStatistics(
        scale=torch.ones(len(layers)),
        mean=torch.zeros(n_channels, h, w),
        factor=torch.zeros(n_channels, n_channels),
        directions=torch.zeros(4, n_channels),
        own=torch.zeros(h * w, 4, 4),
        border=torch.ones(h, w),
        maxima=torch.ones(3),
        usual=torch.ones(1),
    )
    drawn = maps.distance_map(extractor, statistics, images)
    assert device_of(drawn) == META and drawn.shape == (2, 252, 252)
