"""The studies of notebook 05."""

from __future__ import annotations

import numpy as np

from differnet_course.metrics import auroc
from differnet_course.studies import paired_difference


def test_a_paired_interval_is_narrower_than_two_of_their_own():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    first = generator.normal(size=80) + labels
    paired = paired_difference(auroc, labels, first + 0.1 * generator.normal(size=80), first)
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < 0.05
