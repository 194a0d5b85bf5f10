"""Anomaly maps: where the score comes from, to first order and by autograd."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from differnet_lite import maps
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.images import decode
from differnet_lite.localizer import BLURS, METHODS, Localizer
from differnet_lite.reference import reference_maps
from differnet_lite.sampling import whitening_matrix
from differnet_lite.scoring import Scorer, flow_score, score_views
from differnet_lite.transforms import Transformations

ANGLES = (0.0, 45.0, 90.0)
GRID = Transformations(angles=ANGLES)

TURNED = ("attribution", "deviation", "gradient")  # those that look at every angle


@pytest.fixture(scope="module")
def pictures(picture: Any) -> list[np.ndarray]:
    return [picture(k, 256, smooth=8) for k in range(6)]


@pytest.fixture(scope="module")
def flow(extractor: MultiScaleExtractor, pictures: list[np.ndarray]) -> CouplingFlow:
    """Whitened on the pictures, with couplings that do something."""
    y = torch.cat([extractor.views(decode(p, 256)[None], ANGLES, GRID)[0] for p in pictures])
    return build_flow(768, n_blocks=2, hidden=16, whitening=whitening_matrix(y, eps=0.05), seed=0)


@pytest.fixture(scope="module")
def apart(
    extractor: MultiScaleExtractor, pictures: list[np.ndarray], flow: CouplingFlow
) -> Localizer:
    """Each view is scored by itself."""
    reference = reference_maps(extractor, pictures, angles=ANGLES, transformations=GRID)
    return Localizer(extractor, Scorer(flow_score(flow), False), GRID, ANGLES, *reference)


@pytest.fixture(scope="module")
def pooled(apart: Localizer) -> Localizer:
    """Their mean is scored."""
    return dataclasses.replace(apart, scorer=dataclasses.replace(apart.scorer, pool_views=True))


def at(localizer: Localizer, *angles: float) -> Localizer:
    """The same model at some of its angles."""
    chosen = [localizer.angles.index(angle) for angle in angles]
    return dataclasses.replace(
        localizer,
        angles=angles,
        means=[m[chosen] for m in localizer.means],
        deviations=[d[chosen] for d in localizer.deviations],
    )


def enlarged(terms: list[torch.Tensor]) -> np.ndarray:
    """(256, 256), the sum over scales of (1, h, w) drawn at the image's size."""
    drawn = [F.interpolate(t[:, None].float(), size=(256, 256), mode="bilinear") for t in terms]
    return torch.stack(drawn).sum(0)[0, 0].numpy()


def parts(localizer: Localizer, pixels: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Maps and gradient of the view at the first angle alone."""
    views = localizer.views(pixels, [0])
    with torch.no_grad():
        found = localizer.extractor.feature_maps(views)
    return found, localizer.scorer.gradient(localizer.extractor.pool(found)[None])[0]


@torch.no_grad()
def test_attribution_sums_to_the_first_order_change_of_the_score(
    apart: Localizer, pictures: list[np.ndarray]
) -> None:
    """mean_p g . (F(p) - F_ref(p)), summed over scales, is g . (y - y_ref)."""
    pixels = decode(pictures[0], 256)
    here, g = parts(apart, pixels)
    normal = [m[:1].float() for m in apart.means]
    y, y_ref = apart.extractor.pool(here), apart.extractor.pool(normal)
    terms = apart.terms("attribution", here, g, [0])
    total = sum(float(term.double().mean()) for term in terms)
    expected = float((g.double() * (y - y_ref).double()).sum())
    assert total == pytest.approx(expected, rel=1e-3)
    assert abs(expected) > 1e-3
    for s, term in enumerate(terms):
        assert term.shape == (1, *here[s].shape[-2:])
        row, column = (min(k, term.shape[-1] - 1) for k in (1, 2))
        change = here[s][0, :, row, column] - normal[s][0, :, row, column]
        by_hand = (change * g[0].chunk(3)[s]).sum()
        torch.testing.assert_close(term[0, row, column], by_hand, rtol=1e-3, atol=1e-3)
    drawn = apart.anomaly_map(pixels, method="attribution", n_angles=1, sigma=0)
    expected_map = enlarged(terms).clip(0)
    np.testing.assert_allclose(drawn, expected_map, rtol=1e-3, atol=1e-3 * expected_map.max())


def test_deviation_is_its_formula(apart: Localizer, pictures: list[np.ndarray]) -> None:
    pixels = decode(pictures[1], 256)
    found, gradient = parts(apart, pixels)
    terms = []
    for s, here in enumerate(found):
        mean, deviation = (x[s][0].double().numpy() for x in (apart.means, apart.deviations))
        usual = (deviation**2).mean((1, 2))
        weights = gradient[0, 256 * s : 256 * (s + 1)].abs().double().numpy() * np.sqrt(usual)
        weights /= weights.sum()
        squares = (here[0].double().numpy() - mean) ** 2
        squares /= deviation**2 + 0.1 * usual[:, None, None] + 1e-3
        terms.append(torch.from_numpy(np.tensordot(weights, squares, 1))[None])
    drawn = apart.anomaly_map(pixels, method="deviation", n_angles=1, sigma=0)
    np.testing.assert_allclose(drawn, enlarged(terms), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("use_log_det", [False, True])
def test_gradient_method_is_autograd_of_the_score(
    apart: Localizer, pictures: list[np.ndarray], flow: CouplingFlow, use_log_det: bool
) -> None:
    scorer = Scorer(flow_score(flow, use_log_det=use_log_det), False)
    localizer = Localizer(apart.extractor, scorer, GRID, (0.0,))
    pixels = decode(pictures[0], 256)
    drawn = localizer.anomaly_map(pixels, sigma=0)
    x = (pixels[None] / 255).requires_grad_(True)
    z, log_det = flow(apart.extractor(x))
    score_views(z[None], log_det[None], use_log_det=use_log_det).sum().backward()
    assert x.grad is not None
    expected = x.grad[0].abs().mean(0).numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-4 * expected.max())


@pytest.mark.parametrize("angle", [0.0, 90.0])
@torch.no_grad()
def test_gradient_maps_are_finite_differences_of_the_score(
    tiny_extractor: MultiScaleExtractor, picture: Any, angle: float
) -> None:
    """Pixels moved by 1e-6 in float64, the score taken with no gradient anywhere."""
    pixels, step = decode(picture(3), 64), 1e-6
    flow = build_flow(256, n_blocks=3, hidden=32, seed=0)
    scorer = Scorer(flow_score(flow, use_log_det=True), False)
    localizer = Localizer(tiny_extractor, scorer, Transformations.grid(4), (angle,))
    drawn = localizer.anomaly_map(pixels, sigma=0)
    trunk, precise = copy.deepcopy(tiny_extractor).double(), copy.deepcopy(flow).double()
    trunk.dtype = torch.float64

    def score(x: torch.Tensor) -> float:
        y = trunk.feature_maps(torch.rot90(x, round(angle / 90), (2, 3)))[0].mean((2, 3))
        z, log_det = precise(y)
        return float(z.square().mean() - 2 * log_det / 256)

    x = pixels[None].double() / 255
    hottest = np.unravel_index(drawn.argmax(), drawn.shape)
    for row, column in [(0, 0), (17, 43), (32, 32), hottest]:
        slopes = []
        for channel in range(3):
            pair = [x.clone(), x.clone()]
            pair[0][0, channel, row, column] += step
            pair[1][0, channel, row, column] -= step
            slopes.append(abs(score(pair[0]) - score(pair[1])) / (2 * step))
        tolerance = 1e-4 * float(drawn.max())
        assert drawn[row, column] == pytest.approx(np.mean(slopes), rel=1e-3, abs=tolerance)


@pytest.mark.parametrize("method", TURNED)
def test_maps_are_turned_back_and_averaged(
    apart: Localizer, pictures: list[np.ndarray], method: str
) -> None:
    """The map at 90 degrees is that of the turned image, turned back; the whole is the mean.

    The turned image is shown to a model that has seen it upright: its reference is that at 90."""
    pixels = decode(pictures[1], 256)
    options: dict[str, Any] = {"method": method, "sigma": 0}
    only_90 = at(apart, 90.0)
    upright = dataclasses.replace(only_90, angles=(0.0,))
    at_0 = at(apart, 0.0).anomaly_map(pixels, **options)
    at_90 = only_90.anomaly_map(pixels, **options)
    of_turned = upright.anomaly_map(torch.rot90(pixels, 1, (1, 2)), **options)
    wanted = np.rot90(of_turned, -1)
    np.testing.assert_allclose(at_90, wanted, rtol=1e-4, atol=1e-5 * at_90.max())
    assert np.linalg.norm(at_90 - np.rot90(of_turned)) > 0.1 * np.linalg.norm(at_90)
    both = at(apart, 0.0, 90.0).anomaly_map(pixels, **options)
    if method == "attribution":  # the mean is taken before what is negative is cut off
        assert (both <= (at_0 + at_90) / 2 + 1e-3 * both.max()).all()
        signed = [np.where(a > 0, a, np.nan) for a in (at_0, at_90)]
        known = ~np.isnan(signed[0] + signed[1])
        mean = ((at_0 + at_90) / 2)[known]
        assert known.mean() > 0.05
        assert np.linalg.norm(both[known] - mean) < 5e-3 * np.linalg.norm(mean)
    else:  # a batch of views rounds otherwise than views one by one
        mean = (at_0 + at_90) / 2
        assert np.linalg.norm(both - mean) < 5e-3 * np.linalg.norm(mean)
    one = at(apart, 0.0, 90.0).anomaly_map(pixels, n_angles=1, **options)
    np.testing.assert_allclose(one, at_0, rtol=1e-4, atol=1e-5 * one.max())


@pytest.mark.parametrize("method", TURNED)
def test_the_same_image_at_every_angle_gives_the_map_of_one(
    tiny_extractor: MultiScaleExtractor, picture: Any, method: str
) -> None:
    """A view counts as one of T, not T times: four equal views are as hot as one, not four."""
    pixels = decode(picture(0), 64)
    scorer = Scorer(lambda rows: rows.square().mean(1), False)
    none = Transformations.none()
    normal = [picture(1), picture(2)]
    drawn = []
    for angles in ((0.0,), (0.0,) * 4):
        reference = reference_maps(tiny_extractor, normal, angles=angles, transformations=none)
        localizer = Localizer(tiny_extractor, scorer, none, angles, *reference)
        drawn.append(localizer.anomaly_map(pixels, method=method))
    assert drawn[0].max() > 0
    np.testing.assert_allclose(drawn[1], drawn[0], rtol=1e-3, atol=1e-4 * drawn[0].max())


@pytest.mark.parametrize(("method", "sigma"), [("attribution", 4), ("deviation", 4), (None, 4)])
def test_the_blur_of_our_maps_is_4_px(
    apart: Localizer, pictures: list[np.ndarray], method: str, sigma: float
) -> None:
    check_blur(apart, decode(pictures[0], 256), method, sigma)


def test_the_blur_of_the_papers_maps_is_3_px(apart: Localizer, pictures: list[np.ndarray]) -> None:
    check_blur(apart, decode(pictures[0], 256), "gradient", 3)
    bare = dataclasses.replace(apart, means=(), deviations=())
    check_blur(bare, decode(pictures[0], 256), None, 3)


def check_blur(localizer: Localizer, pixels: torch.Tensor, method: Any, sigma: float) -> None:
    options: dict[str, Any] = {"method": method, "n_angles": 1}
    drawn = localizer.anomaly_map(pixels, **options)
    np.testing.assert_array_equal(drawn, localizer.anomaly_map(pixels, sigma=sigma, **options))
    for other in (0, 1, sigma - 1, sigma + 1):
        assert not np.allclose(drawn, localizer.anomaly_map(pixels, sigma=other, **options))


def test_methods_and_their_blurs() -> None:
    assert BLURS == {"attribution": 4.0, "deviation": 4.0, "distance": 4.0, "gradient": 3.0}
    assert METHODS == ("attribution", "deviation", "distance", "gradient")


def test_methods_need_a_reference(apart: Localizer, pictures: list[np.ndarray]) -> None:
    assert apart.methods == TURNED
    bare = dataclasses.replace(apart, means=[], deviations=[])
    assert bare.methods == ("gradient",)
    pixels = decode(pictures[0], 256)
    np.testing.assert_array_equal(
        apart.anomaly_map(pixels), apart.anomaly_map(pixels, method="attribution")
    )
    np.testing.assert_array_equal(
        bare.anomaly_map(pixels), apart.anomaly_map(pixels, method="gradient")
    )
    for method in ("attribution", "deviation", "distance"):
        message = f"method='{method}' needs reference maps.*reference_images > 0, or use"
        with pytest.raises(ValueError, match=message):
            bare.anomaly_map(pixels, method=method)
    with pytest.raises(ValueError, match=r"method: expected one of 'attribution'.*got 'gradcam'"):
        apart.anomaly_map(pixels, method="gradcam")
    for n_angles in (0, 4):
        with pytest.raises(ValueError, match=rf"expected .*, got {n_angles}"):
            apart.anomaly_map(pixels, n_angles=n_angles)


@pytest.mark.parametrize("method", TURNED)
@pytest.mark.parametrize("kind", ["pooled", "apart"])
def test_a_crude_defect_is_hotter_than_the_rest(
    request: pytest.FixtureRequest, pictures: list[np.ndarray], method: str, kind: str
) -> None:
    localizer: Localizer = request.getfixturevalue(kind)
    spoilt, noise = pictures[0].copy(), np.random.default_rng(0).integers(0, 256, (50, 50, 3))
    spoilt[150:200, 40:90] = noise  # off centre
    drawn = localizer.anomaly_map(decode(spoilt, 256), method=method)
    assert drawn.shape == (256, 256)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    inside = np.zeros((256, 256), bool)
    inside[150:200, 40:90] = True
    # The paper's gradient is not optimised, and at 256 px the grids are coarse: 7, 3 and 1 wide.
    assert drawn[inside].mean() > (1.2 if method == "gradient" else 2) * drawn[~inside].mean()
    if method != "gradient":
        row, column = np.unravel_index(drawn.argmax(), drawn.shape)
        assert np.hypot(row - 175, column - 65) < 60
    clean = localizer.anomaly_map(decode(pictures[0], 256), method=method)
    assert drawn[inside].mean() > 2 * clean[inside].mean(), "one scale for all images"


def test_blur_keeps_the_sum_and_spreads() -> None:
    point = torch.zeros(1, 1, 65, 65)
    point[0, 0, 32, 32] = 1
    blurred = maps._blur(point, 3.0)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-4)
    axis = torch.arange(65.0) - 32
    assert (blurred[0, 0].sum(0) * axis**2).sum().sqrt().item() == pytest.approx(3, rel=0.01)
    assert maps._blur(point, 0) is point
