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
    scores = (
        generator.integers(0, 6, 80) + labels if ties else generator.standard_normal(80) + labels
    )
    assert auroc(labels, scores) == roc_auc_score(labels, scores)
    assert average_precision(labels.astype(bool), scores) == average_precision_score(labels, scores)
    by_pairs = np.mean(
        [(a > b) + 0.5 * (a == b) for a in scores[labels == 1] for b in scores[labels == 0]]
    )
    assert auroc(labels.tolist(), scores.tolist()) == pytest.approx(by_pairs)
    assert auroc(labels, -scores) == pytest.approx(1 - by_pairs)


@pytest.mark.parametrize("seed", [0, 1, 10, 11])
@pytest.mark.parametrize("max_fpr", [0.05, 0.3, 1.0])
def test_aupro_is_the_slow_reference(seed: int, max_fpr: float) -> None:
    generator = np.random.default_rng(seed)
    masks = [
        ndimage.binary_dilation(generator.random((12, 15)) > 0.97, iterations=1) for _ in range(3)
    ] + [np.zeros((10, 9), bool)]
    values = [
        generator.integers(0, 7, m.shape) if seed % 2 else generator.standard_normal(m.shape)
        for m in masks
    ]
    maps = [(v + 2 * m).astype(np.float32) for v, m in zip(values, masks, strict=True)]
    if seed > 9:
        maps = [-m for m in maps]
    assert aupro(masks, maps, max_fpr=max_fpr) == pytest.approx(
        slow_aupro(masks, maps, max_fpr), abs=1e-9
    )


def test_aupro_of_hand_made_cases() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:4, 2:4] = mask[10:18, 10:18] = True
    only_small = np.zeros((20, 20))
    only_small[2:4, 2:4] = 1
    assert aupro([mask], [mask * 1.0]) == 1
    # One of two regions found at once; the other comes with all other pixels, at a rate of 1:
    # 0.5 + 0.5 * fpr / 2.
    assert aupro([mask], [only_small]) == pytest.approx(0.5 + 0.5 * 0.3 / 2)
    assert aupro([mask], [only_small], max_fpr=0.01) == pytest.approx(0.5, abs=0.01)
    assert aupro([mask], [1.0 - mask]) == 0
    assert aupro([mask], [1.0 - mask], max_fpr=1.0) == 0
    assert aupro([mask], [np.ones((20, 20))]) == pytest.approx(0.15)  # chance: the diagonal
    assert pixel_auroc([mask], [only_small]) < 0.6, (
        "where the large region weighs 16 times the small one"
    )


def test_rates_by_counting() -> None:
    assert rates([0, 0, 0, 0, 1, 1], [True, False, False, False, True, True]) == (0.25, 1.0)
    assert rates(np.array([False, True, True]), [1, 1, 0]) == (1.0, 0.5)
    assert rates([1, 0], [False, False]) == (0.0, 0.0)


def test_bootstrap_is_reproducible_and_stays_within_the_classes() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 3])
    scores = generator.standard_normal(33) + labels
    first = bootstrap(auroc, labels, scores, n_resamples=200)
    assert first == bootstrap(auroc, labels, scores, n_resamples=200)
    assert first != bootstrap(auroc, labels, scores, n_resamples=200, seed=1)
    assert first.value == auroc(labels, scores)
    assert first.low < first.value < first.high
    seen = []
    bootstrap(lambda y, s: seen.append(s) or float(y.sum()), labels, scores, n_resamples=20)
    assert len(seen) == 21 and {len(s) for s in seen} == {33}
    np.testing.assert_array_equal(seen[0], scores)  # all images first
    assert str(Interval(0.98765, 0.9, 1.0)) == "0.988 [0.900, 1.000]"


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 1], [1.0, 2.0], r"shapes \(3,\) and \(2,\)"),
        ([0, 0], [1.0, 2.0], r"both present, .* got \[0\]"),
        ([0, 2], [1.0, 2.0], r"got \[0, 2\]"),
        ([0, 1], [1.0, np.nan], "1 of 2 that are not"),
    ],
)
def test_bad_labels_and_scores_are_named(labels: list, scores: list, message: str) -> None:
    for metric in (auroc, rates):
        with pytest.raises(ValueError, match=message):
            metric(labels, scores)


def test_masks_and_maps_of_other_shapes_are_named() -> None:
    mask = np.eye(4, dtype=bool)
    with pytest.raises(ValueError, match="of the same shape"):
        aupro([mask, mask], [np.zeros((4, 4)), np.zeros((4, 5))])


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
