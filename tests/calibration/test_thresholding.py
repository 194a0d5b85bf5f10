"""The guarantees of the thresholds, by simulation with fixed seeds, and their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from differnet_lite.thresholds import (
    Threshold,
    TooFewNormalsError,
    conformal_threshold,
    p_values,
    pac_threshold,
    quantile_threshold,
)


def k_of(n: int, alpha: float) -> int:
    """ceil((n + 1)(1 - alpha)) in whole numbers: alpha is given in thousandths."""
    return -(-(n + 1) * (1000 - round(1000 * alpha)) // 1000)


@pytest.mark.parametrize(
    ("n", "alpha"), [(19, 0.05), (20, 0.05), (38, 0.05), (99, 0.01), (30, 0.2), (9, 0.1), (7, 0.3)]
)
def test_mean_false_alarm_rate_is_the_exact_one(n: int, alpha: float) -> None:
    """Of uniform scores the false-alarm rate of a threshold is 1 - theta: no test set needed."""
    generator = np.random.default_rng(0)
    rates = [1 - conformal_threshold(generator.random(n), alpha).value for _ in range(4000)]
    exact = (n + 1 - k_of(n, alpha)) / (n + 1)
    assert exact <= alpha
    error = np.std(rates) / math.sqrt(len(rates))
    assert np.mean(rates) == pytest.approx(exact, abs=4 * error)
    assert np.mean(rates) <= alpha + 4 * error


def test_the_guarantee_holds_for_any_distribution_and_with_ties() -> None:
    generator = np.random.default_rng(1)
    for draw in (
        lambda size: generator.lognormal(0, 3, size),
        lambda size: generator.integers(0, 4, size),
        lambda size: generator.poisson(2, size),
    ):
        alarms = [
            np.mean(draw(50) >= conformal_threshold(draw(19), 0.1).value) for _ in range(3000)
        ]
        assert np.mean(alarms) <= 0.1 + 4 * np.std(alarms) / math.sqrt(len(alarms))


def test_the_plain_quantile_breaks_its_promise_at_small_n() -> None:
    generator = np.random.default_rng(0)
    rates = [1 - quantile_threshold(generator.random(19), 0.05).value for _ in range(4000)]
    assert np.mean(rates) > 0.08
    threshold = quantile_threshold(range(101), 0.05)
    assert (threshold.value, threshold.rule, threshold.guaranteed) == (95.0, "quantile", None)
    assert "no guarantee" in str(threshold)


@pytest.mark.parametrize(
    ("n", "alpha", "delta"), [(50, 0.1, 0.1), (60, 0.05, 0.1), (200, 0.05, 0.05)]
)
def test_pac_threshold_keeps_its_confidence(n: int, alpha: float, delta: float) -> None:
    generator = np.random.default_rng(2)
    rates = np.array(
        [1 - pac_threshold(generator.random(n), alpha, delta=delta).value for _ in range(4000)]
    )
    error = math.sqrt(delta * (1 - delta) / len(rates))
    assert np.mean(rates > alpha) <= delta + 4 * error
    scores = np.arange(n)
    k = int(pac_threshold(scores, alpha, delta=delta).value) + 1
    assert beta.cdf(alpha, n + 1 - k, k) >= 1 - delta
    assert k == 1 or beta.cdf(alpha, n + 2 - k, k - 1) < 1 - delta, "no smaller k is enough"
    assert (
        pac_threshold(scores, alpha, delta=delta).value > conformal_threshold(scores, alpha).value
    )
    plain = np.array(
        [1 - conformal_threshold(generator.random(n), alpha).value for _ in range(4000)]
    )
    assert np.mean(plain > alpha) > delta + 0.1, "which the conformal threshold does not promise"


def test_pac_threshold_errors() -> None:
    needed = next(
        n for n in range(1, 200) if 0.95**n <= 0.1
    )  # with the largest of n scores P(rate > alpha) = (1 - alpha)^n
    assert pac_threshold(np.arange(needed), 0.05).rule == "pac"
    with pytest.raises(
        TooFewNormalsError,
        match=f"needs at least {needed} held-out normal images, got {needed - 1}",
    ):
        pac_threshold(np.arange(needed - 1), 0.05)
    with pytest.raises(ValueError, match="delta"):
        pac_threshold(np.arange(100), 0.05, delta=0)


@pytest.mark.parametrize("n", [1, 6, 19, 20, 57, 99, 100])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.07, 0.1, 1 / 3, 0.5, 0.9])
@pytest.mark.parametrize("ties", [False, True])
def test_deciding_by_threshold_and_by_p_value_is_the_same(n: int, alpha: float, ties: bool) -> None:
    generator = np.random.default_rng(n)
    calibration = (
        generator.integers(0, 5, n).astype(float) if ties else generator.standard_normal(n)
    )
    near = np.concatenate(
        [calibration, np.nextafter(calibration, np.inf), np.nextafter(calibration, -np.inf)]
    )
    scores = np.concatenate([near, generator.standard_normal(100), [-1e300, 1e300]])
    if n < 1 / alpha - 1 - 1e-9:
        with pytest.raises(TooFewNormalsError):
            conformal_threshold(calibration, alpha)
        assert (p_values(calibration, scores) > alpha).all()
        return
    flagged = scores >= conformal_threshold(calibration, alpha).value
    np.testing.assert_array_equal(flagged, p_values(calibration, scores) <= alpha)
    assert flagged[-1]


def test_all_calibration_scores_equal() -> None:
    threshold = conformal_threshold([2.0] * 19, 0.05)
    assert threshold.value > 2.0
    assert threshold.value == np.nextafter(2.0, 3)


def test_p_values_of_normals_are_uniform_on_their_grid() -> None:
    generator = np.random.default_rng(3)
    n = 9
    drawn = np.array([p_values(generator.random(n), generator.random(1))[0] for _ in range(20_000)])
    values, counts = np.unique(np.rint(drawn * (n + 1)).astype(int), return_counts=True)
    assert values.tolist() == list(range(1, n + 2))
    np.testing.assert_allclose(counts / 20_000, 1 / (n + 1), atol=4 * math.sqrt(0.09 / 20_000))


def test_p_values_are_valid_with_ties() -> None:
    generator = np.random.default_rng(4)
    drawn = np.array(
        [
            p_values(generator.integers(0, 3, 19), generator.integers(0, 3, 1))[0]
            for _ in range(5000)
        ]
    )
    for alpha in (0.05, 0.2, 0.4, 0.7):
        assert (drawn <= alpha).mean() <= alpha + 4 * math.sqrt(alpha * (1 - alpha) / 5000)


def test_p_values_by_counting() -> None:
    calibration, scores = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.0, 1.0, 2.0, 2.5, 3.0, 3.1])
    expected = [(1 + sum(c >= s for c in calibration)) / 5 for s in scores]
    assert p_values(calibration, scores).tolist() == expected == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]


@pytest.mark.parametrize(
    ("n", "alpha", "needed"), [(18, 0.05, 19), (98, 0.01, 99), (8, 0.1, 9), (1, 0.05, 19)]
)
def test_too_few_normals_are_an_error_or_a_labelled_fallback(
    n: int, alpha: float, needed: int
) -> None:
    with pytest.raises(
        TooFewNormalsError,
        match=rf"needs at least {needed} held-out normal images, got {n}, .*if_too_few='fallback'",
    ):
        conformal_threshold(np.arange(n), alpha)
    with pytest.warns(UserWarning, match=f"cannot guarantee {alpha:.2%} \\({needed} are needed\\)"):
        threshold = conformal_threshold(np.arange(n), alpha, if_too_few="fallback")
    assert threshold == Threshold(
        float(np.nextafter(n - 1, np.inf)), alpha, n, "conformal", 1 / (n + 1)
    )
    assert threshold.smallest_alpha == 1 / (n + 1) == threshold.guaranteed
    assert conformal_threshold(np.arange(needed), alpha).guaranteed == alpha


def test_the_threshold_says_what_it_is() -> None:
    text = str(conformal_threshold(np.arange(99), 0.05))
    assert (
        text == "theta = 94 (conformal, n = 99, asked 5.0%: false alarms <= 5.0%; "
        "smallest reachable 1.0%)"
    )


@pytest.mark.parametrize("function", [conformal_threshold, pac_threshold, quantile_threshold])
def test_bad_scores_and_rates_are_named(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="got none; fit with a calibration set"):
        function([], 0.05)
    with pytest.raises(ValueError, match="got 2 that are not, of 3"):
        function([1.0, math.nan, math.inf], 0.05)
    for alpha in (0, 1, -0.1, 5, math.nan):
        with pytest.raises(ValueError, match="alpha: expected a finite number"):
            function([1.0] * 200, alpha)
    for alpha in ("0.05", None, True):
        with pytest.raises(TypeError, match="alpha: expected a finite number"):
            function([1.0] * 200, alpha)
    with pytest.raises(ValueError, match=r"expected one axis of numbers, got shape \(2, 100\)"):
        function(np.ones((2, 100)), 0.05)
    with pytest.raises(TypeError, match="scores: expected numbers, got"):
        function(["high"], 0.05)


def test_scores_to_judge_are_finite_numbers() -> None:
    for bad in ([math.nan], [1.0, math.inf], [[1.0]]):
        with pytest.raises(ValueError, match=r"^scores: expected"):
            p_values([1.0, 2.0], bad)
    assert p_values([1.0, 2.0], []).shape == (0,)


def test_what_to_do_with_too_few_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match="if_too_few: expected one of 'raise', 'fallback', got"):
        conformal_threshold(range(100), 0.05, if_too_few="ignore")
    with pytest.warns(UserWarning, match=r"5 held-out normals cannot guarantee 5\.00% \(19 are"):
        threshold = conformal_threshold(range(5), 0.05, if_too_few="fallback")
    assert threshold.value == np.nextafter(4.0, 5)
    assert (threshold.n, threshold.alpha, threshold.guaranteed) == (5, 0.05, 1 / 6)
