"""The distance map: its formula by hand, leave-one-out exactly, its level, its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from differnet_lite import DifferNet, TooFewNormalsError
from differnet_lite import maps as distance
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import decode
from differnet_lite.maps import (
    EPS,
    PlaceStatistics,
    distance_maps,
    drawn,
    place_features,
    place_statistics,
)

Picture = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def normal(picture: Picture) -> list[np.ndarray]:
    return [picture(k, 256, 6.0) for k in range(7)]


@pytest.fixture(scope="module")
def statistics(extractor: MultiScaleExtractor, normal: list[np.ndarray]) -> PlaceStatistics:
    found = place_statistics(extractor, normal)
    assert found is not None
    return found


def phi_of(extractor: MultiScaleExtractor, images: list[np.ndarray], scale: torch.Tensor):
    """(N, D, h, w), as the definition says."""
    pixels = torch.stack([decode(image, 256) for image in images]).float() / 255
    layers = place_features(extractor, pixels)
    return torch.cat([layer / s for layer, s in zip(layers, scale, strict=True)], dim=1).double()


def by_hand(phi: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """d(p) of x (D, h, w) against images phi (n, D, h, w), without the border's factor."""
    n, d, h, w = phi.shape
    mean = phi.mean(0)
    rows = (phi - mean).movedim(1, -1).reshape(-1, d)
    covariance = rows.T @ rows / ((n - 1) * h * w)
    covariance += EPS * covariance.trace() / d * torch.eye(d)
    r = (x - mean).flatten(1)
    return (r * torch.linalg.solve(covariance, r)).sum(0).view(h, w) / d


def test_a_map_is_its_formula(
    extractor: MultiScaleExtractor,
    normal: list[np.ndarray],
    statistics: PlaceStatistics,
    picture: Picture,
) -> None:
    phi = phi_of(extractor, [*normal, picture(50, 256, 6.0)], statistics.scale)
    expected = drawn((by_hand(phi[:-1], phi[-1]) / statistics.border)[None].float(), 256)[0]
    got = distance_maps(extractor, statistics, decode(picture(50, 256, 6.0), 256)[None])[0]
    assert got.shape == (256, 256)
    np.testing.assert_allclose(got, expected.numpy(), rtol=2e-3, atol=1e-3 * float(expected.max()))


def test_leaving_one_out_is_exact(
    extractor: MultiScaleExtractor, normal: list[np.ndarray], statistics: PlaceStatistics
) -> None:
    phi = phi_of(extractor, normal, statistics.scale)
    for i in range(len(normal)):
        others = torch.cat([phi[:i], phi[i + 1 :]])
        left = drawn((by_hand(others, phi[i]) / statistics.border)[None].float(), 256)
        assert float(statistics.maxima[i]) == pytest.approx(float(left.max()), rel=2e-3)


def test_the_level_is_the_conformal_quantile_of_the_maxima(statistics: PlaceStatistics) -> None:
    ordered = statistics.maxima.sort().values
    levels = statistics.levels(0.25)
    assert levels.level == pytest.approx(float(ordered[5]), rel=1e-6)  # ceil(8 * 0.75)
    assert 0 < levels.usual <= levels.level and levels.alpha == 0.25
    fallback = statistics.levels(0.05, if_too_few="fallback")
    assert fallback.level == pytest.approx(float(ordered[-1])) and fallback.alpha == 1 / 8
    with pytest.raises(TooFewNormalsError, match="at least 19"):
        statistics.levels(0.05)


def test_a_spot_is_drawn_where_it_is(
    extractor: MultiScaleExtractor, statistics: PlaceStatistics, picture: Picture
) -> None:
    for y, x in ((60, 60), (60, 190), (190, 60), (128, 128)):
        spoilt = picture(51, 256, 6.0).copy()
        spoilt[y - 10 : y + 10, x - 10 : x + 10] = (255, 0, 0)
        found = distance_maps(extractor, statistics, decode(spoilt, 256)[None])[0]
        row, column = np.unravel_index(found.argmax(), found.shape)
        assert abs(row - y) <= 16 and abs(column - x) <= 16


def test_a_cell_is_drawn_at_its_centre() -> None:
    grid = torch.zeros(1, 27, 27)
    grid[0, 3, 20] = 1
    found = drawn(grid, 448, sigma=0)[0]
    row, column = np.unravel_index(int(found.argmax()), found.shape)
    assert (abs(row - (15 + 16 * 3)) <= 1, abs(column - (15 + 16 * 20)) <= 1) == (True, True)


def test_the_border_counts_less_only_where_normals_stray_there() -> None:
    flat = torch.ones(27, 27)
    assert torch.equal(distance._border(flat), flat)
    ringed = flat.clone()
    ringed[[0, -1]] = ringed[:, [0, -1]] = 3.0
    factor = distance._border(ringed)
    assert factor[0, 5] == pytest.approx(3.0) and factor[13, 13] == 1 and factor[1, 5] == 1
    assert (distance._border(2 - ringed.clamp_max(1.5)) >= 1).all()


def test_too_few_images_have_no_statistics(
    extractor: MultiScaleExtractor, normal: list[np.ndarray]
) -> None:
    assert place_statistics(extractor, normal[:2]) is None


def test_masks_of_a_saved_model(model: DifferNet, category_folder: Path, tmp_path: Path) -> None:
    paths = sorted((category_folder / "test").rglob("*.png"))[:3]
    masks = model.predict_masks(paths, alpha=0.2)
    assert masks.shape == (3, 256, 256) and masks.dtype == bool
    maps = model.anomaly_maps(paths, method="distance")
    np.testing.assert_array_equal(masks, maps >= model.map_levels(0.2).level)
    loaded = DifferNet.load(model.save(tmp_path / "a.safetensors"), progress=False)
    assert loaded.map_levels(0.2) == pytest.approx(model.map_levels(0.2), rel=1e-6)
    again = loaded.anomaly_maps(paths, method="distance")
    np.testing.assert_allclose(again, maps, rtol=2e-2, atol=5e-3 * maps.max())
