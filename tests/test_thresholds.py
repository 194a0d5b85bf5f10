"""The guarantees of the thresholds, by simulation with fixed seeds, and their edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from differnet_course.thresholds import pac_threshold, quantile_threshold
from differnet_lite.thresholds import (
    Calibration,
    Threshold,
    TooFewNormalsError,
    conformal_threshold,
    p_values,
)


@pytest.mark.parametrize(
    ("n", "alpha", "k"),
    [(19, 0.05, 19), (20, 0.05, 20), (38, 0.05, 38), (39, 0.05, 38), (99, 0.01, 99), (7, 0.3, 6)],
)
def test_the_mean_false_alarm_rate_is_the_exact_one(n: int, alpha: float, k: int) -> None:
    """Of uniform scores the false-alarm rate of a threshold is 1 - theta: no test set needed."""
    generator = np.random.default_rng(0)
    rates = [1 - conformal_threshold(generator.random(n), alpha).value for _ in range(4000)]
    exact = (n + 1 - k) / (n + 1)
    assert exact <= alpha
    assert np.mean(rates) == pytest.approx(exact, abs=4 * np.std(rates) / math.sqrt(len(rates)))
    assert conformal_threshold(range(1, n + 1), alpha).value == np.nextafter(k, n + 1)


def test_the_guarantee_holds_with_ties() -> None:
    generator = np.random.default_rng(1)
    scores = generator.integers(0, 4, (3000, 69))
    thresholds = [conformal_threshold(row[:19], 0.1).value for row in scores]
    alarms = (scores[:, 19:] >= np.array(thresholds)[:, None]).mean(1)
    assert alarms.mean() <= 0.1 + 4 * alarms.std() / math.sqrt(len(alarms))


def test_groups_count_once_with_their_largest_score() -> None:
    """Five images of each part, which share most of their score: a new part has five, too."""
    generator = np.random.default_rng(5)
    groups = np.repeat(np.arange(24), 5)
    alarms = []
    for _ in range(2000):
        scores = generator.normal(size=25).repeat(5) + 0.3 * generator.normal(size=125)
        calibration = Calibration(scores[:-5], "split", groups)
        alarms.append(calibration.judge(scores[-5:], 0.08).anomalous.any())
    error = math.sqrt(0.08 * 0.92 / len(alarms))
    assert np.mean(alarms) == pytest.approx(0.08, abs=4 * error)
    assert calibration.threshold(0.08).n == 24


def test_a_calibration_judges_by_its_rule() -> None:
    scores = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 6.0])
    groups = np.array([0, 0, 1, 1, 2, 2])
    calibration = Calibration(scores, "cross", groups)
    assert calibration.evidence.tolist() == [3.0, 5.0, 6.0]
    judgement = calibration.judge(np.array([5.5, 6.0, np.nextafter(6.0, 7.0)]), 0.25)
    assert judgement.threshold == conformal_threshold([3.0, 5.0, 6.0], 0.25, cross=True)
    assert (judgement.threshold.rule, judgement.threshold.guaranteed) == ("cross-conformal", None)
    assert judgement.p_values.tolist() == [0.5, 0.5, 0.25]
    assert judgement.anomalous.tolist() == [False, False, True]
    assert Calibration(scores, "given").threshold(0.25).guaranteed == 0.25
    assert Calibration(scores, "split").evidence is scores


def test_the_plain_quantile_breaks_its_promise_at_small_n() -> None:
    generator = np.random.default_rng(0)
    rates = [1 - quantile_threshold(generator.random(19), 0.05).value for _ in range(4000)]
    assert np.mean(rates) > 0.08
    threshold = quantile_threshold(range(101), 0.05)
    assert (threshold.value, threshold.rule, threshold.guaranteed) == (95.0, "quantile", None)


@pytest.mark.parametrize(("n", "alpha", "delta"), [(50, 0.1, 0.1), (200, 0.05, 0.05)])
def test_the_pac_threshold_keeps_its_confidence(n: int, alpha: float, delta: float) -> None:
    k = int(pac_threshold(np.arange(n), alpha, delta=delta).value) + 1
    assert beta.cdf(alpha, n + 1 - k, k) >= 1 - delta
    assert beta.cdf(alpha, n + 2 - k, k - 1) < 1 - delta, "no smaller k is enough"


def test_a_pac_threshold_needs_more_scores() -> None:
    needed = next(n for n in range(1, 200) if 0.95**n <= 0.1)  # P(rate > alpha) of the largest
    assert pac_threshold(np.arange(needed), 0.05).rule == "pac"
    with pytest.raises(TooFewNormalsError, match=f"at least {needed} held-out .*got {needed - 1}"):
        pac_threshold(np.arange(needed - 1), 0.05)
    with pytest.raises(ValueError, match="delta"):
        pac_threshold(np.arange(100), 0.05, delta=0)


@pytest.mark.parametrize("n", [19, 57, 99])
@pytest.mark.parametrize("alpha", [0.05, 0.07, 1 / 7, 1 / 3, 0.9])
@pytest.mark.parametrize("ties", [False, True])
def test_deciding_by_threshold_and_by_p_value_is_the_same(n: int, alpha: float, ties: bool) -> None:
    calibration = np.random.default_rng(n).standard_normal(n)
    if ties:
        calibration = np.rint(2 * calibration)
    below = np.nextafter(calibration, -np.inf)
    above = np.nextafter(calibration, np.inf)
    scores = np.concatenate([calibration, below, above, [-1e300, 1e300]])
    flagged = scores >= conformal_threshold(calibration, alpha).value
    np.testing.assert_array_equal(flagged, p_values(calibration, scores) <= alpha)
    assert flagged[-1]


def test_p_values_by_counting_with_ties() -> None:
    scores = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 3.1])
    assert p_values([3.0, 1.0, 2.0, 2.0], scores).tolist() == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]
    assert p_values([1.0, 2.0], []).shape == (0,)
    with pytest.raises(ValueError, match=r"^scores: expected finite numbers"):
        p_values([1.0, 2.0], [math.nan])


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9)])
def test_too_few_normals_are_an_error_or_a_labelled_fallback(alpha: float, needed: int) -> None:
    n = needed - 1
    with pytest.raises(TooFewNormalsError, match=rf"at least {needed} .*got {n}, .*'fallback'"):
        conformal_threshold(np.arange(n), alpha)
    with pytest.warns(UserWarning, match=f"cannot guarantee {alpha:.2%} \\({needed} are needed\\)"):
        threshold = conformal_threshold(np.arange(n), alpha, if_too_few="fallback")
    value = float(np.nextafter(n - 1, np.inf))
    assert threshold == Threshold(value, alpha, n, "conformal", 1 / (n + 1))
    assert conformal_threshold(np.arange(needed), alpha).guaranteed == alpha


@pytest.mark.parametrize("function", [conformal_threshold, pac_threshold, quantile_threshold])
def test_bad_scores_and_rates_are_named(function: Callable[..., Any]) -> None:
    with pytest.raises(TooFewNormalsError, match="there are no calibration scores"):
        function([], 0.05)
    with pytest.raises(ValueError, match="got 2 of 3 that are not"):
        function([1.0, math.nan, math.inf], 0.05)
    for alpha in (0, 5, "0.05"):
        with pytest.raises(ValueError, match="alpha: expected a finite number"):
            function([1.0] * 200, alpha)
