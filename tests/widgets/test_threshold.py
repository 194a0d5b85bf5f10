"""The threshold explorer's logic, without a browser."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.widgets import ThresholdExplorer
from differnet_course.widgets.plot import COLUMN
from differnet_lite.thresholds import conformal_threshold

GENERATOR = np.random.default_rng(0)
CALIBRATION = GENERATOR.gamma(20, 0.05, 39)
SCORES = np.concatenate([GENERATOR.gamma(20, 0.05, 30), GENERATOR.gamma(20, 0.1, 12)])
KINDS = ["good"] * 30 + ["dent"] * 7 + ["<stain>"] * 5
IMAGES = [np.full((64, 64, 3), 5 * i, dtype=np.uint8) for i in range(42)]


@pytest.fixture
def explorer():
    return ThresholdExplorer(CALIBRATION, SCORES, KINDS, images=IMAGES)


def test_it_starts_at_the_conformal_threshold_for_alpha(explorer):
    assert explorer.alpha_slider.value == 2  # of 40: 5 %
    for k in (2, 1, 8, 39):
        explorer.alpha_slider.value = k
        assert explorer.theta == conformal_threshold(CALIBRATION, k / 40).value
    # beside each other in JupyterLab at 1280 x 720
    assert explorer.figure.layout.width + COLUMN <= 830 and explorer.figure.layout.height < 400


def test_dragging_theta_sets_the_alpha_it_guarantees(explorer):
    for state in range(0, len(explorer.thetas), 7):
        explorer.theta_slider.value = state
        assert explorer.theta_slider.value == state  # the other slider does not pull it back
        assert explorer.alpha_slider.value == 1 + (explorer.theta <= CALIBRATION).sum()


def test_counts_label_and_drawing_agree_in_every_state(explorer):
    labels = np.array(KINDS) != "good"
    for state in range(len(explorer.thetas)):
        explorer.theta_slider.value = state
        flagged = explorer.theta <= SCORES
        false_alarms, detected = (flagged & ~labels).sum(), (flagged & labels).sum()
        expected = [[30 - false_alarms, false_alarms], [12 - detected, detected]]
        counts = explorer.figure.data[-1].text
        assert [[int(text.strip("</b>")) for text in row] for row in counts] == expected
        assert f"false alarms {false_alarms} of 30" in explorer.label.value
        assert f"detected {detected} of 12" in explorer.label.value
        region, line = explorer.figure.layout.shapes
        assert region.x0 == line.x0 == line.x1 == explorer.theta


def test_the_strip_names_exactly_the_images_that_flip(explorer):
    explorer.theta_slider.value = int(np.searchsorted(explorer.thetas, np.median(SCORES)))
    before = explorer.theta
    explorer.theta_slider.value += 6
    flipped = [i for i in range(42) if before <= SCORES[i] < explorer.theta]
    assert flipped
    first = explorer.flips.value[explorer.flips.value.index("Just flipped") :]
    assert f"Just flipped ({len(flipped)})" in first and "<stain>" not in explorer.flips.value
    assert {int(i) for i in re.findall(r"(?:good|dent|stain&gt;) (\d+)<", first)} <= set(flipped)
    assert first.count("data:image/jpeg") == min(len(flipped), 6)
