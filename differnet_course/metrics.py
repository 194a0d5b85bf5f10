"""How good scores and maps are, measured with labels: AUROC, average precision, AUPRO, AUPIMO.

Nothing in training, scoring or thresholding sees labels; only these functions do. Labels are 1
(anomalous) or 0, and higher scores more anomalous.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from differnet_lite.checks import vector

__all__ = [
    "Interval",
    "aupimo",
    "aupro",
    "auroc",
    "average_precision",
    "bootstrap",
    "pixel_auroc",
    "rates",
]

Arrays = Sequence[np.ndarray]


class Interval(NamedTuple):
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(*_checked(labels, scores)))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve; its chance level is the share of anomalies."""
    return float(average_precision_score(*_checked(labels, scores)))


def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """A metric with its 95 % percentile bootstrap interval, images resampled within each class.

    It tells how far the figure would move on another test set of this size; it does not contain
    the spread over training seeds. The metric, a function of labels (N,) and scores (N,), is called
    first with all images, then with each resample.
    """
    y, s = _checked(labels, scores)
    value = float(metric(y, s))
    generator = np.random.default_rng(seed)
    classes = [np.flatnonzero(y == c) for c in (0, 1)]
    values = []
    for _ in range(n_resamples):
        chosen = np.concatenate([generator.choice(c, len(c)) for c in classes])
        values.append(metric(y[chosen], s[chosen]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def rates(labels: ArrayLike, decisions: ArrayLike) -> tuple[float, float]:
    """False-alarm rate and detection rate: the flagged shares of normals and of anomalies."""
    y, flagged = _checked(labels, decisions)
    return float(flagged[y == 0].mean()), float(flagged[y == 1].mean())


def pixel_auroc(masks: Arrays, maps: Arrays) -> float:
    """AUROC over all pixels of N masks (H, W) and maps; large defects dominate it."""
    return float(roc_auc_score(*_flat(masks, maps)))


def aupro(masks: Arrays, maps: Arrays, *, max_fpr: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, divided by that rate.

    Each connected defect region (8-neighbourhood) counts the same, however small. The curve is
    exact, with one point for each distinct value in the N maps (H, W).

    References: Bergmann et al., "Uninformed Students", arXiv 1911.02357, section 4.
    """
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
    masks: Arrays, maps: Arrays, *, bounds: tuple[float, float] = (1e-5, 1e-4)
) -> np.ndarray:
    """Area under the per-image-overlap curve, (n,) in [0, 1], of the n images with a defect.

    A threshold's false-positive rate is the share of marked pixels in the images WITHOUT a defect;
    an image's overlap is the marked share of its defect. The overlap is averaged over rates within
    the bounds, on a logarithmic axis: 1 is a defect that is marked whole while 1 pixel in 100,000
    of normal images is. The N masks and maps (H, W) have one size.

    References: Bertoldo et al., "AUPIMO", arXiv 2401.01984.
    """
    y, s = _flat(masks, maps)
    low, high = bounds
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


def _flat(masks: Arrays, maps: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """All pixels' labels and values."""
    if [mask.shape for mask in masks] != [values.shape for values in maps]:
        raise ValueError("expected a map for each mask, of the same shape")
    y = np.concatenate([mask.ravel().astype(bool) for mask in masks])
    return _checked(y, np.concatenate([values.ravel() for values in maps]))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y = np.asarray(labels)
    s = vector("scores", scores)
    if y.shape != s.shape or set(y.tolist()) != {0, 1}:
        raise ValueError(
            "expected labels 0 (normal) and 1 (anomalous), both present, one for each score; got "
            f"{np.unique(y).tolist()[:5]}, of shapes {y.shape} and {s.shape}"
        )
    return y.astype(int), s
