"""How good scores and maps are, measured with labels: AUROC, average precision, AUPRO.

Nothing in training, scoring or thresholding sees labels; only these functions do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from differnet_lite.checks import rate, real, vector

__all__ = [
    "N_RESAMPLES",
    "Interval",
    "aupimo",
    "aupro",
    "auroc",
    "auroc_by_kind",
    "average_precision",
    "bootstrap",
    "pixel_auroc",
    "rates",
]

N_RESAMPLES = 1000  # of a report: its tables and figures draw the same resamples


class Interval(NamedTuple):
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; labels are 1 (anomalous) or 0, higher scores more anomalous."""
    return float(roc_auc_score(*_checked(labels, scores)))


def auroc_by_kind(kinds: Sequence[str], scores: ArrayLike) -> dict[str, float]:
    """AUROC of each kind of defect against the normal images, whose kind is "good".

    Example:
        >>> auroc_by_kind(["good", "good", "dent", "hole"], [1.0, 2.0, 3.0, 1.5])
        {'dent': 1.0, 'hole': 0.5}
    """
    names = np.array(kinds)
    s = vector("scores", scores)
    if len(names) != len(s):
        raise ValueError(f"expected a score for each kind, got {len(s)} scores of {len(names)}")
    areas = {}
    for kind in dict.fromkeys(kinds):
        if kind != "good":
            rows = np.isin(names, (kind, "good"))
            areas[kind] = auroc(names[rows] != "good", s[rows])
    return areas


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve; its chance level is the share of anomalies."""
    return float(average_precision_score(*_checked(labels, scores)))


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A metric with its percentile bootstrap interval, images resampled within each class.

    It tells how far the figure would move on another test set of this size; it does not contain
    the spread over training seeds. The metric, a function of labels (N,) and scores (N,), is called
    first with all images, then with each resample.
    """
    rate("confidence", confidence)
    y, s = _checked(labels, scores)
    value = float(metric(y, s))
    generator = np.random.default_rng(seed)
    classes = [np.flatnonzero(y == c) for c in (0, 1)]
    values = []
    for _ in range(n_resamples):
        chosen = np.concatenate([generator.choice(c, len(c)) for c in classes])
        values.append(metric(y[chosen], s[chosen]))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def rates(labels: ArrayLike, decisions: ArrayLike) -> tuple[float, float]:
    """False-alarm rate and detection rate: the flagged shares of normals and of anomalies."""
    y, flagged = _checked(labels, decisions)
    if not np.isin(flagged, (0, 1)).all():
        raise ValueError(f"decisions: expected True or False, got {np.unique(flagged)[:5]}")
    return float(flagged[y == 0].mean()), float(flagged[y == 1].mean())


def pixel_auroc(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray]) -> float:
    """AUROC over all pixels of N masks (H, W) and maps; large defects dominate it."""
    return float(roc_auc_score(*_flat(masks, maps)))


def aupro(
    masks: Sequence[np.ndarray], maps: Sequence[np.ndarray], *, max_fpr: float = 0.3
) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, divided by that rate.

    Each connected defect region (8-neighbourhood) counts the same, however small. The curve is
    exact, with one point for each distinct value in the N maps (H, W).

    References:
        Bergmann et al., "Uninformed Students", CVPR 2020, arXiv 1911.02357, section 4.

    Example:
        >>> mask = np.eye(8, dtype=bool)
        >>> aupro([mask], [mask.astype(float)])
        1.0
    """
    real("max_fpr", max_fpr, above=0, most=1)
    y, s = _flat(masks, maps)
    weights = []  # 1 / pixels of its region at a defect's pixel, 0 elsewhere
    n_regions = 0
    for mask in masks:
        regions, n = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = np.bincount(regions.ravel(), minlength=n + 1).astype(float)
        sizes[0] = np.inf
        weights.append(1 / sizes[regions.ravel()])
        n_regions += n
    order = np.argsort(-s, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    overlap = np.cumsum(np.concatenate(weights)[order])[last_of_ties] / n_regions
    fpr = np.cumsum(y[order] == 0)[last_of_ties] / (y == 0).sum()
    overlap = np.append(0.0, overlap)
    fpr = np.append(0.0, fpr)
    # the first point at or beyond the limit: where the curve rises straight up, its foot
    end = int((fpr < max_fpr).sum())
    share = (max_fpr - fpr[end - 1]) / (fpr[end] - fpr[end - 1])
    at_limit = overlap[end - 1] + share * (overlap[end] - overlap[end - 1])
    inside = np.append(overlap[:end], at_limit)
    return float(np.trapezoid(inside, np.append(fpr[:end], max_fpr)) / max_fpr)


def aupimo(
    masks: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    *,
    bounds: tuple[float, float] = (1e-5, 1e-4),
) -> np.ndarray:
    """Area under the per-image-overlap curve, one number for each image with a defect.

    A threshold's false-positive rate is the share of marked pixels in the images WITHOUT a defect;
    an image's overlap is the marked share of its defect. The overlap is averaged over rates within
    the bounds, on a logarithmic axis: 1 is a defect that is marked whole while 1 pixel in 100,000
    of normal images is. A map must be at or above a threshold to be marked.

    Args:
        masks: N masks (H, W) of one size; at least one without and one with a defect.
        maps: N maps (H, W).
        bounds: of the false-positive rate.

    Returns:
        (n,), in [0, 1], of the n images with a defect, in their order.

    References:
        Bertoldo et al., "AUPIMO", arXiv 2401.01984.

    Example:
        >>> mask = np.eye(8, dtype=bool)
        >>> aupimo([mask, 0 * mask], [mask.astype(float), np.zeros((8, 8))]).round(6)
        array([1.])
    """
    y, s = _flat(masks, maps)
    low, high = bounds
    real("bounds", low, above=0)
    real("bounds", high, above=low, most=1)
    marks = y.reshape(len(masks), -1) == 1
    values = s.reshape(len(masks), -1)
    defective = marks.any(1)
    if defective.all():
        raise ValueError("masks: expected a normal image, without a defect, among them; got none")
    normal = np.sort(values[~defective], axis=None)[::-1]
    rates = np.geomspace(low, high, 200)
    # the smallest threshold that so many normal pixels pass at most: just above the next one
    thresholds = np.nextafter(normal[(rates * len(normal)).astype(int)], np.inf)
    areas = []
    for image, mask in zip(values[defective], marks[defective], strict=True):
        inside = np.sort(image[mask])
        overlap = 1 - np.searchsorted(inside, thresholds) / len(inside)
        areas.append(np.trapezoid(overlap, np.log(rates)) / np.log(high / low))
    return np.array(areas)


def _flat(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All pixels' labels and values."""
    shapes = [np.shape(mask) for mask in masks]
    if not shapes or shapes != [np.shape(values) for values in maps]:
        raise ValueError(
            "expected at least one mask, and a map of the same shape for each; "
            f"got {len(masks)} masks and {len(maps)} maps"
        )
    y = np.concatenate([np.ravel(mask).astype(bool) for mask in masks])
    return _checked(y, np.concatenate([np.ravel(values).astype(np.float32) for values in maps]))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(labels)
    s = np.asarray(scores)
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(
            f"expected labels and scores of one length, got shapes {y.shape} and {s.shape}"
        )
    if not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
        raise ValueError(
            "expected labels 0 (normal) and 1 (anomalous), both present,"
            f" got {np.unique(y).tolist()[:5]}"
        )
    if not np.isfinite(s).all():
        raise ValueError(
            f"expected finite scores, got {int((~np.isfinite(s)).sum())} that are not, of {len(s)}"
        )
    return y.astype(int), s
