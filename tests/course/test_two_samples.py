"""Two-sample tests: their size, what they find, and their power."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_course.two_samples import ks_test, mmd_test, power, rank_test

G = np.random.default_rng(0)
SCORES, FEATURES = G.gamma(4, size=100), G.normal(size=(60, 30)) * np.exp(-np.arange(30) / 8)


@pytest.mark.parametrize("test", [rank_test, ks_test])
def test_scores_that_have_not_moved_are_called_different_at_most_at_the_rate(test):
    still, moved = power(test, SCORES, 20, [0, 2], n_sets=400)
    assert still <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert moved > 0.95


def test_features_that_have_not_moved_are_called_different_at_most_at_the_rate():
    def test(a, b):
        return mmd_test(a, b, n_permutations=99)

    still, moved = power(test, FEATURES, 15, [0, 4], n_sets=100)
    assert still <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5
    assert moved > 0.9


def test_ranks_see_no_change_of_spread_but_the_whole_law_does():
    narrow, wide = np.linspace(-1, 1, 101), np.linspace(-3, 3, 101)
    assert rank_test(narrow, wide) > 0.9
    assert ks_test(narrow, wide) < 0.01


def test_m_must_leave_others():
    with pytest.raises(ValueError, match="1 to 99 of the 100"):
        power(rank_test, SCORES, 100, [0])
