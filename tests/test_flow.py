"""The flow as mathematics: log-det, inverse, clamp, parity with a reference from the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_lite.flow import (
    CouplingFlow,
    build_flow,
)
from differnet_lite.sampling import whitening_matrix

D = 11  # odd: the two halves differ


def stirred(flow: CouplingFlow, size: float = 0.3) -> CouplingFlow:
    """Weights far from the start, so that scales and shifts matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in flow.trainable():
            p.add_(size * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p))
    return flow


def samples(n: int, seed: int = 0) -> Tensor:
    """Correlated float64 rows, with one dead channel."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(n, D, generator=generator, dtype=torch.float64)
    y = y @ torch.randn(D, D, generator=generator, dtype=torch.float64)
    y[:, 2] = 0
    return y


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("whiten", [False, True])
def test_log_det_is_that_of_the_jacobian(whiten: bool) -> None:
    whitening = whitening_matrix(samples(50), eps=0.1) if whiten else None
    flow = stirred(build_flow(D, n_blocks=8, hidden=16, whitening=whitening, seed=0), 0.1)
    y = samples(5, seed=2) / 10  # further out the Jacobian is too ill-conditioned for slogdet
    z, log_det = flow(y)
    for row, number in zip(y, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], row)
        assert abs(torch.linalg.slogdet(jacobian).logabsdet - number) < 1e-9
    assert log_det.abs().min() > 0.1, "the test must not pass with log-det = 0"
    assert log_det.std() > 0.03, "nor with one that is the same everywhere"
    back, log_det_back = flow.inverse(z)
    torch.testing.assert_close(back, y, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-9, rtol=0)


def reference(flow: CouplingFlow, y: np.ndarray, clamp: float) -> tuple[np.ndarray, np.ndarray]:
    """The paper's chain: permute, y1 = exp(s(x2)) x1 + t(x2), y2 = exp(s(y1)) x2 + t(y1)."""
    state = {name: tensor.detach().numpy() for name, tensor in flow.state_dict().items()}
    half = round(D / 2)
    log_det = np.zeros(len(y))

    def scale_and_shift(block: int, name: str, x: np.ndarray) -> list[np.ndarray]:
        for layer in (0, 2, 4, 6):
            prefix = f"chain.module_list.{block}.{name}.{layer}"
            x = x @ state[f"{prefix}.weight"].T + state[f"{prefix}.bias"]
            x = np.maximum(x, 0) if layer < 6 else x
        s, t = np.split(x, 2, axis=1)
        return [2 * clamp / np.pi * np.arctan(s / clamp), t]

    for k in range(len(flow.chain.module_list) // 2):
        y = y[:, np.random.RandomState(k).permutation(D)]
        s, t = scale_and_shift(2 * k + 1, "subnet2", y[:, half:])
        y1 = np.exp(s) * y[:, :half] + t
        log_det += s.sum(1)
        s, t = scale_and_shift(2 * k + 1, "subnet1", y1)
        y2 = np.exp(s) * y[:, half:] + t
        log_det += s.sum(1)
        y = np.concatenate([y1, y2], axis=1)
    return y, log_det


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("clamp", [1.0, 3.0])
def test_parity_with_a_reference_from_the_mathematics(clamp: float) -> None:
    flow = stirred(build_flow(D, n_blocks=8, hidden=16, clamp=clamp, seed=3))
    y = samples(20)
    z, log_det = flow(y)
    expected_z, expected_log_det = reference(flow, y.numpy(), clamp)
    np.testing.assert_allclose(z.detach().numpy(), expected_z, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(log_det.detach().numpy(), expected_log_det, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("untouched_generators")
def test_the_seed_alone_decides_the_weights() -> None:
    flows = [build_flow(D, n_blocks=2, hidden=8, seed=seed) for seed in (5, 5, 6)]
    y = torch.ones(3, D)
    assert torch.equal(flows[0](y)[0], flows[1](y)[0])
    assert not torch.equal(flows[0](y)[0], flows[2](y)[0])


@pytest.mark.parametrize(("hidden", "millions"), [(128, 2.9), (2048, 172.08)])
def test_parameter_counts_are_the_papers(hidden: int, millions: float) -> None:
    with torch.device("meta"):  # 172 million numbers need no memory to be counted
        flow = build_flow(768, hidden=hidden, seed=0)
    count = sum(p.numel() for p in flow.trainable())
    subnet = (384 + 1) * hidden + 2 * (hidden + 1) * hidden + (hidden + 1) * 768
    assert count == 8 * 2 * subnet
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_an_untrained_flow_measures_the_mahalanobis_distance() -> None:
    y = samples(40)
    new = samples(7, seed=9)
    eps = 0.3
    whitening = whitening_matrix(y, eps=eps)
    flow = build_flow(D, hidden=16, whitening=whitening, start_as_identity=True, seed=0)
    z, log_det = flow(new.float())
    covariance = np.cov(y.numpy().T, bias=True) + eps**2 * np.eye(D)
    centred = (new - y.mean(0)).numpy()
    expected = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred) / D
    np.testing.assert_allclose(z.square().mean(1).detach().numpy(), expected, rtol=1e-4)
    half_log_det = np.linalg.slogdet(covariance)[1] / 2
    np.testing.assert_allclose(log_det.detach().numpy(), -half_log_det, rtol=1e-5)


@pytest.mark.usefixtures("float64")
def test_the_first_step_multiplies_by_the_matrix_that_is_given() -> None:
    """(y - mean) @ matrix, also for a matrix that is not symmetric; its log-det counts."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(D, generator=generator)
    matrix = torch.randn(D, D, generator=generator)
    whitening = (mean, matrix)
    flow = build_flow(D, n_blocks=1, hidden=4, whitening=whitening, start_as_identity=True, seed=0)
    y = samples(20)
    z, log_det = flow(y)
    expected = ((y - mean) @ matrix).square().sum(1)  # what follows only permutes
    torch.testing.assert_close(z.square().sum(1), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(matrix).logabsdet.expand(20))
    torch.testing.assert_close(flow.inverse(z)[0], y, rtol=1e-9, atol=1e-9)


def test_identity_is_the_start_of_every_coupling_if_asked() -> None:
    y = samples(6).float()
    z, log_det = build_flow(D, n_blocks=5, hidden=8, start_as_identity=True, seed=0)(y)
    torch.testing.assert_close(z.sort(1).values, y.sort(1).values)
    assert torch.equal(log_det, torch.zeros(6))
    assert build_flow(D, n_blocks=5, hidden=8, seed=0)(y)[1].abs().min() > 0


def test_the_whitening_is_inverted_beyond_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(200, 64, generator=generator) * torch.logspace(-4, 1, 64)
    whitening = whitening_matrix(y, eps=0.01)
    flow = build_flow(64, n_blocks=1, hidden=4, whitening=whitening, start_as_identity=True, seed=0)
    back = flow.inverse(flow(y)[0])[0]
    assert (back - y).abs().max() < 3e-6  # y is up to 30, of which a float32 resolves 2e-6
