"""The score: mean z^2 over views and dimensions, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differnet_lite.flow import CouplingFlow, build_flow, whitening_matrix
from differnet_lite.loss import nll
from differnet_lite.scoring import anomaly_score, latents, score_views


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """(5, 3, 8)"""
    return torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def flow(features: torch.Tensor) -> CouplingFlow:
    return build_flow(
        8,
        n_blocks=3,
        hidden=16,
        whitening=whitening_matrix(features.flatten(0, 1), eps=0.1),
        seed=0,
    )


def test_latents_are_the_flows_view_by_view(flow: CouplingFlow, features: torch.Tensor) -> None:
    z, log_det = latents(flow, features, batch_size=4)
    assert (z.shape, log_det.shape) == ((5, 3, 8), (5, 3))
    for n in range(5):
        for t in range(3):
            alone = flow(features[n, t][None])
            torch.testing.assert_close(z[n, t], alone[0][0])
            torch.testing.assert_close(log_det[n, t], alone[1][0])
    assert not z.requires_grad


def test_score_is_the_mean_square_over_views_and_dimensions(
    flow: CouplingFlow, features: torch.Tensor
) -> None:
    z = torch.stack([flow(image)[0] for image in features]).detach().double()
    scores = anomaly_score(flow, features)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, z.square().sum((1, 2)) / (3 * 8), rtol=1e-5)
    np.testing.assert_allclose(anomaly_score(flow, features[:, [2, 0, 1]]), scores, rtol=1e-6)
    np.testing.assert_allclose(anomaly_score(flow, features[[4, 1]]), scores[[4, 1]], rtol=1e-5)


def test_with_the_log_det_the_score_is_twice_the_loss(
    flow: CouplingFlow, features: torch.Tensor
) -> None:
    with torch.no_grad():
        expected = [2 * nll(*flow(image)).item() for image in features]
    np.testing.assert_allclose(anomaly_score(flow, features, use_log_det=True), expected, rtol=1e-5)
    assert np.abs(anomaly_score(flow, features) - expected).min() > 0.02


def test_score_of_hand_made_latents() -> None:
    z = torch.tensor([[[1.0, 3.0], [0.0, 2.0]]])
    log_det = torch.tensor([[4.0, -1.0]])
    assert score_views(z, log_det).tolist() == [[5.0, 2.0]]
    assert score_views(z, log_det, use_log_det=True).tolist() == [[1.0, 3.0]]
