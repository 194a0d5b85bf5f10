"""The loss is the negative log-likelihood."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from differnet_lite.loss import nll


@pytest.mark.usefixtures("float64")
def test_the_loss_is_the_likelihood_of_a_linear_flow() -> None:
    """For z = A y the features are normal with covariance (A^T A)^-1, whose density torch knows."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 5, generator=generator)
    y = torch.randn(30, 5, generator=generator)
    log_det = torch.linalg.slogdet(matrix).logabsdet.expand(30)
    density = MultivariateNormal(torch.zeros(5), precision_matrix=matrix.T @ matrix)
    expected = -density.log_prob(y).mean() / 5 - math.log(2 * math.pi) / 2
    torch.testing.assert_close(nll(y @ matrix.T, log_det), expected)


def test_its_gradient_pulls_to_the_origin_and_stretches() -> None:
    z = torch.randn(4, 3, requires_grad=True)
    log_det = torch.randn(4, requires_grad=True)
    nll(z, log_det).backward()
    torch.testing.assert_close(z.grad, z.detach() / 12)
    torch.testing.assert_close(log_det.grad, torch.full((4,), -1 / 12))


def test_a_log_det_of_another_shape_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"log_det \(N,\), got \(4, 3\) and \(4, 1\)"):
        nll(torch.zeros(4, 3), torch.zeros(4, 1))
