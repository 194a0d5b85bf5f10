"""The score: mean z^2 over views and dimensions, its gradient, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.loss import nll
from differnet_lite.sampling import whitening_matrix
from differnet_lite.scoring import Scorer, flow_score, score_views


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """(5, 3, 8)"""
    return torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def flow(features: torch.Tensor) -> CouplingFlow:
    whitening = whitening_matrix(features.flatten(0, 1), eps=0.1)
    return build_flow(8, n_blocks=3, hidden=16, whitening=whitening, seed=0)


def scorer(flow: CouplingFlow, *, pool_views: bool = False, use_log_det: bool = False) -> Scorer:
    return Scorer(flow_score(flow, use_log_det=use_log_det), pool_views)


def test_the_score_is_the_mean_square_over_views_and_dimensions(
    flow: CouplingFlow, features: torch.Tensor
) -> None:
    z = torch.stack([flow(image)[0] for image in features]).detach().double()
    scores = scorer(flow).scores(features)
    assert scores.dtype == np.float64 and scores.shape == (5,)
    np.testing.assert_allclose(scores, z.square().sum((1, 2)) / (3 * 8), rtol=1e-5)
    np.testing.assert_allclose(scorer(flow).scores(features, batch_size=2), scores, rtol=1e-5)
    assert scorer(flow).scores(features[:0]).shape == (0,)


def test_with_pooled_views_their_mean_is_scored(flow: CouplingFlow, features: torch.Tensor) -> None:
    scores = scorer(flow, pool_views=True).scores(features)
    z = flow(features.mean(1))[0].detach().double()
    np.testing.assert_allclose(scores, z.square().mean(1), rtol=1e-5)


def test_with_the_log_det_the_score_is_twice_the_loss(
    flow: CouplingFlow, features: torch.Tensor
) -> None:
    with torch.no_grad():
        expected = [2 * nll(*flow(image)).item() for image in features]
    np.testing.assert_allclose(scorer(flow, use_log_det=True).scores(features), expected, rtol=1e-5)
    assert np.abs(scorer(flow).scores(features) - expected).min() > 0.02


def test_the_score_of_latents_made_by_hand() -> None:
    z = torch.tensor([[[1.0, 3.0], [0.0, 2.0]]])
    log_det = torch.tensor([[4.0, -1.0]])
    assert score_views(z, log_det).tolist() == [[5.0, 2.0]]
    assert score_views(z, log_det, use_log_det=True).tolist() == [[1.0, 3.0]]
    with pytest.raises(ValueError, match=r"expected z \(..., D\) and log_det \(...\), got"):
        score_views(z, log_det[..., None])


@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.parametrize("use_log_det", [False, True])
def test_the_gradient_is_the_derivative_of_the_score(pool_views: bool, use_log_det: bool) -> None:
    flow = build_flow(8, n_blocks=2, hidden=8, seed=0).double()
    y = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    score = scorer(flow, pool_views=pool_views, use_log_det=use_log_det)
    with torch.no_grad():  # whatever the caller has switched off
        gradient = score.gradient(y)
    for n, t, d in ((0, 0, 0), (1, 2, 5), (0, 1, 7)):
        step = torch.zeros_like(y)
        step[n, t, d] = 1e-6
        difference = score.scores(y + step)[n] - score.scores(y - step)[n]
        slope = difference / 2e-6 * y.shape[1]  # tau is the mean over the T views
        assert slope == pytest.approx(float(gradient[n, t, d]), rel=1e-5)
