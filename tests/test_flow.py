"""The flow as mathematics: log-det, inverse, clamp, parity with a reference from the paper."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import FrEIA.modules as Fm
import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_lite.flow import (
    CouplingFlow,
    FastPermutation,
    PreciseLinear,
    Subnet,
    build_flow,
    soft_clamp,
)
from differnet_lite.model import DifferNet
from differnet_lite.sampling import whitening_matrix

D = 11  # odd: the two halves differ


@pytest.fixture
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def stirred(flow: CouplingFlow, size: float = 0.3) -> CouplingFlow:
    """Weights far from the start, so that scales and shifts matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in flow.trainable():
            p.add_(
                size * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
            )
    return flow


def samples(n: int, d: int = D, seed: int = 0) -> Tensor:
    """Correlated float64 rows, with one dead channel."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(n, d, generator=generator, dtype=torch.float64) @ torch.randn(
        d, d, generator=generator, dtype=torch.float64
    )
    y[:, 2] = 0
    return y


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("whiten", [False, True])
def test_log_det_is_that_of_the_jacobian(whiten: bool) -> None:
    whitening = whitening_matrix(samples(50), eps=0.1) if whiten else None
    flow = stirred(build_flow(D, n_blocks=8, hidden=16, whitening=whitening, seed=0), 0.1)
    y = (
        samples(5, seed=2) / 10
    )  # far from the origin the Jacobian is too ill-conditioned for slogdet itself
    z, log_det = flow(y)
    for row, number in zip(y, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0], row)
        assert abs(torch.linalg.slogdet(jacobian).logabsdet - number) < 1e-9
    assert log_det.abs().min() > 0.1, "the test must not pass with log-det = 0"
    assert log_det.std() > 0.03, "nor with one that is the same everywhere"
    back, log_det_back = flow.inverse(z)
    torch.testing.assert_close(back, y, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-9, rtol=0)


def test_trained_flow_is_inverted_in_float32(model: DifferNet, category_folder: Path) -> None:
    paths = sorted((category_folder / "test").rglob("*.png"))
    y = model.scorer.rows(model.features(paths)).flatten(0, 1)
    assert y.dtype == torch.float32
    with torch.no_grad():
        z, log_det = model.flows_[0](y)
        back, log_det_back = model.flows_[0].inverse(z)
    assert (back - y).abs().max() < 1e-4
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-5, atol=1e-2)
    assert (z - y).abs().max() > 1


@pytest.mark.parametrize("clamp", [0.5, 1.9, 3.0])
def test_soft_clamp_is_the_papers_formula(clamp: float) -> None:
    h = torch.linspace(-50, 50, 1001, dtype=torch.float64)
    expected = torch.tensor(
        [2 * clamp / math.pi * math.atan(v / clamp) for v in h.tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(soft_clamp(h, clamp), expected, rtol=0, atol=1e-14)
    assert soft_clamp(torch.tensor(1e12), clamp) == pytest.approx(clamp)
    small = torch.tensor(1e-6, dtype=torch.float64, requires_grad=True)
    soft_clamp(small, clamp).backward()
    assert small.grad is not None and small.grad.item() == pytest.approx(2 / math.pi)


def reference(flow: CouplingFlow, y: np.ndarray, clamp: float) -> tuple[np.ndarray, np.ndarray]:
    """The paper's chain: permute, y1 = exp(s(x2)) x1 + t(x2), y2 = exp(s(y1)) x2 + t(y1)."""
    state = {name: tensor.detach().numpy() for name, tensor in flow.state_dict().items()}
    n, d = y.shape
    log_det = np.zeros(n)

    def net(block: int, name: str, x: np.ndarray) -> np.ndarray:
        for layer in (0, 2, 4, 6):
            weight, bias = (
                state[f"chain.module_list.{block}.{name}.{layer}.{part}"]
                for part in ("weight", "bias")
            )
            x = x @ weight.T + bias
            x = np.maximum(x, 0) if layer < 6 else x
        return x

    for k in range(len(flow.chain.module_list) // 2):
        y = y[:, np.random.RandomState(k).permutation(d)]
        half = round(d / 2)
        x1, x2 = y[:, :half], y[:, half:]
        s, t = np.split(net(2 * k + 1, "subnet2", x2), 2, axis=1)
        s = 2 * clamp / np.pi * np.arctan(s / clamp)
        y1 = np.exp(s) * x1 + t
        log_det += s.sum(1)
        s, t = np.split(net(2 * k + 1, "subnet1", y1), 2, axis=1)
        s = 2 * clamp / np.pi * np.arctan(s / clamp)
        y2 = np.exp(s) * x2 + t
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
def test_building_leaves_the_global_generators_alone() -> None:
    a, b, c = (build_flow(D, n_blocks=2, hidden=8, seed=seed) for seed in (5, 5, 6))
    y = torch.ones(3, D)
    assert torch.equal(a(y)[0], b(y)[0])
    assert not torch.equal(a(y)[0], c(y)[0])


def test_without_a_seed_weights_come_from_the_global_generator() -> None:
    numpy_before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    flows = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(2):
            torch.manual_seed(0)
            flows.append(build_flow(D, n_blocks=1, hidden=8))
        flows.append(build_flow(D, n_blocks=1, hidden=8))
    y = torch.ones(1, D)
    assert torch.equal(flows[0](y)[0], flows[1](y)[0])
    assert not torch.equal(flows[0](y)[0], flows[2](y)[0])
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[arg-type]


def test_a_flow_pickles_and_deep_copies() -> None:
    flow = stirred(
        build_flow(D, n_blocks=2, hidden=8, whitening=whitening_matrix(samples(9), eps=1.0), seed=0)
    )
    y = samples(4).float()
    for twin in (pickle.loads(pickle.dumps(flow)), copy.deepcopy(flow)):
        assert torch.equal(twin(y)[0], flow(y)[0])
        assert torch.equal(twin(y)[1], flow(y)[1])
        assert torch.equal(twin.inverse(y)[0], flow.inverse(y)[0])


@pytest.mark.parametrize(
    ("hidden", "millions"), [(128, 2.9), (256, 6.8), (512, 17.9), (2048, 172.08)]
)
def test_parameter_counts_are_the_papers(hidden: int, millions: float) -> None:
    with torch.device("meta"):  # 172 million numbers need no memory to be counted
        flow = build_flow(768, hidden=hidden, seed=0)
    count = sum(p.numel() for p in flow.trainable())
    half = 384
    subnet = (half + 1) * hidden + 2 * (hidden + 1) * hidden + (hidden + 1) * 2 * half
    assert count == 8 * 2 * subnet
    assert count / 1e6 == pytest.approx(millions, abs=0.05 if hidden < 2048 else 0.005)


def test_only_floating_weights_are_trained() -> None:
    flow = build_flow(
        D, n_blocks=3, hidden=8, whitening=whitening_matrix(samples(9), eps=1.0), seed=0
    )
    assert all(p.is_floating_point() for p in flow.trainable())
    assert len(flow.trainable()) == 3 * 2 * 8  # blocks, subnets, four layers with weight and bias
    assert len(list(flow.parameters())) > len(flow.trainable())


def test_untrained_flow_measures_the_mahalanobis_distance() -> None:
    y, new, eps = samples(40), samples(7, seed=9), 0.3
    flow = build_flow(
        D, hidden=16, whitening=whitening_matrix(y, eps=eps), start_as_identity=True, seed=0
    )
    z, log_det = flow(new.float())
    covariance = np.cov(y.numpy().T, bias=True) + eps**2 * np.eye(D)
    centred = (new - y.mean(0)).numpy()
    expected = np.einsum("nd,de,ne->n", centred, np.linalg.inv(covariance), centred) / D
    np.testing.assert_allclose(z.square().mean(1).detach().numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(
        log_det.detach().numpy(), -0.5 * np.linalg.slogdet(covariance)[1], rtol=1e-5
    )


def test_whitening_gives_unit_covariance_to_noisy_features() -> None:
    y, eps = samples(40), 0.5
    mean, matrix = whitening_matrix(y, eps=eps)
    inflated = np.cov(y.numpy().T, bias=True) + eps**2 * np.eye(D)
    np.testing.assert_allclose(matrix.T.numpy() @ inflated @ matrix.numpy(), np.eye(D), atol=1e-9)
    np.testing.assert_allclose(mean.numpy(), y.mean(0).numpy())
    assert matrix.abs().max() <= 1 / eps + 1e-9, "a dead channel is not blown up"
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0, "it turns nothing"


def test_the_whitening_is_stable_where_directions_are_missing() -> None:
    """50 of 60 directions do not vary, and eigh gives any basis of them."""
    y = torch.randn(10, 60, generator=torch.Generator().manual_seed(0))
    rounded = y * (1 + 1e-7 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    pair = [whitening_matrix(x, eps=0.1)[1] for x in (y, rounded)]
    assert (pair[0] - pair[1]).abs().max() < 1e-4
    assert pair[0].abs().max() > 1


@pytest.mark.usefixtures("float64")
def test_the_first_step_multiplies_by_the_matrix_that_is_given() -> None:
    """(y - mean) @ matrix, also for a matrix that is not symmetric; its log-det counts."""
    generator = torch.Generator().manual_seed(0)
    mean, matrix = torch.randn(D, generator=generator), torch.randn(D, D, generator=generator)
    flow = build_flow(
        D, n_blocks=1, hidden=4, whitening=(mean, matrix), start_as_identity=True, seed=0
    )
    y = samples(20)
    z, log_det = flow(y)
    expected = ((y - mean) @ matrix).square().sum(1)  # what follows only permutes
    torch.testing.assert_close(z.square().sum(1), expected, rtol=1e-12, atol=0)
    other = ((y - mean) @ matrix.T).square().sum(1)
    assert ((other / expected).log().abs() > 0.1).any(), "the transpose would be another map"
    torch.testing.assert_close(log_det, torch.linalg.slogdet(matrix).logabsdet.expand(20))
    torch.testing.assert_close(flow.inverse(z)[0], y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("y", "eps", "message"),
    [
        (torch.ones(3, 4), 0.0, "eps"),
        (torch.ones(4), 0.1, r"\(N, D\)"),
        (torch.ones(0, 4), 0.1, r"at least one row"),
    ],
)
def test_whitening_errors(y: Tensor, eps: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        whitening_matrix(y, eps=eps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 1}, "n_features: expected a whole number of at least 2, got 1"),
        ({"n_blocks": 0}, "n_blocks: expected a whole number of at least 1, got 0"),
        ({"hidden": 0}, "hidden: expected a whole number of at least 1, got 0"),
        ({"clamp": 0.0}, "clamp: expected a finite number above 0, got 0"),
        ({"clamp": math.inf}, "clamp: expected a finite number, got inf"),
    ],
)
def test_impossible_flows_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_flow(**{"n_features": 4} | arguments)
    (name,) = arguments
    for wrong in ("3", True, None):
        with pytest.raises(TypeError, match=f"{name}: expected .*, got {wrong!r}"):
            build_flow(**{"n_features": 4} | {name: wrong})


def test_identity_is_the_start_of_every_coupling_if_asked() -> None:
    y = samples(6).float()
    flow = build_flow(D, n_blocks=5, hidden=8, start_as_identity=True, seed=0)
    z, log_det = flow(y)
    torch.testing.assert_close(z.sort(1).values, y.sort(1).values)
    assert not torch.equal(z, y)
    assert torch.equal(log_det, torch.zeros(6))
    z, log_det = build_flow(D, n_blocks=5, hidden=8, seed=0)(y)
    assert log_det.abs().min() > 0
    three = Subnet(3, 4, hidden=5)
    assert [type(layer).__name__ for layer in three] == ["Linear", "ReLU"] * 3 + ["Linear"]
    assert [m.in_features for m in three if hasattr(m, "in_features")] == [3, 5, 5, 5]


def test_smallest_flow() -> None:
    flow = stirred(build_flow(2, n_blocks=1, hidden=1, seed=0))
    z, log_det = flow(torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(flow.inverse(z)[0], torch.tensor([[1.0, 2.0]]), atol=1e-5, rtol=0)
    assert log_det.shape == (1,)


def test_the_fixed_modules_are_freias() -> None:
    generator = torch.Generator().manual_seed(0)
    y, matrix = (
        torch.randn(20, D, generator=generator),
        torch.randn(D, D, generator=generator) + 3 * torch.eye(D),
    )
    pairs = [
        (FastPermutation([(D,)], seed=3), Fm.PermuteRandom([(D,)], seed=3)),
        (PreciseLinear([(D,)], M=matrix), Fm.FixedLinearTransform([(D,)], M=matrix)),
    ]
    for ours, theirs in pairs:
        for rev in (False, True):
            (here,), log_det = ours((y,), rev=rev)
            (there,), log_det_there = theirs((y,), rev=rev)
            torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(log_det, log_det_there)
            assert not torch.equal(here, y)


def test_the_whitening_is_inverted_beyond_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(200, 64, generator=generator) * torch.logspace(-4, 1, 64)
    _, matrix = whitening_matrix(y, eps=0.01)
    ours, theirs = (
        PreciseLinear([(64,)], M=matrix.float().T),
        Fm.FixedLinearTransform([(64,)], M=matrix.float().T),
    )

    def error(module: Any) -> float:
        (z,), _ = module((y,))
        (back,), _ = module((z,), rev=True)
        return float((back - y).abs().max())

    assert error(ours) < error(theirs)
    assert error(ours) < 3e-6  # y is up to 30, of which a float32 keeps 2e-6
