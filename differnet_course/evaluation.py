"""A fitted detector measured on the test set of a category: scores and maps against labels."""

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np

from differnet_course import metrics
from differnet_course.folders import Category, load_category, load_mask
from differnet_course.metrics import Interval
from differnet_lite.detector import DifferNet
from differnet_lite.listing import DatasetError
from differnet_lite.maps import MapLevels
from differnet_lite.thresholds import Threshold

__all__ = ["Evaluation", "check_labels", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a detector does on a test set.

    The rates are the flagged shares of the normal and of the anomalous test images, and `by_kind`
    has the AUROC of each kind of defect. Figures of maps (N, size, size) need masks and maps.
    """

    category: Category
    scores: np.ndarray
    threshold: Threshold
    auroc: Interval
    average_precision: Interval
    false_alarm_rate: float
    detection_rate: float
    by_kind: dict[str, float]
    pixel_auroc: float | None = None
    aupro: float | None = None
    aupimo: float | None = None
    maps: np.ndarray | None = None
    levels: MapLevels | None = None

    def table(self) -> list[tuple[str, str]]:
        """Rows (label, value) for people."""
        labels = self.category.labels
        n_normal = int((~labels).sum())
        n_anomalous = int(labels.sum())
        kinds = ", ".join(f"{kind} {value:.3f}" for kind, value in self.by_kind.items())
        rows = [
            ("test images", f"{n_normal} normal, {n_anomalous} anomalous"),
            ("image AUROC", str(self.auroc)),
            ("average precision", f"{self.average_precision} (chance {labels.mean():.3f})"),
            ("threshold", str(self.threshold)),
            ("false-alarm rate", f"{self.false_alarm_rate:.1%} of the normal test images"),
            ("detection rate", f"{self.detection_rate:.1%} of the anomalous test images"),
            ("AUROC by kind", kinds),
        ]
        if self.aupro is not None:
            rows.append(("pixel AUROC", f"{self.pixel_auroc:.3f}"))
            rows.append(("AUPRO (FPR <= 0.3)", f"{self.aupro:.3f}"))
            rows.append(("AUPIMO (FPR 1e-5 to 1e-4), mean", f"{self.aupimo:.3f}"))
        if self.maps is not None and self.levels is not None:
            marked = self.maps.max(axis=(1, 2)) >= self.levels.level
            counts = f"{marked[~labels].sum()} of {n_normal} normal"
            counts += f", {marked[labels].sum()} of {n_anomalous} anomalous"
            rows.append((f"marked anywhere (level {self.levels.alpha:.1%})", f"{counts} images"))
        return rows


def evaluate(
    model: DifferNet,
    category: Category | str | os.PathLike[str],
    *,
    alpha: float = 0.05,
    maps: bool = False,
    scores: np.ndarray | None = None,
) -> Evaluation:
    """Score the test set of a category and compare with its labels.

    Args:
        model: fitted.
        category: the category or its folder; needs normal and anomalous test images.
        alpha: false-alarm rate of the threshold, or the smallest that can be promised.
        maps: draw anomaly maps, and measure them where masks are.
        scores: (N,) of the test images, where the detector has scored them already.

    Raises:
        DatasetError: the test set lacks normal or anomalous images.
    """
    if not isinstance(category, Category):
        category = load_category(Path(category))
    check_labels(category)
    labels = category.labels
    leaks = category.leaks()
    if leaks:
        names = ", ".join(path.name for path, _ in leaks[:3])
        warnings.warn(
            f"{category.root}: {len(leaks)} test images have the content of a training image, such "
            f"as {names}; if the model has seen them, the figures are too good",
            stacklevel=2,
        )
    threshold = model.threshold(alpha, if_too_few="fallback")
    if scores is None:
        scores = model.anomaly_scores(category.test)
    false_alarms, detections = metrics.rates(labels, scores >= threshold.value)
    by_kind = {}
    kinds = np.array(category.kinds)
    for kind in dict.fromkeys(kinds[labels].tolist()):
        rows = np.isin(kinds, (kind, "good"))
        by_kind[kind] = metrics.auroc(labels[rows], scores[rows])
    drawn = None
    levels = None
    pixel_figures: dict[str, float] = {}
    if maps:
        drawn = model.anomaly_maps(category.test)
        levels = model.map_levels(alpha, if_too_few="fallback")
        pixel_figures = _pixel_figures(category, drawn)
    return Evaluation(
        category=category,
        scores=scores,
        threshold=threshold,
        auroc=metrics.bootstrap(metrics.auroc, labels, scores),
        average_precision=metrics.bootstrap(metrics.average_precision, labels, scores),
        false_alarm_rate=false_alarms,
        detection_rate=detections,
        by_kind=by_kind,
        maps=drawn,
        levels=levels,
        **pixel_figures,
    )


def check_labels(category: Category) -> None:
    """Refuse a test set without normal or without anomalous images."""
    labels = category.labels
    if not labels.any() or labels.all():
        raise DatasetError(
            f"{category.root}: an evaluation needs test/good/ and at least one test/DEFECT/,"
            f" got {(~labels).sum()} normal and {labels.sum()} anomalous images;"
            " without labels take `differnet-lite score`"
        )


def _pixel_figures(category: Category, maps: np.ndarray) -> dict[str, float]:
    """Pixel AUROC, AUPRO and mean AUPIMO; an anomaly without a mask would count as normal."""
    if not category.has_masks:
        return {}
    pairs = zip(category.masks, category.labels, strict=True)
    rows = [i for i, (mask, label) in enumerate(pairs) if mask is not None or not label]
    side = maps.shape[-1]
    masks = [load_mask(category.masks[i], side, image=category.test[i]) for i in rows]
    chosen = [maps[i] for i in rows]
    return {
        "pixel_auroc": metrics.pixel_auroc(masks, chosen),
        "aupro": metrics.aupro(masks, chosen),
        "aupimo": float(metrics.aupimo(masks, chosen).mean()),
    }
