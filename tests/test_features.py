"""The extractor against torchvision: its scales, its gradient, its views, and its identity."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file, save_file

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.resampling import jitter, rotate
from differnet_lite.transforms import Transformations
from differnet_lite.trunk import BUNDLED_WEIGHTS

Picture = Callable[..., np.ndarray]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def torchvision_trunk() -> torch.nn.Module:
    """torchvision's own module with the bundled weights."""
    trunk = torchvision.models.alexnet(weights=None).features
    trunk.load_state_dict(load_file(BUNDLED_WEIGHTS), strict=True)
    return trunk.eval()


@pytest.fixture(scope="module")
def make_pixels(picture: Picture) -> Callable[..., torch.Tensor]:
    """make_pixels(n, size) is (n, 3, size, size) uint8."""

    def make(n: int, size: int = 64) -> torch.Tensor:
        arrays = [picture(k, size, smooth=2) for k in range(n)]
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()

    return make


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
@pytest.mark.parametrize(
    ("downscale", "power"), [("area", 1), ("nearest", 1), ("area", 2), ("area", 3)]
)
def test_features_are_those_of_torchvision(
    torchvision_trunk: torch.nn.Module, make_pixels: Any, downscale: str, power: int
) -> None:
    extractor = MultiScaleExtractor(
        size=256, downscale=downscale, pooling=power, device="cpu", dtype="float32"
    )
    x = make_pixels(2, 256) / 255
    normalised = (x - MEAN) / STD
    scaled = [F.interpolate(normalised, size=(s, s), mode=downscale) for s in (256, 128, 64)]
    if downscale == "nearest":
        assert torch.equal(scaled[2], normalised[..., ::4, ::4])
    maps = [torchvision_trunk(level) for level in scaled]
    expected = [(scale**power).mean((2, 3)) ** (1 / power) for scale in maps]
    for ours, theirs in zip(extractor(x).chunk(3, 1), expected, strict=True):
        assert relative(ours, theirs) < 1e-5


def test_the_trunk_is_frozen_but_the_gradient_reaches_the_image(
    extractor: MultiScaleExtractor, torchvision_trunk: torch.nn.Module, make_pixels: Any
) -> None:
    assert not any(p.requires_grad for p in extractor.parameters())
    pixels = make_pixels(2, 256)
    ours = (pixels / 255).requires_grad_(True)
    theirs = (pixels / 255).requires_grad_(True)
    extractor(ours)[:, 256:512].square().sum().backward()  # the second scale
    scaled = F.interpolate((theirs - MEAN) / STD, size=(128, 128), mode="area")
    torchvision_trunk(scaled).square().mean((2, 3)).sum().backward()  # the features' squares
    assert ours.grad is not None and theirs.grad is not None
    assert theirs.grad.norm() > 0
    assert relative(ours.grad, theirs.grad) < 1e-4


def test_batch_norm_of_another_backbone_never_moves() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        extractor = MultiScaleExtractor(
            backbone="resnet18", weights="random", size=128, n_scales=2, device="cpu"
        )
    assert extractor.n_features == 2 * 512
    before = extractor.trunk[1].running_mean.clone()
    assert extractor.train()(torch.rand(3, 3, 128, 128)).std() > 0
    assert torch.equal(extractor.trunk[1].running_mean, before)


def test_bfloat16_error_is_below_two_percent(
    extractor: MultiScaleExtractor, make_pixels: Any
) -> None:
    rough = MultiScaleExtractor(size=256, device="cpu", dtype="bfloat16")
    x = make_pixels(2, 256) / 255
    approximate = rough(x)
    assert approximate.dtype == torch.float32
    assert 1e-5 < relative(approximate, extractor(x)) < 0.02


def test_identity_names_everything_that_features_depend_on(
    extractor: MultiScaleExtractor, tmp_path: Path
) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(BUNDLED_WEIGHTS).items()}
    save_file(tensors, tmp_path / "same.safetensors")
    tensors["10.bias"][3] += 1e-3
    save_file(tensors, tmp_path / "other.safetensors")

    def identity(**changes: Any) -> str:
        arguments = {"size": 256, "device": "cpu", "dtype": "float32"} | changes
        return MultiScaleExtractor(**arguments).identity

    assert identity(weights=tmp_path / "same.safetensors") == extractor.identity
    changes = [{"size": 512}, {"n_scales": 2}, {"downscale": "nearest"}, {"pooling": 1.0}]
    changes += [{"dtype": "bfloat16"}, {"weights": tmp_path / "other.safetensors"}]
    assert len({extractor.identity, *(identity(**change) for change in changes)}) == 7


def test_impossible_extractors_and_images_are_errors(tiny_extractor: MultiScaleExtractor) -> None:
    with pytest.raises(ValueError, match="63 px"):
        MultiScaleExtractor(device="cpu", size=62, n_scales=1)
    with pytest.raises(ValueError, match=r"expected \(N, 3, 64, 64\)"):
        tiny_extractor(torch.zeros(1, 3, 63, 64))


@pytest.mark.parametrize(
    "t", [Transformations(), Transformations(fill="black", interpolation="nearest")]
)
@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_views_equal_rotating_one_by_one(
    make_pixels: Any, t: Transformations, downscale: str
) -> None:
    """One scaling for four quarter turns: the same features up to the order of rounding."""
    extractor = MultiScaleExtractor(
        size=126, n_scales=2, downscale=downscale, device="cpu", dtype="float32"
    )
    pixels = make_pixels(2, 126)
    angles = (0.0, 22.5, 90.0, 112.5, 202.5, 300.0, -22.5)
    views = extractor.views(pixels, angles, t)
    assert views.shape == (2, 7, 512)
    with torch.no_grad():
        for k, angle in enumerate(angles):
            turned = rotate(pixels / 255, angle, fill=t.fill, interpolation=t.interpolation)
            torch.testing.assert_close(views[:, k], extractor(turned), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("t", [Transformations(), Transformations(contrast=0.4)])
def test_views_at_other_angles_for_each_image(
    tiny_extractor: MultiScaleExtractor, make_pixels: Any, t: Transformations
) -> None:
    pixels = make_pixels(2)
    angles = torch.tensor([[10.0, 95.0], [0.0, 200.0]])
    views = tiny_extractor.random_views(pixels, angles, t, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    for k in range(2):
        turned = [rotate(pixels[n : n + 1] / 255, angles[n, k].item()) for n in (0, 1)]
        with torch.no_grad():
            expected = tiny_extractor(jitter(torch.cat(turned), t, generator))
        torch.testing.assert_close(views[:, k], expected, rtol=1e-4, atol=1e-5)
