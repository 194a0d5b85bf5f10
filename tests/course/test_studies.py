"""The studies and figures of notebooks 05 and 06."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from differnet_course import plots as score_plots
from differnet_course.studies import (
    paired_difference,
    recalibrated_rates,
    scale_contributions,
    simulated_rates,
)
from differnet_lite.flow import build_flow
from differnet_lite.maps import evenly
from differnet_lite.metrics import auroc
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.thresholds import (
    conformal_threshold,
    pac_threshold,
    quantile_threshold,
)

Y = torch.randn(5, 4, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("pool", [True, False])
def test_contributions_of_the_scales_add_up_to_the_score(pool):
    scorer = Scorer(flow_score(build_flow(12, n_blocks=2, hidden=16, seed=0)), pool)
    parts = scale_contributions(scorer, Y, torch.zeros(12), steps=200)
    excess = scorer.scores(Y) - scorer.scores(torch.zeros(1, 1, 12))
    assert parts.shape == (5, 3)
    np.testing.assert_allclose(parts.sum(1), excess, rtol=2e-2, atol=2e-3)


def test_angle_subsets_are_even():
    assert evenly(8, 2) == [0, 4]
    assert evenly(8, 8) == list(range(8))
    with pytest.raises(ValueError, match="1 to 8"):
        evenly(8, 9)


def test_conformal_keeps_its_promise_and_the_quantile_does_not():
    assert simulated_rates(conformal_threshold, 19, 0.05).mean() == pytest.approx(0.05, abs=0.005)
    assert simulated_rates(quantile_threshold, 19, 0.05).mean() > 0.08
    assert (simulated_rates(pac_threshold, 99, 0.05) > 0.05).mean() < 0.1
    assert simulated_rates(pac_threshold, 19, 0.05).size == 0


def test_random_splits_of_real_scores():
    found = recalibrated_rates(conformal_threshold, np.arange(60.0), 19, 0.05, n_sets=1000)
    assert found.mean() == pytest.approx(0.05, abs=0.01)
    with pytest.raises(ValueError, match="1 to 59"):
        recalibrated_rates(conformal_threshold, np.arange(60.0), 60, 0.05)


def test_a_paired_interval_is_narrower_than_two_of_their_own():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    first = generator.normal(size=80) + labels
    paired = paired_difference(auroc, labels, first + 0.1 * generator.normal(size=80), first)
    assert paired.low <= paired.value <= paired.high
    assert paired.high - paired.low < 0.05


def test_figures_hold_what_they_are_given():
    curves = score_plots.plot_curves(
        [1, 2],
        {"a": [3, 4]},
        bands={"a": ([2, 3], [4, 6])},
        x_title="x",
        y_title="y",
        x_type="log",
        level=3.5,
    )
    assert curves.data[0].error_y.array.tolist() == [1, 2]
    assert curves.layout.xaxis.type == "log"
    bars = score_plots.plot_bars(
        ["good", "dent"], {"448 px": [1, 2], "224 px": [3, 4]}, y_title="share"
    )
    assert [trace.name for trace in bars.data] == ["448 px", "224 px"]
    rates = {"full": np.array([0.01, 0.02]), "empty": np.empty(0)}
    histogram = score_plots.plot_rate_histograms(rates, 0.05, law=(19, 19), largest=0.2)
    assert [trace.name for trace in histogram.data] == ["full", "Beta(1, 19)"]
    views = score_plots.plot_views(
        np.ones((3, 2)) * [[3], [1], [2]], [0, 90], ["dent", "good", "good"], title="score"
    )
    assert views.data[0].customdata[:, 0].tolist() == [1, 2, 3]
    assert all(
        figure.layout.template.layout.paper_bgcolor == "white"
        for figure in (curves, bars, histogram, views)
    )
    assert isinstance(views, go.Figure)
