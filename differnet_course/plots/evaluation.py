"""The HTML report of an evaluation: scores, ROC, extreme images with maps, training curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from differnet_course.plots.curves import plot_history
from differnet_course.plots.maps import plot_gallery
from differnet_course.plots.rates import plot_roc
from differnet_course.plots.report import write_report
from differnet_course.plots.scores import plot_scores
from differnet_lite.oldchecks import checked
from differnet_lite.images import decode

if TYPE_CHECKING:
    from differnet_lite.evaluation import Evaluation
    from differnet_lite.model import DifferNet

__all__ = ["evaluation_report"]

SHOWN = 8  # images in each gallery
NOTES = (
    "The threshold holds the false-alarm rate on average over calibration sets, if new normal "
    "images are exchangeable with the held-out ones.",
    "Labels were used for the figures in this report alone: "
    "no epoch, setting or threshold was chosen on them.",
)


@checked
def evaluation_report(
    path: str | Path, model: DifferNet, result: Evaluation, rows: Sequence[tuple[str, str]]
) -> Path:
    """Write the report of one category.

    Args:
        path: the HTML file; its folder exists.
        model: the fitted model, for its training curve.
        result: what `evaluate` found; with `maps=True` the extreme images are shown with theirs.
        rows: (label, value) pairs for the table at the top, such as `result.table()`.

    Returns:
        The path of the file.
    """
    category = result.category
    names = [f"{p.parent.name}/{p.name}" for p in category.test]
    figures = [
        (
            "Scores",
            "Each mark is a test image; the line is the threshold, "
            "chosen on scores of normal images by flows that had not seen them.",
            plot_scores(result.scores, category.kinds, threshold=result.threshold, names=names),
        ),
        (
            "ROC",
            "What detection rate each false-alarm rate buys, with a bootstrap band.",
            plot_roc(category.labels, result.scores),
        ),
        *_galleries(result, names),
        (
            "Training",
            "Loss of training and held-out normal images; it may be negative, being a log-density.",
            plot_history(model.history_),
        ),
    ]
    title = f"DifferNet on {category.name}"
    return write_report(path, title=title, summary=rows, figures=figures, notes=NOTES)


def _galleries(result: Evaluation, names: Sequence[str]) -> list[tuple[str, str, go.Figure]]:
    """The highest and the lowest scores with their maps, if there are any, on one scale."""
    if result.maps is None:
        return []
    levels = result.levels
    scale = None if levels else (0.0, float(np.quantile(result.maps, 0.999)))
    order = np.argsort(-result.scores)
    high = "The highest scores, with their maps on the scale of all maps in this report."
    low = "The lowest scores, on the same scale: little should glow here."
    if levels:
        high = (
            "The highest scores. Colour begins where 1 of 1,000 places of normal images reaches; "
            f"a line surrounds what {levels.alpha:.1%} of normal images reach anywhere at most."
        )
    found = []
    for heading, why, chosen in (
        ("Most anomalous", high, order[:SHOWN]),
        ("Most normal", low, order[::-1][:SHOWN]),
    ):
        images = [decode(result.category.test[i], 448).permute(1, 2, 0).numpy() for i in chosen]
        titles = [f"{names[i]}\nscore {result.scores[i]:.3g}" for i in chosen]
        maps = list(result.maps[chosen])
        found.append(
            (heading, why, plot_gallery(images, maps, titles=titles, levels=levels, scale=scale))
        )
    return found
