"""Parity: the authors' flow, written out in float64 from its definition, and ours with its weights.

Nothing of `differnet_lite.flow` or FrEIA is used by the reference: plain products, NumPy's
permutations, and the names under which their program keeps its tensors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_course.authors import flow_of_authors

LAYERS = ("fc1", "fc2", "fc2b", "fc3")


def written_by_them(
    d: int, *, n_blocks: int, hidden: int, seed: int = 0, whole_network: bool = True
) -> dict[str, Tensor]:
    """A state dict with their names and shapes; scales and shifts are of the size of the values."""
    generator = np.random.default_rng(seed)
    pool = torch.from_numpy(generator.standard_normal(5_000_000).astype(np.float32))

    def normal(*shape: int) -> Tensor:  # a window of one pool: 172 million draws would take long
        start, n = generator.integers(len(pool) - math.prod(shape)), math.prod(shape)
        return pool[start : start + n].clone().view(shape)

    state: dict[str, Tensor] = {}
    for k in range(n_blocks):
        for net in ("s1", "s2"):  # each sees a half of the values and moves the other
            half = d // 2
            widths = {
                "fc1": (hidden, half),
                "fc2": (hidden, hidden),
                "fc2b": (hidden, hidden),
                "fc3": (d, hidden),
            }
            stem = f"module_list.{2 * k + 2}.{net}"
            for layer, (n_out, n_in) in widths.items():
                state[f"{stem}.{layer}.weight"] = normal(n_out, n_in) * math.sqrt(2 / n_in)
                state[f"{stem}.{layer}.bias"] = 0.1 * normal(n_out)
            state[f"{stem}.bn.weight"], state[f"{stem}.bn.bias"] = normal(half), normal(half)
            state[f"{stem}.bn.running_mean"] = normal(half)
            state[f"{stem}.bn.running_var"] = normal(half).square()
            state[f"{stem}.bn.num_batches_tracked"] = torch.tensor(0)
            state[f"{stem}.fc3.weight"] *= 0.2
    if not whole_network:
        return state
    trunk = {"feature_extractor.features.0.weight": normal(64, 3, 11, 11)}
    return trunk | {f"nf.{name}": tensor for name, tensor in state.items()}


def reference(
    state: dict[str, Tensor], y: Tensor, *, clamp: float = 3.0, factor: float = 0.636
) -> tuple[Tensor, Tensor]:
    """z and log-det of their chain in float64, of rows (N, D)."""
    state = {n.removeprefix("nf."): x.double() for n, x in state.items()}
    n_blocks = sum(name.endswith(".s1.fc1.weight") for name in state)
    x, log_det, half = y.double(), torch.zeros(len(y), dtype=torch.float64), y.shape[1] // 2

    def scale_and_shift(stem: str, rows: Tensor) -> tuple[Tensor, Tensor]:
        for layer in LAYERS:
            rows = rows @ state[f"{stem}.{layer}.weight"].T + state[f"{stem}.{layer}.bias"]
            rows = rows.clamp_min(0) if layer != "fc3" else rows
        s, t = rows[:, :half], rows[:, half:]
        return clamp * factor * torch.atan(s / clamp), t

    for k in range(n_blocks):
        x = x[:, torch.from_numpy(np.random.RandomState(k).permutation(2 * half))]
        left, right = x[:, :half], x[:, half:]
        s, t = scale_and_shift(f"module_list.{2 * k + 2}.s2", right)
        left, log_det = s.exp() * left + t, log_det + s.sum(1)
        s, t = scale_and_shift(f"module_list.{2 * k + 2}.s1", left)
        right, log_det = s.exp() * right + t, log_det + s.sum(1)
        x = torch.cat([left, right], 1)
    return x, log_det


def rows(n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(5))


def assert_within(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Every number within `tolerance` of the largest expected one."""
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize(
    ("d", "n_blocks", "hidden"),
    [(768, 8, 128), (256, 3, 40), (768, 8, 2048)],
    ids=["narrow", "one scale", "as published"],
)
@torch.no_grad()
def test_z_and_log_det_are_the_authors(d: int, n_blocks: int, hidden: int) -> None:
    state = written_by_them(d, n_blocks=n_blocks, hidden=hidden)
    y = rows(6, d)
    z, log_det = flow_of_authors(state)(y)
    expected_z, expected_log_det = reference(state, y)
    assert expected_log_det.std() > 1 and (expected_z - y).abs().max() > 1, "no identity"
    assert_within(z, expected_z)
    assert_within(log_det, expected_log_det)


@torch.no_grad()
def test_the_factor_of_the_clamp_is_seen() -> None:
    state = written_by_them(64, n_blocks=4, hidden=32)
    y = rows(6, 64)
    flow = flow_of_authors(state, clamp_factor=2 / math.pi)
    with_2_over_pi = reference(state, y, factor=2 / math.pi)
    for found, expected, theirs in zip(flow(y), with_2_over_pi, reference(state, y), strict=True):
        assert_within(found, expected)
        assert (found.double() - theirs).abs().max() > 1e-4 * theirs.abs().max()


@torch.no_grad()
def test_in_float64_they_are_equal_to_the_last_digits() -> None:
    state = written_by_them(64, n_blocks=8, hidden=48, whole_network=False)
    y = rows(9, 64).double()
    flow = flow_of_authors(state, clamp=1.9).double()
    for found, expected in zip(flow(y), reference(state, y, clamp=1.9), strict=True):
        assert_within(found, expected, 1e-12)


def test_what_is_no_flow_of_theirs_is_refused() -> None:
    good = written_by_them(16, n_blocks=2, hidden=8)
    last = "nf.module_list.4.s2.fc3"
    with pytest.raises(TypeError, match=r"expected a state dict, got Linear; .*state_dict"):
        flow_of_authors(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected a matrix \S*module_list.2.s1.fc1.weight"):
        flow_of_authors({"weight": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"missing: \['chain.module_list.3.subnet2.6.bias'\]"):
        flow_of_authors({name: x for name, x in good.items() if name != f"{last}.bias"})
    with pytest.raises(ValueError, match=r"unknown: \['nf.more'\]"):
        flow_of_authors(good | {"nf.more": torch.zeros(2)})
    with pytest.raises(ValueError, match="expected tensors of the shapes of their flow"):
        flow_of_authors(good | {f"{last}.weight": torch.zeros(9, 8)})
