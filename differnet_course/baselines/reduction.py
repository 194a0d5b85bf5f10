"""Standardised rows on their principal components: what two feature methods measure in."""

from __future__ import annotations

import torch
from torch import Tensor

from differnet_lite.settings import DEFAULT

__all__ = ["STD_FLOOR", "State", "reduced", "reduction"]

STD_FLOOR = DEFAULT.noise  # dead channels have no deviation: dividing by it would blow them up

State = dict[str, Tensor]


def reduction(rows: Tensor, n_components: int) -> State:
    """Mean (D,), deviation (D,) and axes (D, K): z-scores, on the principal components of `rows`.

    K = `n_components`, or what n rows span if that is less: n - 1; a single row has none, and
    K = D. Deviations are floored.

    Example:
        >>> rows = torch.randn(5, 8)
        >>> [reduction(rows[:n], k)["axes"].shape[1] for n, k in ((5, 64), (5, 2), (1, 64))]
        [4, 2, 8]
    """
    rows = rows.double()
    mean, deviation = rows.mean(0), rows.std(0, correction=0).clamp_min(STD_FLOOR)
    k = min(n_components, len(rows) - 1)
    z = (rows - mean) / deviation
    axes = (
        torch.linalg.svd(z, full_matrices=False)[2][:k].T if k else torch.eye(z.shape[1]).double()
    )
    return {"mean": mean, "deviation": deviation, "axes": axes.contiguous()}


def reduced(rows: Tensor, state: State) -> Tensor:
    """Rows (M, D) of any device as components (M, K), float64, on the CPU."""
    return ((rows.cpu().double() - state["mean"]) / state["deviation"]) @ state["axes"]
