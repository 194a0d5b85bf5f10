"""The extractor against torchvision, its scales, gradient, other backbones, and the views."""

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

from differnet_lite.features import MultiScaleExtractor, check_geometry
from differnet_lite.transforms import Transformations, jitter, rotate
from differnet_lite.trunk import BUNDLED_WEIGHTS, load_trunk

Picture = Callable[..., np.ndarray]
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def torchvision_trunk() -> torch.nn.Module:
    """torchvision's own module with the shipped weights."""
    trunk = torchvision.models.alexnet(weights=None).features
    trunk.load_state_dict(load_file(BUNDLED_WEIGHTS), strict=True)
    return trunk.eval()


@pytest.fixture
def pixels(picture: Picture) -> torch.Tensor:
    """(2, 3, 256, 256) uint8."""
    return torch.stack(
        [torch.from_numpy(picture(k, 256, smooth=2)).permute(2, 0, 1) for k in range(2)]
    )


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@torch.no_grad()
@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_features_are_those_of_torchvision(
    torchvision_trunk: torch.nn.Module, pixels: torch.Tensor, downscale: str
) -> None:
    extractor = MultiScaleExtractor(size=256, downscale=downscale, device="cpu", dtype="float32")
    x = pixels / 255
    normalised = (x - MEAN) / STD
    expected = []
    for side in (256, 128, 64):
        if downscale == "nearest":
            scaled = F.interpolate(
                normalised, size=(side, side)
            )  # the default mode, as in the authors' code
            step = 256 // side
            assert torch.equal(scaled, normalised[..., ::step, ::step])
        else:
            scaled = F.interpolate(normalised, size=(side, side), mode="area")
        expected.append(torchvision_trunk(scaled).mean((2, 3)))
    assert relative(extractor(x), torch.cat(expected, 1)) < 1e-5
    for ours, theirs in zip(extractor(x).chunk(3, 1), expected, strict=True):
        assert relative(ours, theirs) < 1e-5


@torch.no_grad()
def test_trunk_equals_torchvision_at_the_papers_sizes(torchvision_trunk: torch.nn.Module) -> None:
    x = torch.randn(1, 3, 448, 448, generator=torch.Generator().manual_seed(0))
    assert relative(load_trunk()(x), torchvision_trunk(x)) < 1e-5
    grids = [
        tuple(m.shape)
        for m in MultiScaleExtractor(device="cpu", dtype="float32").feature_maps(x.sigmoid())
    ]
    assert grids == [(1, 256, 13, 13), (1, 256, 6, 6), (1, 256, 2, 2)]


def test_trunk_is_frozen_but_the_gradient_reaches_the_image(
    extractor: MultiScaleExtractor, torchvision_trunk: torch.nn.Module, pixels: torch.Tensor
) -> None:
    assert not any(p.requires_grad for p in extractor.parameters())
    ours, theirs = ((pixels / 255).requires_grad_(True) for _ in range(2))
    extractor(ours)[:, 256:512].square().sum().backward()  # the second scale
    scaled = F.interpolate((theirs - MEAN) / STD, size=(128, 128), mode="area")
    torchvision_trunk(scaled).mean((2, 3)).square().sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    assert theirs.grad.norm() > 0
    assert relative(ours.grad, theirs.grad) < 1e-4


def test_batch_norm_of_another_backbone_never_moves() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        extractor = MultiScaleExtractor(
            backbone="resnet18",
            weights="random",
            size=128,
            n_scales=2,
            device="cpu",
            dtype="float32",
        )
    assert extractor.n_features == 2 * 512
    before = {name: tensor.clone() for name, tensor in extractor.trunk.state_dict().items()}
    image = torch.rand(3, 3, 128, 128)
    first = extractor(image)
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    again = extractor(image)
    assert torch.equal(first, again)
    assert first.std() > 0
    assert any("running_mean" in name for name in before)
    for name, tensor in extractor.trunk.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_bfloat16_error_is_below_two_percent(
    extractor: MultiScaleExtractor, pixels: torch.Tensor
) -> None:
    rough = MultiScaleExtractor(size=256, device="cpu", dtype="bfloat16")
    exact, approximate = extractor(pixels / 255), rough(pixels / 255)
    assert approximate.dtype == torch.float32
    assert 1e-5 < relative(approximate, exact) < 0.02


def test_identity_names_everything_the_features_depend_on(
    extractor: MultiScaleExtractor, tmp_path: Path
) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(BUNDLED_WEIGHTS).items()}
    save_file(tensors, tmp_path / "same.safetensors")
    tensors["10.bias"][3] += 1e-3
    save_file(tensors, tmp_path / "other.safetensors")

    def identity(**changes: Any) -> str:
        return MultiScaleExtractor(
            **{"size": 256, "device": "cpu", "dtype": "float32"} | changes
        ).identity

    assert identity() == extractor.identity
    assert identity(weights=tmp_path / "same.safetensors") == extractor.identity, (
        "the same weights under another name"
    )
    others = [
        identity(weights=tmp_path / "other.safetensors"),
        identity(size=512),
        identity(n_scales=2),
        identity(downscale="nearest"),
        identity(dtype="bfloat16"),
    ]
    assert len({extractor.identity, *others}) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"backbone": "alexnot"}, ValueError, "got 'alexnot'"),
        (
            {"backbone": "alexnot", "weights": "random"},
            ValueError,
            "expected a torchvision classification model, got 'alexnot'",
        ),
        ({"backbone": "resnet18"}, ValueError, "'alexnet' alone"),
        ({"backbone": "vit_b_16", "weights": "random"}, ValueError, "choose another"),
        ({"weights": "no_such.safetensors"}, FileNotFoundError, "no_such.safetensors"),
        ({"size": 248}, ValueError, "63 px"),
        ({"size": 450}, ValueError, "halves 2 times"),
        ({"n_scales": 0}, ValueError, "0 scales"),
        ({"downscale": "cubic"}, ValueError, "downscale: expected one of 'area', 'nearest', got"),
        ({"dtype": "float8"}, ValueError, "dtype: expected one of 'auto'.*'float8'"),
    ],
)
def test_wrong_names_are_errors(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        MultiScaleExtractor(device="cpu", **arguments)


@pytest.mark.parametrize("shape", [(1, 3, 255, 256), (1, 1, 256, 256), (3, 256, 256)])
def test_images_of_another_shape_are_an_error(
    extractor: MultiScaleExtractor, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3, 256, 256\)"):
        extractor(torch.zeros(shape))


@pytest.mark.parametrize("fill", ["reflection", "black"])
def test_views_equal_rotating_one_by_one(
    tiny_extractor: MultiScaleExtractor, picture: Picture, fill: Any
) -> None:
    pixels = torch.stack([torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(3)])
    angles = (0.0, 22.5, 90.0, 112.5, 202.5, 300.0, -22.5)
    views = tiny_extractor.views(pixels, angles, Transformations(angles=angles, fill=fill))
    assert views.shape == (3, 7, 256)
    for n in range(3):
        for t, angle in enumerate(angles):
            with torch.no_grad():
                alone = tiny_extractor(rotate(pixels[n : n + 1] / 255, angle, fill=fill))[0]
            torch.testing.assert_close(views[n, t], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("downscale", ["area", "nearest"])
def test_views_of_all_scales_equal_the_plain_path(downscale: str, picture: Picture) -> None:
    """One scaling for four quarter turns: the same features up to the order of rounding."""
    extractor = MultiScaleExtractor(size=256, downscale=downscale, device="cpu", dtype="float32")
    pixels = torch.from_numpy(picture(0)).permute(2, 0, 1)[None]
    pixels = torch.nn.functional.interpolate(pixels.float(), size=(256, 256)).to(torch.uint8)
    angles = (30.0, 120.0, 180.0)
    views = extractor.views(pixels, angles, Transformations(angles=angles))
    with torch.no_grad():
        plain = torch.cat([extractor(rotate(pixels / 255, angle)) for angle in angles])
    torch.testing.assert_close(views[0], plain, rtol=1e-4, atol=1e-5)


def test_views_at_angles_of_each_images_own(
    tiny_extractor: MultiScaleExtractor, picture: Picture
) -> None:
    pixels = torch.stack([torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(2)])
    angles = torch.tensor([[0.0, 33.0], [120.0, -5.0]])
    own = tiny_extractor.views(pixels, angles, Transformations())
    for n in range(2):
        shared = tiny_extractor.views(pixels[n : n + 1], angles[n].tolist(), Transformations())
        torch.testing.assert_close(own[n : n + 1], shared, rtol=1e-4, atol=1e-5)


def test_jittered_views(tiny_extractor: MultiScaleExtractor, picture: Picture) -> None:
    pixels = torch.from_numpy(picture()).permute(2, 0, 1)[None]
    t = Transformations(angles=(0.0,), brightness=0.3)
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        tiny_extractor.views(pixels, (0.0,), t)
    views = tiny_extractor.views(pixels, (0.0,), t, torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = tiny_extractor(jitter(pixels / 255, t, torch.Generator().manual_seed(5)))
    torch.testing.assert_close(views[:, 0], expected)
    assert (
        relative(views[:, 0], tiny_extractor.views(pixels, (0.0,), Transformations.none())[:, 0])
        > 0.01
    )


@pytest.mark.parametrize(
    ("size", "n_scales", "fits"),
    [
        (63, 1, True),
        (62, 1, False),
        (126, 2, True),
        (127, 2, False),
        (448, 3, True),
        (64, 0, False),
    ],
)
def test_sizes_halve_evenly_and_stay_large_enough(size: int, n_scales: int, fits: bool) -> None:
    if fits:
        check_geometry(size, n_scales)
        return
    with pytest.raises(ValueError, match=rf"stays at 63 px or more .*got {size} px and {n_scales}"):
        check_geometry(size, n_scales)


def test_the_maps_of_views_are_those_of_rotated_images(
    tiny_extractor: MultiScaleExtractor, picture: Picture
) -> None:
    x = torch.from_numpy(picture(0)).permute(2, 0, 1)[None] / 255
    angles, t = (0.0, 90.0, 30.0, 300.0), Transformations(fill="black", interpolation="nearest")
    seen = []
    with torch.no_grad():
        for k, (maps,) in tiny_extractor.iter_view_maps(x, angles, t):
            turned = rotate(x, angles[k], fill="black", interpolation="nearest")
            (alone,) = tiny_extractor.feature_maps(turned)
            torch.testing.assert_close(maps, alone, rtol=1e-4, atol=1e-5)
            seen.append(k)
    assert sorted(seen) == [0, 1, 2, 3]


def test_jitter_at_angles_of_each_images_own(
    tiny_extractor: MultiScaleExtractor, picture: Picture
) -> None:
    pixels = torch.stack([torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(2)])
    t = Transformations(contrast=0.4)
    angles = torch.tensor([[10.0, 95.0], [0.0, 200.0]])
    views = tiny_extractor.views(pixels, angles, t, torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    for k in range(2):
        view = torch.cat([rotate(pixels[n : n + 1] / 255, angles[n, k].item()) for n in (0, 1)])
        with torch.no_grad():
            expected = tiny_extractor(jitter(view, t, generator))
        torch.testing.assert_close(views[:, k], expected, rtol=1e-4, atol=1e-5)


def test_features_are_float32_whatever_torchs_default_is(tiny_extractor, picture):
    images = torch.as_tensor(picture(0)).permute(2, 0, 1)[None]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # the cache stores four bytes a feature
    try:
        found = tiny_extractor.views(images, (0.0, 90.0), Transformations.grid(2))
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32
