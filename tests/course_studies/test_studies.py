"""The studies of notebook 05."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from differnet_course.metrics import auroc
from differnet_course.studies import paired_difference, scale_contributions
from differnet_lite.flow import build_flow
from differnet_lite.scoring import Scorer, flow_score

Y = torch.randn(5, 4, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pool", [True, False])
def test_contributions_of_the_scales_add_up_to_the_score(pool):
    scorer = Scorer(flow_score(build_flow(12, n_blocks=2, hidden=16, seed=0)), pool)
    parts = scale_contributions(scorer, Y, torch.zeros(12), steps=200)
    excess = scorer.scores(Y) - scorer.scores(torch.zeros(1, 1, 12))
    assert parts.shape == (5, 3)
    np.testing.assert_allclose(parts.sum(1), excess, rtol=2e-2, atol=2e-3)


def test_a_paired_interval_is_narrower_than_two_of_their_own():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    first = generator.normal(size=80) + labels
    paired = paired_difference(auroc, labels, first + 0.1 * generator.normal(size=80), first)
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < 0.05
