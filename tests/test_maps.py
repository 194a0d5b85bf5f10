"""The distance map: its formula by hand, leave-one-out exactly, its level, what it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_course.samples import render
from differnet_lite import DifferNet, TooFewNormalsError, places
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import decode
from differnet_lite.maps import PlaceStatistics, distance_map, drawn, evenly, place_features
from differnet_lite.places import EPS, place_statistics

Picture = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def normal(picture: Picture) -> list[np.ndarray]:
    return [picture(k, 256, 6.0) for k in range(7)]


@pytest.fixture(scope="module")
def statistics(extractor: MultiScaleExtractor, normal: list[np.ndarray]) -> PlaceStatistics:
    return place_statistics(extractor, normal)


def pixels_of(*images: np.ndarray) -> Tensor:
    """(N, 3, 256, 256) in [0, 1]."""
    return torch.stack([decode(image, 256) for image in images]).float() / 255


def phi_of(extractor: MultiScaleExtractor, images: list[np.ndarray], scale: Tensor) -> Tensor:
    """(N, D, h, w), as the definition says."""
    layers = place_features(extractor, pixels_of(*images))
    return torch.cat([layer / s for layer, s in zip(layers, scale, strict=True)], dim=1).double()


def inflated(phi: Tensor) -> Tensor:
    """The covariance (D, D) of all places of phi (n, D, h, w), each about its mean, inflated."""
    n, d, h, w = phi.shape
    rows = (phi - phi.mean(0)).movedim(1, -1).reshape(-1, d)
    covariance = rows.T @ rows / ((n - 1) * h * w)
    return covariance + EPS * covariance.trace() / d * torch.eye(d)


def by_hand(phi: Tensor, x: Tensor) -> Tensor:
    """d(p) of x (D, h, w) against images phi (n, D, h, w): w = 0, without the border's factor."""
    r = (x - phi.mean(0)).flatten(1)
    squares = (r * torch.linalg.solve(inflated(phi), r)).sum(0)
    return squares.view(x.shape[1:]) / len(x)


@pytest.fixture(scope="module")
def common(extractor: MultiScaleExtractor, normal: list[np.ndarray]) -> PlaceStatistics:
    """Statistics with w = 0: one covariance for all places."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "WEIGHTS", (0.0,))
        return place_statistics(extractor, normal)


def test_the_tapped_layers_are_alexnets_third_and_fifth_on_one_grid(
    extractor: MultiScaleExtractor, normal: list[np.ndarray]
) -> None:
    x = extractor.pyramid(pixels_of(*normal[:2]))[0]
    for layer, tapped in zip(
        (7, 11), place_features(extractor, pixels_of(*normal[:2])), strict=True
    ):
        activation = extractor.trunk[: layer + 1](x)
        expected = torch.nn.functional.avg_pool2d(activation, 3, 1, 1, count_include_pad=False)
        torch.testing.assert_close(tapped, expected, rtol=1e-5, atol=1e-5)


def test_leaving_one_out_is_exact_with_one_covariance(
    extractor: MultiScaleExtractor, normal: list[np.ndarray], common: PlaceStatistics
) -> None:
    phi = phi_of(extractor, normal, common.scale)
    for i in range(len(normal)):
        others = torch.cat([phi[:i], phi[i + 1 :]])
        left_out = drawn((by_hand(others, phi[i]) / common.border)[None].float(), 256)
        assert float(common.maxima[i]) == pytest.approx(float(left_out.max()), rel=2e-3)


@pytest.mark.parametrize("weight", [0.3, 0.95])
def test_a_places_own_covariance_leaves_one_out_exactly(weight: float) -> None:
    torch.manual_seed(0)
    rows = torch.randn(5, 9, 4, dtype=torch.float64) * torch.tensor([0.1, 1.0, 2.0, 9.0])
    rows -= rows.mean(1, keepdim=True)
    distances, likelihood = places._left_out(rows.float(), weight)
    log_densities = []
    for p in range(5):
        for i in range(9):
            others = torch.cat([rows[p, :i], rows[p, i + 1 :]])
            covariance = weight * others.T.cov() + (1 - weight) * torch.eye(4)
            normal = torch.distributions.MultivariateNormal(others.mean(0), covariance)
            log_densities.append(normal.log_prob(rows[p, i]))
            r = rows[p, i] - others.mean(0)
            expected = r @ torch.linalg.solve(covariance, r)
            assert float(distances[p, i]) == pytest.approx(float(expected), rel=1e-3)
    constant = 2 * float(torch.log(torch.tensor(2 * torch.pi)))  # K / 2 log 2 pi, K = 4
    expected = float(torch.stack(log_densities).mean()) + constant
    assert likelihood == pytest.approx(expected, rel=1e-3)


def test_a_place_has_its_own_covariance(
    extractor: MultiScaleExtractor,
    normal: list[np.ndarray],
    statistics: PlaceStatistics,
    picture: Picture,
) -> None:
    image = picture(50, 256, 6.0)
    phi = phi_of(extractor, [*normal, image], statistics.scale)
    r = (phi[-1] - phi[:-1].mean(0)).flatten(1)  # (D, P)
    whitened = torch.linalg.solve(inflated(phi[:-1]), r)
    a = statistics.directions.double() @ r  # (K, P)
    squares = (r * whitened).sum(0) - a.square().sum(0)
    squares += torch.einsum("pjk,kp->jp", statistics.own.double(), a).square().sum(0)
    distance = (squares / len(r)).view(phi.shape[2:]) / statistics.border
    expected = drawn(distance[None].float(), 256)
    anomaly_map = distance_map(extractor, statistics, pixels_of(image))
    atol = 5e-3 * float(expected.max())
    torch.testing.assert_close(anomaly_map, expected, rtol=5e-3, atol=atol)


def test_the_level_is_the_conformal_quantile_of_the_maxima(statistics: PlaceStatistics) -> None:
    ordered = statistics.maxima.sort().values
    levels = statistics.levels(0.25)
    assert levels.level == pytest.approx(float(ordered[5]), rel=1e-6)  # ceil(8 * 0.75) = 6th
    assert 0 < levels.usual <= levels.level and levels.alpha == 0.25
    fallback = statistics.levels(0.05, if_too_few="fallback")
    assert fallback.level == pytest.approx(float(ordered[-1])) and fallback.alpha == 1 / 8
    with pytest.raises(TooFewNormalsError, match="at least 19"):
        statistics.levels(0.05)


def test_a_cell_is_drawn_at_its_centre() -> None:
    grid = torch.zeros(1, 27, 27)
    grid[0, 3, 20] = 1
    row, column = divmod(int(drawn(grid, 448).argmax()), 448)
    assert abs(row - (15 + 16 * 3)) <= 1 and abs(column - (15 + 16 * 20)) <= 1


def test_the_border_counts_less_only_where_normals_stray_there() -> None:
    flat = torch.ones(27, 27)
    assert torch.equal(places._border(flat), flat)
    ringed = flat.clone()
    ringed[[0, -1]] = 3.0
    ringed[:, [0, -1]] = 3.0
    factor = places._border(ringed)
    assert factor[0, 5] == pytest.approx(3.0) and factor[13, 13] == 1 and factor[1, 5] == 1
    assert (places._border(2 - ringed.clamp_max(1.5)) >= 1).all()


def test_too_few_images_have_no_statistics(
    extractor: MultiScaleExtractor, normal: list[np.ndarray]
) -> None:
    assert place_statistics(extractor, normal[:2]) is None
    assert evenly(16, 4) == [0, 4, 8, 12]


def test_masks_and_maps_of_a_detector(model: DifferNet, test_images: list[Path]) -> None:
    paths = test_images[:3]
    anomaly_maps = model.anomaly_maps(paths)
    assert anomaly_maps.shape == (3, 256, 256) and anomaly_maps.dtype == np.float32
    assert anomaly_maps.min() >= 0
    np.testing.assert_allclose(model.anomaly_maps(paths[1])[0], anomaly_maps[1], rtol=1e-5)
    masks = model.predict_masks(paths, alpha=0.2)
    np.testing.assert_array_equal(masks, anomaly_maps >= model.map_levels(0.2).level)
    assert model.anomaly_maps([]).shape == (0, 256, 256)


def test_a_part_that_is_missing_is_coloured() -> None:
    """A switch without its knob: the panel is usual elsewhere, and not here."""
    extractor = MultiScaleExtractor(device="cpu", dtype="float32")
    switches = [render("switch", np.random.default_rng(k))[0] for k in range(25)]
    statistics = place_statistics(extractor, switches[:24])
    x, y = np.meshgrid(np.arange(448) - 223, np.arange(448) - 223)
    radius = np.hypot(x, y)
    knob = radius < 104
    panel = switches[24][(radius > 150) & (radius < 165)]
    spoilt = switches[24].copy()
    spoilt[knob] = np.median(panel, axis=0)
    images = torch.stack([decode(image, 448) for image in (spoilt, switches[24])]).float() / 255
    without, whole = distance_map(extractor, statistics, images).numpy()
    levels = statistics.levels(0.05)
    assert without[knob].max() > levels.level > whole[knob].max()
    assert (without[knob] > levels.usual).mean() > 0.7
