"""Metrics against scikit-learn and slow references, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from differnet_course.metrics import (
    Interval,
    aupimo,
    aupro,
    auroc,
    average_precision,
    bootstrap,
    pixel_auroc,
    rates,
)


def slow_aupro(masks: list[np.ndarray], maps: list[np.ndarray], max_fpr: float) -> float:
    """One threshold after another; region by region; the area of straight lines up to max_fpr."""
    regions = []
    for i, mask in enumerate(masks):
        labelled, n = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(i, labelled == k) for k in range(1, n + 1)]
    normal = np.concatenate([maps_[~mask] for mask, maps_ in zip(masks, maps, strict=True)])
    points = [(0.0, 0.0)]
    for threshold in sorted(np.unique(np.concatenate([m.ravel() for m in maps])), reverse=True):
        overlap = np.mean([(maps[i][region] >= threshold).mean() for i, region in regions])
        points.append(((normal >= threshold).mean(), float(overlap)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= max_fpr or x1 == x0:
            continue
        if x1 > max_fpr:
            y1, x1 = y0 + (y1 - y0) * (max_fpr - x0) / (x1 - x0), max_fpr
        area += (x1 - x0) * (y0 + y1) / 2
    return area / max_fpr


@pytest.mark.parametrize("ties", [False, True])
def test_image_metrics_are_scikit_learns(ties: bool) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 80)
    noise = generator.integers(0, 6, 80) if ties else generator.standard_normal(80)
    scores = noise + labels
    assert auroc(labels, scores) == roc_auc_score(labels, scores)
    assert average_precision(labels, scores) == average_precision_score(labels, scores)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
def test_aupro_is_the_slow_reference(ties: bool, max_fpr: float) -> None:
    generator = np.random.default_rng(1)
    dots = generator.random((3, 12, 15)) > 0.97
    masks = [*map(ndimage.binary_dilation, dots), np.zeros((10, 9), bool)]
    noise = [generator.standard_normal(mask.shape) for mask in masks]
    maps = [values + 2 * mask for values, mask in zip(noise, masks, strict=True)]
    if ties:
        maps = [np.rint(values) for values in maps]
    expected = slow_aupro(masks, maps, max_fpr)
    assert aupro(masks, maps, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-9)


def test_aupro_of_hand_made_cases() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[10:18, 10:18] = True
    only_small = np.zeros((20, 20))
    only_small[2:4, 2:4] = 1
    assert aupro([mask], [mask * 1.0]) == 1
    # One of two regions found at once; the other comes with all other pixels, at a rate of 1:
    # 0.5 + 0.5 * fpr / 2.
    assert aupro([mask], [only_small]) == pytest.approx(0.5 + 0.5 * 0.3 / 2)
    assert aupro([mask], [1.0 - mask]) == 0
    assert aupro([mask], [np.ones((20, 20))]) == pytest.approx(0.15)  # chance: the diagonal
    assert pixel_auroc([mask], [only_small]) < 0.6  # the large region weighs 16 times the small one


def test_rates_by_counting() -> None:
    assert rates([0, 0, 0, 0, 1, 1], [True, False, False, False, True, True]) == (0.25, 1.0)


def test_bootstrap_is_reproducible_and_stays_within_the_classes() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 3])
    scores = generator.standard_normal(33) + labels
    first = bootstrap(auroc, labels, scores, n_resamples=200)
    assert first == bootstrap(auroc, labels, scores, n_resamples=200)
    assert first != bootstrap(auroc, labels, scores, n_resamples=200, seed=1)
    assert first.value == auroc(labels, scores)
    assert first.low < first.value < first.high
    anomalous = bootstrap(lambda y, s: float(y.sum()), labels, scores, n_resamples=20)
    assert anomalous == Interval(3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [1.0, 2.0], r"shapes \(3,\) and \(2,\)"),
        ([0, 0], [1.0, 2.0], r"both present, .* got \[0\]"),
        ([0, 1], [1.0, np.nan], "1 of 2 that are not"),
    ],
)
def test_bad_labels_and_scores_are_named(labels: list, scores: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(labels, scores)


def test_aupimo_is_the_area_under_the_overlap_of_each_image() -> None:
    """With 100 normal pixels and rates from 1 % to 10 %, the overlap is known at every rate."""
    normal = np.arange(100.0).reshape(10, 10)  # at a rate of k / 100, the k highest pass
    halves = np.where(np.arange(100) < 50, 200.0, 95.5).reshape(10, 10)
    inside = np.ones((10, 10), dtype=bool)
    masks = [np.zeros((10, 10), dtype=bool), inside, inside]
    values = aupimo(masks, [normal, halves, normal - 1000], bounds=(0.01, 0.1))
    # half of the first passes at all rates; the other half from 4 normal pixels on
    assert values[0] == pytest.approx(0.5 + 0.5 * np.log(10 / 4) / np.log(10), abs=0.01)
    assert values[1] == 0
