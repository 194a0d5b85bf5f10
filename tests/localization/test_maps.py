"""Anomaly maps: where the score comes from, to first order and by autograd."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from differnet_lite import DifferNet
from differnet_lite.data.images import decode
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow, whitening_matrix
from differnet_lite.localization import maps as localization
from differnet_lite.localization.maps import anomaly_map, reference_maps, score_gradient
from differnet_lite.scoring import anomaly_score, score_views
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import pooled
from differnet_lite.transforms import Transformations

ANGLES = (0.0, 45.0, 90.0)
POOLED = dataclasses.replace(
    DEFAULT, transformations=Transformations(angles=ANGLES), size=256, dtype="float32"
)
APART = dataclasses.replace(POOLED, pool_views=False)


@pytest.fixture(scope="module")
def pictures(picture: Any) -> list[np.ndarray]:
    return [picture(k, 256, smooth=8) for k in range(6)]


@pytest.fixture(scope="module")
def flow(extractor: MultiScaleExtractor, pictures: list[np.ndarray]) -> CouplingFlow:
    """Whitened on the pictures, with couplings that do something."""
    y = torch.cat(
        [extractor.views(decode(p, 256)[None], ANGLES, POOLED.transformations)[0] for p in pictures]
    )
    return build_flow(768, n_blocks=2, hidden=16, whitening=whitening_matrix(y, eps=0.05), seed=0)


@pytest.fixture(scope="module")
def normal(
    extractor: MultiScaleExtractor, pictures: list[np.ndarray]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return reference_maps(extractor, pictures, angles=ANGLES, settings=POOLED)


@pytest.fixture(scope="module")
def reference(normal: tuple[list[torch.Tensor], list[torch.Tensor]]) -> list[torch.Tensor]:
    return normal[0]


def test_reference_maps_are_means_and_deviations_over_images(
    extractor: MultiScaleExtractor,
    pictures: list[np.ndarray],
    normal: tuple[list[torch.Tensor], list[torch.Tensor]],
) -> None:
    reference, spread = normal
    for kept in normal:
        assert [tuple(r.shape) for r in kept] == [(3, 256, 7, 7), (3, 256, 3, 3), (3, 256, 1, 1)]
        assert {r.dtype for r in kept} == {torch.float16}
    x = torch.stack([decode(p, 256) for p in pictures]) / 255
    with torch.no_grad():
        for s, maps in enumerate(extractor.feature_maps(torch.rot90(x, 1, (2, 3)))):
            torch.testing.assert_close(reference[s][2].float(), maps.mean(0), rtol=2e-3, atol=2e-3)
            torch.testing.assert_close(
                spread[s][2].float(), maps.std(0, correction=0), rtol=5e-3, atol=5e-3
            )


@pytest.mark.parametrize("settings", [POOLED, APART, dataclasses.replace(APART, use_log_det=True)])
def test_score_gradient_is_the_derivative_of_the_score(
    flow: CouplingFlow, settings: Settings
) -> None:
    flow = build_flow(8, n_blocks=2, hidden=8, seed=0).double()
    y = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient = score_gradient(flow, y, settings)
    assert gradient.shape == y.shape
    n_seen = pooled(y, settings).shape[1]
    for n, t, d in ((0, 0, 0), (1, 2, 5), (0, 1, 7)):
        step = torch.zeros_like(y)
        step[n, t, d] = 1e-6
        plus, minus = (
            anomaly_score(
                flow, pooled(y + sign * step, settings), use_log_det=settings.use_log_det
            )[n]
            for sign in (1, -1)
        )
        # tau is the mean over the T views that it was given, and a view's own score T times as steep
        assert (plus - minus) / 2e-6 * y.shape[1] == pytest.approx(
            float(gradient[n, t, d]), rel=1e-5
        )
    assert n_seen == (1 if settings.pool_views else 3)
    assert all(p.grad is None for p in flow.parameters())


@torch.no_grad()
def test_attribution_sums_to_the_first_order_change_of_the_score(
    extractor: MultiScaleExtractor, pictures: list[np.ndarray], flow: CouplingFlow
) -> None:
    """mean_p g . (F(p) - F_ref(p)), summed over scales, is g . (y - y_ref)."""
    x = torch.stack([decode(p, 256) for p in pictures[:2]]) / 255
    here, normal = extractor.feature_maps(x[:1]), extractor.feature_maps(x[1:])
    y, y_ref = extractor.pool(here), extractor.pool(normal)
    g = score_gradient(flow, y[None], APART)[0, 0]
    total = 0.0
    for s, drawn in enumerate(localization._attribution(here, normal, g[None])):
        assert drawn.shape == (1, *here[s].shape[-2:])
        total += float(drawn.double().mean())
        row, column = (min(k, drawn.shape[-1] - 1) for k in (1, 2))
        by_hand = (
            (here[s][0, :, row, column] - normal[s][0, :, row, column]) * g.chunk(3)[s]
        ).sum()
        torch.testing.assert_close(drawn[0, row, column], by_hand, rtol=1e-3, atol=1e-3)
    expected = float((g.double() * (y - y_ref)[0].double()).sum())
    assert total == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1e-3
    terms = localization._attribution(here, normal, g[None])
    together = sum(
        torch.nn.functional.interpolate(t[:, None], size=(256, 256), mode="bilinear") for t in terms
    )[0, 0]
    whole = anomaly_map(
        extractor,
        flow,
        decode(pictures[0], 256),
        angles=ANGLES,
        settings=APART,
        reference=[m.half() for m in normal],
        n_angles=1,
        sigma=0,
    )
    np.testing.assert_allclose(
        whole, together.clamp_min(0).numpy(), rtol=2e-2, atol=2e-2 * float(together.max())
    )


@pytest.mark.parametrize("use_log_det", [False, True])
def test_gradient_method_is_autograd_of_the_score(
    extractor: MultiScaleExtractor,
    pictures: list[np.ndarray],
    flow: CouplingFlow,
    use_log_det: bool,
) -> None:
    settings = dataclasses.replace(
        APART, transformations=Transformations.none(), use_log_det=use_log_det
    )
    pixels = decode(pictures[0], 256)
    drawn = anomaly_map(
        extractor, flow, pixels, angles=(0.0,), settings=settings, method="gradient", sigma=0
    )
    x = (pixels[None] / 255).requires_grad_(True)
    z, log_det = flow(extractor(x))
    score_views(z[None], log_det[None], use_log_det=use_log_det).sum().backward()
    assert x.grad is not None
    expected = x.grad[0].abs().mean(0).numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_maps_of_several_angles_are_turned_back(
    extractor: MultiScaleExtractor, pictures: list[np.ndarray], flow: CouplingFlow
) -> None:
    """The map at 90 degrees is that of the turned image, turned back; the whole map is the mean."""
    pixels = decode(pictures[1], 256)
    options: dict[str, Any] = {"settings": APART, "method": "gradient", "sigma": 0}
    at_0 = anomaly_map(extractor, flow, pixels, angles=(0.0,), **options)
    at_90 = anomaly_map(extractor, flow, pixels, angles=(90.0,), **options)
    of_turned = anomaly_map(
        extractor, flow, torch.rot90(pixels, 1, (1, 2)), angles=(0.0,), **options
    )
    np.testing.assert_allclose(at_90, np.rot90(of_turned, -1), rtol=1e-4, atol=1e-5 * at_90.max())
    both = anomaly_map(extractor, flow, pixels, angles=(0.0, 90.0), **options)
    mean = (at_0 + at_90) / 2  # a batch of views rounds otherwise than views one by one
    assert np.linalg.norm(both - mean) < 2e-3 * np.linalg.norm(mean)
    one = anomaly_map(extractor, flow, pixels, angles=(0.0, 90.0), n_angles=1, **options)
    np.testing.assert_allclose(one, at_0, rtol=1e-4, atol=1e-5 * one.max())


@pytest.mark.parametrize("method", localization.METHODS)
@pytest.mark.parametrize("settings", [POOLED, APART])
def test_a_crude_defect_is_hotter_than_the_rest(
    extractor: MultiScaleExtractor,
    pictures: list[np.ndarray],
    flow: CouplingFlow,
    normal: tuple[list[torch.Tensor], list[torch.Tensor]],
    method: str,
    settings: Settings,
) -> None:
    spoilt = pictures[0].copy()
    spoilt[150:200, 40:90] = np.random.default_rng(0).integers(
        0, 256, (50, 50, 3)
    )  # a patch of noise, off centre
    options: dict[str, Any] = {
        "angles": ANGLES,
        "settings": settings,
        "reference": normal[0],
        "spread": normal[1],
        "method": method,
    }
    drawn = anomaly_map(extractor, flow, decode(spoilt, 256), **options)
    assert drawn.shape == (256, 256)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    inside = np.zeros((256, 256), bool)
    inside[150:200, 40:90] = True
    # The paper's gradient is not optimised, and at 256 px the trunk's grids are coarse: 7, 3 and 1 wide.
    assert drawn[inside].mean() > (1.2 if method == "gradient" else 2) * drawn[~inside].mean()
    if method != "gradient":
        row, column = np.unravel_index(drawn.argmax(), drawn.shape)
        assert np.hypot(row - 175, column - 65) < 60
    clean = anomaly_map(extractor, flow, decode(pictures[0], 256), **options)
    assert drawn[inside].mean() > 2 * clean[inside].mean(), "one scale for all images"


def test_blur_keeps_the_sum_and_spreads(extractor: MultiScaleExtractor) -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    blurred = localization._blur(point, 3.0)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-4)
    axis = torch.arange(65.0) - 32
    assert (blurred[0, 0].sum(0) * axis**2).sum().sqrt().item() == pytest.approx(3, rel=0.01)
    assert localization._blur(point, 0) is point


def test_map_errors(
    extractor: MultiScaleExtractor,
    pictures: list[np.ndarray],
    flow: CouplingFlow,
    reference: list[torch.Tensor],
) -> None:
    pixels = decode(pictures[0], 256)
    with pytest.raises(
        ValueError, match="expected one of attribution, deviation, gradient, got 'gradcam'"
    ):
        anomaly_map(
            extractor,
            flow,
            pixels,
            angles=ANGLES,
            settings=POOLED,
            reference=reference,
            method="gradcam",
        )
    for none in (None, []):
        with pytest.raises(
            ValueError,
            match=r"needs reference maps.*reference_images > 0, or use method='gradient'",
        ):
            anomaly_map(extractor, flow, pixels, angles=ANGLES, settings=POOLED, reference=none)
        with pytest.raises(ValueError, match="method='deviation' needs reference maps"):
            anomaly_map(
                extractor,
                flow,
                pixels,
                angles=ANGLES,
                settings=POOLED,
                reference=reference,
                spread=none,
                method="deviation",
            )
    for n_angles in (0, 4):
        with pytest.raises(ValueError, match=f"n_angles: expected 1 to 3, got {n_angles}"):
            anomaly_map(
                extractor,
                flow,
                pixels,
                angles=ANGLES,
                settings=POOLED,
                reference=reference,
                n_angles=n_angles,
            )


def test_deviation_is_its_formula(
    extractor: MultiScaleExtractor,
    pictures: list[np.ndarray],
    flow: CouplingFlow,
    normal: tuple[list[torch.Tensor], list[torch.Tensor]],
) -> None:
    x = decode(pictures[1], 256)[None] / 255
    with torch.no_grad():
        maps = extractor.feature_maps(x)
        g = score_gradient(flow, extractor.pool(maps)[None], APART)[0, 0]
    (reference, spread), plain = normal, np.zeros((256, 256))
    for s, here in enumerate(maps):
        mean, deviation, weights = (
            reference[s][0].double().numpy(),
            spread[s][0].double().numpy(),
            g[256 * s : 256 * (s + 1)].abs().double().numpy(),
        )
        usual = (deviation**2).mean((1, 2))
        weights = weights * np.sqrt(usual) / (weights * np.sqrt(usual)).sum()
        term = sum(
            w * (f - m) ** 2 / (d**2 + 0.1 * u + 1e-3)
            for w, f, m, d, u in zip(
                weights, here[0].double().numpy(), mean, deviation, usual, strict=True
            )
        )
        plain += torch.nn.functional.interpolate(
            torch.from_numpy(term)[None, None], size=(256, 256), mode="bilinear"
        )[0, 0].numpy()
    drawn = anomaly_map(
        extractor,
        flow,
        decode(pictures[1], 256),
        angles=ANGLES,
        settings=APART,
        reference=reference,
        spread=spread,
        method="deviation",
        n_angles=1,
        sigma=0,
    )
    np.testing.assert_allclose(drawn, plain, rtol=1e-3, atol=1e-4)


def test_reference_maps_of_a_fit_do_not_depend_on_what_was_kept(
    small: dict[str, Any], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    """Taken while features are extracted, in a pass of their own, or half and half: the same bits."""
    fits = {
        "cold": tmp_path / "a",
        "warm": tmp_path / "a",
        "nothing kept": None,
        "half kept": tmp_path / "b",
    }
    images = [np.roll(pictures[0], 7 * k, axis=1) for k in range(8)]
    found = {}
    for name, cache in fits.items():
        model = DifferNet(**small | {"epochs": 1, "holdout": 0, "reference_images": 5}, cache=cache)
        if name == "half kept":
            model.bank.features(images[:4], model.angles_)
        model.fit(images)
        found[name] = [*model.reference_, *model.spread_]
    chosen = [images[k * 8 // 5] for k in range(5)]
    alone = reference_maps(model.extractor, chosen, angles=model.angles_, settings=model.settings)
    found["alone"] = [*alone[0], *alone[1]]
    for name, maps in found.items():
        assert all(torch.equal(a, b) for a, b in zip(maps, found["cold"], strict=True)), name
