"""How good scores and maps are, measured with labels: AUROC, average precision, AUPRO.

Only functions of this folder, and those that call them to report, see labels; nothing in
training, scoring or thresholding does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from differnet_lite.oldchecks import checked, rate, real, vector, whole
from differnet_lite.oldchecks import kinds as check_kinds

__all__ = [
    "Interval",
    "aupro",
    "auroc",
    "auroc_by_kind",
    "average_precision",
    "bootstrap",
    "pixel_auroc",
    "rates",
]


class Interval(NamedTuple):
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@checked
def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; labels are 1 (anomalous) or 0, higher scores more anomalous."""
    return float(roc_auc_score(*_checked(labels, scores)))


@checked
def auroc_by_kind(kinds: Sequence[str], scores: ArrayLike) -> dict[str, float]:
    """AUROC of each kind of defect against the normal images.

    Args:
        kinds: N names, "good" for normal images.
        scores: (N,).

    Example:
        >>> auroc_by_kind(["good", "good", "dent", "hole"], [1.0, 2.0, 3.0, 1.5])
        {'dent': 1.0, 'hole': 0.5}
    """
    kind_of, s = np.array(check_kinds("kinds", kinds)), vector("scores", scores)
    if len(kind_of) != len(s) or not len(s):
        raise ValueError(f"expected a score for each kind, got {len(s)} of {len(kind_of)}")
    chosen = {
        kind: np.isin(kind_of, (kind, "good")) for kind in dict.fromkeys(kinds) if kind != "good"
    }
    return {kind: auroc(kind_of[rows] != "good", s[rows]) for kind, rows in chosen.items()}


@checked
def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision, the area under the precision-recall curve.

    Chance level is the share of anomalies.
    """
    return float(average_precision_score(*_checked(labels, scores)))


@checked(n_resamples=whole(1), confidence=rate, seed=whole(0))
def bootstrap(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A metric with its percentile bootstrap interval, images resampled within each class.

    It tells how far the figure would move on another test set of this size; it does not contain
    the spread over training seeds.

    Args:
        metric: a function of labels and scores, such as `auroc`.
        labels: (N,) 0 or 1.
        scores: (N,).
        n_resamples: number of bootstrap samples.
        confidence: of the interval.
        seed: of the resampling.
    """
    y, s = _checked(labels, scores)
    value = real()("the metric's value", metric(y, s))
    generator = np.random.default_rng(seed)
    classes = [np.flatnonzero(y == c) for c in (0, 1)]
    values = []
    for _ in range(n_resamples):
        chosen = np.concatenate([generator.choice(c, len(c)) for c in classes])
        values.append(real()("the metric's value", metric(y[chosen], s[chosen])))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


@checked
def rates(labels: ArrayLike, decisions: ArrayLike) -> tuple[float, float]:
    """False-alarm rate and detection rate: the flagged shares of normals and of anomalies."""
    y, a = _checked(labels, decisions)
    if not np.isin(a, (0, 1)).all():
        raise ValueError(f"decisions: expected True or False, got {np.unique(a).tolist()[:5]}")
    return float(a[y == 0].mean()), float(a[y == 1].mean())


@checked
def pixel_auroc(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray]) -> float:
    """AUROC over all pixels of all images.

    Large defects dominate it and so do the many normal pixels: read it beside `aupro`.

    Args:
        masks: N boolean masks (H, W); all False for a normal image.
        maps: N anomaly maps of the same sizes.
    """
    y, s = _flat(masks, maps)
    return auroc(y, s)


@checked(max_fpr=real(above=0, most=1))
def aupro(
    masks: Sequence[np.ndarray], maps: Sequence[np.ndarray], *, max_fpr: float = 0.3
) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, divided by that rate.

    Each connected defect region (8-neighbourhood) counts the same, however small. The curve is
    exact, with one point for each distinct value in the maps.

    Args:
        masks: N boolean masks (H, W).
        maps: N anomaly maps of the same sizes.
        max_fpr: 0.3 as in the literature.

    References:
        Bergmann et al., "Uninformed Students", CVPR 2020, arXiv 1911.02357, section 4.

    Example:
        >>> mask = np.eye(8, dtype=bool)
        >>> aupro([mask], [mask.astype(float)])
        1.0
    """
    y, s = _flat(masks, maps)
    weights = np.zeros(len(y))  # 1 / (regions x pixels of the region) at a defect's pixels
    position, n_regions = 0, 0
    for mask in masks:
        regions, n = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = np.bincount(regions.ravel(), minlength=n + 1).astype(float)
        sizes[0] = np.inf
        weights[position : position + mask.size] = 1 / sizes[regions.ravel()]
        position, n_regions = position + mask.size, n_regions + n
    order = np.argsort(-s, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    overlap = np.cumsum(weights[order])[last_of_ties] / n_regions
    fpr = np.cumsum(y[order] == 0)[last_of_ties] / (y == 0).sum()
    overlap, fpr = np.append(0.0, overlap), np.append(0.0, fpr)
    inside = fpr < max_fpr
    # The first point at or beyond the limit: where the curve rises straight up, its foot.
    end = int(inside.sum())
    share = (max_fpr - fpr[end - 1]) / (fpr[end] - fpr[end - 1])
    at_limit = overlap[end - 1] + share * (overlap[end] - overlap[end - 1])
    return float(
        np.trapezoid(np.append(overlap[inside], at_limit), np.append(fpr[inside], max_fpr))
        / max_fpr
    )


def _flat(masks: Sequence[np.ndarray], maps: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if len(masks) != len(maps) or not len(masks):
        raise ValueError(
            f"expected at least one mask and a map for each, got {len(masks)} and {len(maps)}"
        )
    shapes = [(np.shape(a), np.shape(b)) for a, b in zip(masks, maps, strict=True)]
    for i, (of_mask, of_map) in enumerate(shapes):
        if of_mask != of_map or len(of_mask) != 2:
            raise ValueError(
                f"image {i}: expected a mask and a map of one shape (H, W), got {of_mask} and"
                f" {of_map}; resize the mask (nearest)"
            )
    others = [mask for mask in masks if np.asarray(mask).dtype != bool]
    values = {float(value) for mask in others for value in np.unique(mask)}
    if values - {0.0, 255.0} and values - {0.0, 1.0}:  # a NaN or a half is no defect
        raise ValueError(
            "masks: expected True or False, 0 or 1, or 0 or 255 for each pixel, got "
            f"{sorted(values)[:4]}"
        )
    if strange := {kind for m in maps if (kind := np.asarray(m).dtype).kind not in "biuf"}:
        raise TypeError(f"maps: expected numbers, got {', '.join(map(str, strange))}")
    y = np.concatenate([np.ravel(mask).astype(bool) for mask in masks])
    return _checked(y, np.concatenate([np.ravel(m).astype(np.float32) for m in maps]))


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(labels), np.asarray(scores)
    if s.dtype.kind not in "biuf":
        raise TypeError(f"expected numbers for scores, got {s.dtype}")
    if y.shape != s.shape or y.ndim != 1:
        raise ValueError(
            f"expected labels and scores of one length, got shapes {y.shape} and {s.shape}"
        )
    if not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
        raise ValueError(
            "expected labels 0 (normal) and 1 (anomalous), both present,"
            f" got {np.unique(y).tolist()[:5]}"
        )
    y = y.astype(int)
    if not np.isfinite(s).all():
        raise ValueError(
            f"expected finite scores, got {int((~np.isfinite(s)).sum())} that are not, of {len(s)}"
        )
    return y, s
