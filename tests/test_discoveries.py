"""Selections at a false discovery rate: against the definition, by simulation, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_lite.discoveries import fewest_discoveries, select


def by_definition(p: np.ndarray, fdr: float) -> np.ndarray:
    """All p-values up to the largest p_(k) with p_(k) <= k fdr / N."""
    ordered = np.sort(p)
    ok = np.flatnonzero(ordered <= fdr * np.arange(1, len(p) + 1) / len(p) + 1e-12)
    return p <= ordered[ok[-1]] if len(ok) else np.zeros(len(p), bool)


@pytest.mark.parametrize("fdr", [0.05, 0.3])
def test_it_is_benjamini_and_hochbergs(fdr: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = np.ceil(rng.uniform(size=30) ** 2 * 50) / 50  # with ties, as conformal ones have
        np.testing.assert_array_equal(select(p, fdr), by_definition(p, fdr))


@pytest.mark.parametrize(("n", "batch"), [(80, 90), (200, 20)])
def test_the_fewest_discoveries_are_just_enough(n: int, batch: int) -> None:
    k = fewest_discoveries(n, batch, 0.1)
    for n_small in (k, k - 1):
        p = np.r_[np.full(n_small, 1 / (n + 1)), np.ones(batch - n_small)]
        assert select(p, 0.1).any() == (n_small == k)


def test_bad_arguments_are_named() -> None:
    assert select([]).shape == (0,)
    for p in ([0.0, 0.5], [1.1]):
        with pytest.raises(ValueError, match=r"^p_values: expected"):
            select(p)
    with pytest.raises(ValueError, match="fdr"):
        select([0.5], 0)
