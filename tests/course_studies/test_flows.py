"""The teaching flows in float64: log-dets against the Jacobian, inverses, masks, densities."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from differnet_course.flows import (
    MADE,
    AdditiveCoupling,
    Chain,
    Inverse,
    Permute,
    density_on_grid,
)

D = 5
FLOWS = {
    "additive": lambda: AdditiveCoupling(D),
    "made": lambda: MADE(D),
    "inverse made": lambda: Inverse(MADE(D)),
    "permute": lambda: Permute([3, 0, 4, 1, 2]),
    "chain": lambda: Chain(
        [MADE(D), Permute([4, 3, 2, 1, 0]), AdditiveCoupling(D), Inverse(MADE(D))]
    ),
}


@pytest.fixture(autouse=True)
def _seed(float64):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(params=FLOWS)
def flow(request):
    made = FLOWS[request.param]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.7)  # far from the identity
    return made


def jacobians(flow: nn.Module, y: torch.Tensor) -> torch.Tensor:
    return torch.func.vmap(torch.func.jacrev(lambda row: flow(row[None])[0][0]))(y).detach()


def test_log_det_is_the_jacobians(flow):
    y = torch.randn(20, D)
    torch.testing.assert_close(
        flow(y)[1], torch.linalg.slogdet(jacobians(flow, y)).logabsdet, check_dtype=True
    )


def test_inverse_undoes_forward_and_log_dets_cancel(flow):
    y = torch.randn(20, D)
    z, log_det = flow(y)
    back, log_det_back = flow.inverse(z)
    torch.testing.assert_close(back, y)
    torch.testing.assert_close(log_det_back, -log_det)


def test_made_is_autoregressive_and_uses_all_it_may():
    jacobian = jacobians(MADE(6, hidden=64), torch.randn(30, 6)).abs().amax(0)
    assert torch.equal(jacobian.triu(1), torch.zeros(6, 6))
    assert (jacobian.tril() + torch.ones(6, 6).triu(1) > 0).all()


def test_density_integrates_to_one():
    x, y, density = density_on_grid(MADE(2), limit=9.0, n=201, centre=(0.5, -0.5))
    assert x[0] == pytest.approx(-8.5) and y[-1] == pytest.approx(8.5)
    assert density.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1, abs=2e-3)
