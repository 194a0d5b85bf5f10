"""A fitted model measured on the test set of a category: scores and maps against labels."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from differnet_lite import metrics
from differnet_lite.oldchecks import checked, rate, vector
from differnet_lite.detector import Detector
from differnet_lite.folders import Category, DatasetError, load_category, load_mask
from differnet_lite.listing import some_names
from differnet_lite.maps import MapLevels
from differnet_lite.metrics import Interval
from differnet_lite.thresholds import Threshold

__all__ = ["Evaluation", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model does on a test set.

    Attributes:
        category: the data.
        scores: (N,) of the test images.
        threshold: chosen on held-out normals, before any label was seen.
        auroc: image AUROC with its bootstrap interval.
        average_precision: with its interval; compare with the share of anomalies.
        false_alarm_rate: flagged share of the normal test images.
        detection_rate: flagged share of the anomalous ones.
        by_kind: AUROC of each kind of defect against the normal images.
        pixel_auroc: of the maps; None where no mask or no map is there.
        aupro: of the maps, up to 30 % false positives; None as above.
        maps: (N, size, size) float32, or None.
        levels: what "distance" maps are compared with; None of others.
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
    maps: np.ndarray | None = None
    levels: MapLevels | None = None

    def table(self) -> list[tuple[str, str]]:
        """Rows (label, value) for people."""
        labels = self.category.labels
        rows = [
            ("test images", f"{int((~labels).sum())} normal, {int(labels.sum())} anomalous"),
            ("image AUROC", f"{self.auroc}"),
            ("average precision", f"{self.average_precision} (chance {labels.mean():.3f})"),
            ("threshold", str(self.threshold)),
            ("false-alarm rate", f"{self.false_alarm_rate:.1%} of the normal test images"),
            ("detection rate", f"{self.detection_rate:.1%} of the anomalous test images"),
            (
                "AUROC by kind",
                ", ".join(f"{kind} {value:.3f}" for kind, value in self.by_kind.items()),
            ),
        ]
        if self.aupro is not None and self.pixel_auroc is not None:
            rows += [
                ("pixel AUROC", f"{self.pixel_auroc:.3f}"),
                ("AUPRO (FPR <= 0.3)", f"{self.aupro:.3f}"),
            ]
        if self.maps is not None and self.levels is not None:
            marked = np.array([values.max() >= self.levels.level for values in self.maps])
            counts = f"{marked[~labels].sum()} of {(~labels).sum()} normal"
            counts += f", {marked[labels].sum()} of {labels.sum()} anomalous"
            rows += [(f"marked anywhere (level {self.levels.alpha:.1%})", f"{counts} test images")]
        return rows


@checked(alpha=rate)
def evaluate(
    model: Detector,
    category: Category | str | os.PathLike[str],
    *,
    alpha: float = 0.05,
    maps: bool = False,
    scores: np.ndarray | None = None,
    **map_options: Any,
) -> Evaluation:
    """Score the test set of a category and compare with its labels.

    Args:
        model: a fitted model.
        category: the category or its folder; needs normal and anomalous test images.
        alpha: false-alarm rate of the threshold; where the calibration set is too small for it, the
            fallback of `conformal_threshold` is taken, and the threshold says so.
        maps: whether to draw anomaly maps, and measure them where masks are.
        scores: (N,) of the test images, where the model has scored them already.
        **map_options: see `FeatureDetector.anomaly_maps`.

    Raises:
        DatasetError: the test set lacks normal or anomalous images.
        ValueError: there is not one score for each test image.
    """
    if not isinstance(category, Category):
        category = load_category(Path(category))
    labels = category.labels
    if not labels.any() or labels.all():
        raise DatasetError(
            f"{category.root}: an evaluation needs test/good/ and at least one test/DEFECT/,"
            f" found {int((~labels).sum())} normal and {int(labels.sum())} anomalous images;"
            " use anomaly_scores() for images without labels"
        )
    if scores is not None and len(vector("scores", scores)) != len(labels):
        raise ValueError(f"scores: expected {len(labels)}, one a test image, got {len(scores)}")
    _note_leaks(category)
    threshold = model.threshold(alpha, if_too_few="fallback")
    scores = model.anomaly_scores(category.test) if scores is None else vector("scores", scores)
    false_alarms, detections = metrics.rates(labels, scores >= threshold.value)
    drawn, pixel_auroc, aupro, levels = None, None, None, None
    if maps:
        seen: Any = model  # an image-level method has no maps
        drawn = seen.anomaly_maps(category.test, **map_options)
        if map_options.get("method", seen.localizer.methods[0]) == "distance":
            levels = seen.map_levels(alpha, if_too_few="fallback")
        if category.has_masks:  # anomalous images without a mask would count as normal pixels
            known = [
                i for i, mask in enumerate(category.masks) if mask is not None or not labels[i]
            ]
            masks = [load_mask(category.masks[i], drawn.shape[-1]) for i in known]
            pixel_auroc = metrics.pixel_auroc(masks, list(drawn[known]))
            aupro = metrics.aupro(masks, list(drawn[known]))
    return Evaluation(
        category,
        scores,
        threshold,
        metrics.bootstrap(metrics.auroc, labels, scores),
        metrics.bootstrap(metrics.average_precision, labels, scores),
        false_alarms,
        detections,
        metrics.auroc_by_kind(category.kinds, scores),
        pixel_auroc,
        aupro,
        drawn,
        levels,
    )


def _note_leaks(category: Category) -> None:
    """Say so where figures may be too good."""
    if leaks := category.leaks():
        shown = some_names([path for path, _ in leaks])
        warnings.warn(
            f"{category.root}: {len(leaks)} test image(s) have the content of a training image: "
            f"{shown}; if the model has seen them, the figures are too good",
            stacklevel=3,
        )
