"""The sequential test of drift: exact p-values, its promise by simulation, power, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_course.drift import drift_martingale, drift_test, stream_p_values

N = 300


def by_definition(p: np.ndarray, jumps: tuple[float, ...]) -> list[float]:
    """The mean of five simple jumpers, step by step, in the words of the paper."""
    capital = np.zeros(len(p))
    for jump in jumps:
        c = {-1: 1 / 3, 0: 1 / 3, 1: 1 / 3}
        for t, x in enumerate(p):
            total = sum(c.values())
            c = {e: (1 - jump) * c[e] + jump / 3 * total for e in c}
            c = {e: c[e] * (1 + e * (x - 0.5)) for e in c}
            capital[t] += sum(c.values()) / len(jumps)
    return np.log(capital)


def test_it_is_the_composite_jumper() -> None:
    p = np.random.default_rng(0).beta(1, 1.8, size=200)
    drift = drift_martingale(p, delta=0.05)
    expected = by_definition(p, (1e-4, 1e-3, 1e-2, 1e-1, 1.0))
    np.testing.assert_allclose(drift.log_martingale, expected, atol=1e-10)
    assert drift.alarm == expected.tolist().index(expected[expected >= np.log(20)][0])


def test_the_p_values_are_the_ranks_in_the_stream_with_ties_broken_by_chance() -> None:
    calibration = [1.0, 2.0, 2.0, 3.0]
    scores = [2.0, 9.0, 0.0, 2.0]
    u = 1 - np.random.default_rng(5).random(4)
    expected = (np.array([1, 0, 6, 2]) + u * [3, 1, 1, 4]) / [5, 6, 7, 8]
    np.testing.assert_allclose(stream_p_values(calibration, scores, seed=5), expected, rtol=1e-14)


def alarms(make, delta: float, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(2)
    drifts = [drift_test(rng.normal(size=50), make(rng), delta=delta, seed=i) for i in range(n)]
    return np.array([N if drift.alarm is None else drift.alarm for drift in drifts])


def test_false_alarms_over_the_whole_stream_are_as_rare_as_promised() -> None:
    false = alarms(lambda rng: rng.normal(size=N), 0.2) < N
    assert 0.02 < false.mean() < 0.2 + 3 * np.sqrt(0.2 * 0.8 / 200)


@pytest.mark.parametrize("shift", [-1.5, 1.5])
def test_a_change_is_found_soon_after_it_and_not_before(shift: float) -> None:
    at = alarms(lambda rng: rng.normal(size=N) + shift * (np.arange(N) >= 100), 0.01, n=40)
    assert (at < 100).mean() <= 0.1
    assert np.median(at) < 140
    assert (at < N).all()


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"^scores: expected finite"):
        drift_test([1.0], [float("inf")])
