"""Gradient and attribution maps: to first order, by autograd and by differences."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator
from torch import Tensor

from differnet_course.gradient_maps import GradientMaps
from differnet_lite import DifferNet, NotFittedError, Settings, Transformations
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.images import decode
from differnet_lite.sampling import whitening_matrix
from differnet_lite.scoring import Scorer, score_views

ANGLES = (0.0, 45.0, 90.0)
ROTATED = Transformations(angles=ANGLES)
EVERY = pytest.mark.parametrize("method", ["attribution", "gradient"])


class Model(BaseEstimator):
    """What `GradientMaps` asks of a fitted model."""

    def __init__(
        self,
        extractor: MultiScaleExtractor,
        score_rows: Callable[[Tensor], Tensor],
        transformations: Transformations = ROTATED,
    ) -> None:
        self.extractor = extractor
        self.score_rows = score_rows
        self.scorer = Scorer(score_rows, pool_views=False)
        self.transformations = transformations
        self.angles_ = transformations.test_angles()
        self.white_ = None
        sizes = {"size": extractor.size, "n_scales": extractor.n_scales}
        self.settings = Settings(transformations=transformations, pool_views=False, **sizes)

    def fit(self) -> None:
        """For scikit-learn, which looks for it."""


def maps_of(normal: list[np.ndarray], *args: Any, **options: Any) -> GradientMaps:
    return GradientMaps(Model(*args, **options), normal)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pictures(picture: Any) -> list[np.ndarray]:
    return [picture(k, 256, smooth=8) for k in range(6)]


@pytest.fixture(scope="module")
def flow(extractor: MultiScaleExtractor, pictures: list[np.ndarray]) -> CouplingFlow:
    """Whitened on the pictures, with couplings that do something."""
    y = torch.cat([extractor.views(decode(p, 256)[None], ANGLES, ROTATED)[0] for p in pictures])
    return build_flow(768, n_blocks=2, hidden=16, whitening=whitening_matrix(y, eps=0.05), seed=0)


@pytest.fixture(scope="module")
def score(flow: CouplingFlow) -> Callable[[Tensor], Tensor]:
    return lambda rows: score_views(*flow(rows))


@pytest.fixture(scope="module")
def apart(extractor: MultiScaleExtractor, pictures: list[np.ndarray], score: Any) -> GradientMaps:
    """Each view is scored by itself."""
    return maps_of(pictures, extractor, score)


def test_attribution_sums_to_the_first_order_change_of_the_score(
    apart: GradientMaps, pictures: list[np.ndarray]
) -> None:
    """Terms of squares, summed over places and scales, are g . (y - y_normal): exactly."""
    with torch.no_grad():
        trunk = apart.model.extractor.feature_maps(apart.views(pictures[0], [0]))
    g = apart.model.scorer.gradient(apart.model.extractor.pool(trunk)[None])[0]
    normal = [power[:1].float() for power in apart.powers]
    y = apart.model.extractor.pool(trunk)
    y_normal = torch.cat([power.mean((2, 3)) for power in normal], 1).clamp_min(1e-12).sqrt()
    terms = apart.terms(trunk, g, [0])
    total = sum(float(term.double().mean()) for term in terms)
    expected = float((g.double() * (y - y_normal).double()).sum())
    assert total == pytest.approx(expected, rel=1e-3) and abs(expected) > 1e-3
    squares = trunk[0][0, :, 1, 2].square() - normal[0][0, :, 1, 2]
    by_hand = (squares * (g / (y + y_normal))[0, :256]).sum()
    torch.testing.assert_close(terms[0][0, 1, 2], by_hand, rtol=1e-3, atol=1e-3)
    drawn = apart.anomaly_map(pictures[0], method="attribution", n_angles=1, sigma=0)
    large = [F.interpolate(t[:, None].float(), size=(256, 256), mode="bilinear") for t in terms]
    wanted = torch.stack(large).sum(0)[0, 0].numpy().clip(0)
    np.testing.assert_allclose(drawn, wanted, rtol=1e-3, atol=1e-3 * wanted.max())


@pytest.mark.parametrize("angle", [0.0, 90.0])
@torch.no_grad()
def test_gradient_maps_are_finite_differences_of_the_score(
    tiny_extractor: MultiScaleExtractor, picture: Any, angle: float
) -> None:
    """Pixels moved by 1e-6 in float64, the score taken with no gradient anywhere."""
    image, step = picture(3), 1e-6
    flow = build_flow(256, n_blocks=3, hidden=32, seed=0)
    turned = Transformations(angles=(angle,))
    with_log_det = maps_of(
        [image], tiny_extractor, lambda rows: score_views(*flow(rows), use_log_det=True), turned
    )
    drawn = with_log_det.anomaly_map(image, sigma=0)
    trunk, precise = copy.deepcopy(tiny_extractor).double(), copy.deepcopy(flow).double()
    trunk.dtype = torch.float64

    def score(x: Tensor) -> float:
        y = trunk.feature_maps(torch.rot90(x, round(angle / 90), (2, 3)))[0].mean((2, 3))
        z, log_det = precise(y)
        return float(z.square().mean() - 2 * log_det / 256)

    x = decode(image, 64)[None].double() / 255
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


@EVERY
def test_maps_are_turned_back(extractor: Any, pictures: Any, score: Any, method: str) -> None:
    """The map at 90 degrees is that of the turned image seen upright, turned back."""
    at_90, upright = (
        maps_of(pictures, extractor, score, Transformations(angles=(angle,)))
        for angle in (90.0, 0.0)
    )
    upright.powers = at_90.powers
    drawn = at_90.anomaly_map(pictures[1], method=method, sigma=0)
    turned = np.rot90(pictures[1]).copy()
    wanted = upright.anomaly_map(turned, method=method, sigma=0)
    np.testing.assert_allclose(drawn, np.rot90(wanted, -1), rtol=1e-4, atol=1e-5 * drawn.max())
    assert np.linalg.norm(drawn - np.rot90(wanted)) > 0.1 * np.linalg.norm(drawn)


def test_what_cannot_be_drawn_is_said(apart: GradientMaps, pictures: Any) -> None:
    with pytest.raises(ValueError, match="'gradient', 'attribution', got 'gradcam'"):
        apart.anomaly_map(pictures[0], method="gradcam")
    with pytest.raises(NotFittedError):
        GradientMaps(DifferNet(), pictures)
