"""Two-sample tests: their size, what they find, and their power."""

from __future__ import annotations

import numpy as np
import pytest

from differnet_course.two_samples import mmd_test, power, rank_test

G = np.random.default_rng(0)
SCORES = G.gamma(4, size=100)
FEATURES = G.normal(size=(60, 30)) * np.exp(-np.arange(30) / 8)


def test_scores_that_have_not_moved_are_called_different_at_most_at_the_rate():
    still, moved = power(rank_test, SCORES, 20, [0, 2], n_sets=400)
    assert still <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    assert moved > 0.95


def test_features_that_have_not_moved_are_called_different_at_most_at_the_rate():
    noticed = {0: [], 2: []}
    for _ in range(100):
        rows = G.permutation(FEATURES)
        for shift, marks in noticed.items():
            moved = rows[:15] + shift * FEATURES.std(0)
            marks.append(mmd_test(rows[15:], moved, n_permutations=99) <= 0.05)
    assert np.mean(noticed[0]) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5
    assert np.mean(noticed[2]) > 0.9


def test_m_must_leave_others():
    with pytest.raises(ValueError, match="1 to 99 of the 100"):
        power(rank_test, SCORES, 100, [0])
