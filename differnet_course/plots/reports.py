"""HTML reports for anybody: of photographs without labels, and of a labelled test set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from differnet_course.folders import load_mask
from differnet_course.plots.curves import plot_history
from differnet_course.plots.maps import plot_gallery
from differnet_course.plots.rates import plot_roc
from differnet_course.plots.report import write_report
from differnet_course.plots.scores import plot_batch, plot_scores
from differnet_lite.images import as_rgb, image_size
from differnet_lite.maps import MapLevels
from differnet_lite.regions import regions_of
from differnet_lite.shown import too_many_flagged
from differnet_lite.thresholds import Judgement, Threshold

if TYPE_CHECKING:
    from differnet_course.evaluation import Evaluation
    from differnet_lite.detector import DifferNet

__all__ = ["evaluation_report", "score_report"]

COLUMNS = 5  # of a gallery
SHOWN = 10  # photographs in a gallery
NEAREST = 5  # photographs in the gallery of good ones
FLAGGED = 25  # photographs in the gallery of what is flagged
LISTED = 200  # rows of a table
RESAMPLES = 1000  # those of the table of an `Evaluation`: one AUROC has one interval
SCORE = (
    "A score says how unlike the good parts a photograph is; 1.30 x threshold is a score that lies "
    "30 % above the threshold."
)
DECISION = "A photograph is flagged if its score reaches the threshold."
SELECTION = (
    "The photographs were selected together by a false discovery rate, and not by the threshold: "
    "of those that are flagged, at most the share that was asked for is good, on average over "
    "such batches."
)
ROC = (
    "The share of defects that each false-alarm rate buys. The band shows how far the curve would "
    "move with other test photographs."
)
LOSS = "The loss in training and on held-out parts. A density may exceed 1, a loss be below 0."
LABELS = "No epoch, no setting and no threshold was chosen by the labels of the test photographs."


def score_report(
    path: str | os.PathLike[str],
    model: DifferNet,
    images: Sequence[str | os.PathLike[str]],
    judgement: Judgement,
    errors: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of photographs without labels: what is flagged, and where.

    Args:
        path: the HTML file, which is returned; its folder exists.
        model: fitted and calibrated.
        images: N paths of the photographs that were scored.
        judgement: what the model says of them.
        errors: path to reason for each file that could not be read.
    """
    threshold = judgement.threshold
    unreadable = errors or {}
    n_flagged = int(judgement.anomalous.sum())
    lead = f"Flags {n_flagged} of {_count(len(images), 'photograph')}."
    if unreadable:
        lead += f" {_count(len(unreadable), 'file')} could not be read."
    names = _names(images)
    # what is flagged first, and the highest score first in both parts
    order = np.lexsort((-judgement.scores, ~judgement.anomalous))
    calibration = model.calibration_scores_
    drawn = plot_batch(judgement.scores, calibration, threshold.value, names=names)
    by_threshold = np.array_equal(judgement.anomalous, judgement.scores >= threshold.value)
    rule = DECISION if by_threshold else SELECTION
    figures: list[tuple[str, str, go.Figure | Sequence[Sequence[str]]]] = [
        ("Scores", f"{SCORE} {rule} Grey: good parts that set the threshold.", drawn)
    ]
    if model.places_ is not None:
        paths = [images[i] for i in order]
        titles = [f"{names[i]}\n{_relative(judgement.scores[i], threshold)}" for i in order]
        levels = model.map_levels(threshold.alpha, if_too_few="fallback")
        for heading, part in (
            ("Flagged, highest score first", slice(min(n_flagged, FLAGGED))),
            ("Not flagged, but nearest to the threshold", slice(n_flagged, n_flagged + NEAREST)),
        ):
            if paths[part]:
                maps = list(model.iter_anomaly_maps(paths[part]))
                gallery = _gallery(paths[part], maps, titles[part], levels, model.white_)
                figures.append((heading, _colours(levels) if len(figures) == 1 else "", gallery))
    if n_flagged:
        table = _flagged_table(model, images, names, judgement, order[:n_flagged][:LISTED])
        p_value = (
            "The p-value is the share of good parts that look at least as unusual, as far as "
            f"{threshold.n} good photographs can tell. Marks are given in pixels."
        )
        shown = "All that is" if n_flagged <= LISTED else f"The first {LISTED} of what is"
        figures.append((f"{shown} flagged", p_value, table))
    if unreadable:
        table = [("file", "reason"), *unreadable.items()]
        figures.append(("Could not be read", "These files have no score.", table))
    rate = max(threshold.alpha, threshold.smallest_alpha)
    summary = [
        ("photographs", str(len(images))),
        ("flagged", str(n_flagged)),
        ("if all were good", f"about {rate * len(images):.3g} would reach the threshold"),
        ("not readable", str(len(unreadable))),
        ("threshold", f"{threshold.value:.4g}, from {_count(threshold.n, 'good photograph')}"),
    ]
    surprise = too_many_flagged(n_flagged, len(images), rate)
    if surprise and by_threshold:
        summary.append(("note", surprise))
    return write_report(
        path,
        title="Photographs, judged by DifferNet",
        lead=lead,
        summary=summary,
        figures=figures,
        notes=[_promise(threshold) if by_threshold else SELECTION],
    )


def evaluation_report(
    path: str | os.PathLike[str],
    model: DifferNet,
    result: Evaluation,
    rows: Sequence[tuple[str, str]],
) -> Path:
    """Write the report of a labelled test set: hits, misses and false alarms.

    Args:
        path: the HTML file, which is returned; its folder exists.
        model: the fitted model, for its training curve.
        result: of `evaluate`; with `maps=True` the report shows photographs with their maps.
        rows: (label, value) pairs for the table at the top, such as `result.table()`.
    """
    category = result.category
    threshold = result.threshold
    flagged = result.scores >= threshold.value
    labels = category.labels
    n_alarms = int((flagged & ~labels).sum())
    alarms = _count(n_alarms, "false alarm") if n_alarms else "no false alarm"
    lead = (
        f"Finds {(flagged & labels).sum()} of {_count(int(labels.sum()), 'defect')}, with {alarms} "
        f"in {_count(int((~labels).sum()), 'good part')}."
    )
    names = [f"{p.parent.name}/{p.name}" for p in category.test]
    log = min(result.scores.min(), threshold.value) > 0
    scores = plot_scores(result.scores, category.kinds, threshold=threshold, names=names, log=log)
    figures = [
        ("Scores", f"{SCORE} {DECISION} Each mark is a test photograph.", scores),
        ("ROC", ROC, plot_roc(labels, result.scores, n_resamples=RESAMPLES)),
        *_galleries(model, result, names, flagged),
        ("Training", LOSS, plot_history(model.history_)),
    ]
    return write_report(
        path,
        title=f"DifferNet on {category.name}",
        lead=lead,
        summary=rows,
        figures=figures,
        notes=[_promise(threshold), LABELS],
    )


def _galleries(
    model: DifferNet, result: Evaluation, names: Sequence[str], flagged: np.ndarray
) -> list[tuple[str, str, go.Figure]]:
    """Misses, false alarms, hits and good parts, as far as there are any, with their maps."""
    if result.maps is None:
        return []
    category = result.category
    labels = category.labels
    order = np.argsort(-result.scores)
    missed = order[(labels & ~flagged)[order]]
    hits = order[(labels & flagged)[order]]
    evenly = np.unique(np.linspace(0, len(hits) - 1, min(SHOWN, len(hits))).astype(int))
    groups = [
        ("Missed defects, lowest score first", missed[::-1][:SHOWN]),
        ("False alarms, highest score first", order[(~labels & flagged)[order]][:SHOWN]),
        ("Defects that are found, from the highest score to the lowest", hits[evenly]),
        ("Good parts, highest score first", order[(~labels & ~flagged)[order]][:NEAREST]),
    ]
    sections: list[tuple[str, str, go.Figure]] = []
    for heading, chosen in groups:
        if not len(chosen):
            continue
        masks = [category.masks[i] for i in chosen]
        pictures = [category.test[i] for i in chosen]
        titles = [f"{names[i]}\n{_relative(result.scores[i], result.threshold)}" for i in chosen]
        maps = list(result.maps[chosen])
        gallery = _gallery(pictures, maps, titles, result.levels, model.white_, masks)
        words = _colours(result.levels) if not sections else ""
        outline = " Blue: the outline of the defect in its mask." if any(masks) else ""
        sections.append((heading, words + outline, gallery))
    return sections


def _flagged_table(
    model: DifferNet,
    images: Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    judgement: Judgement,
    flagged: np.ndarray,
) -> list[tuple[str, ...]]:
    """A row for each flagged photograph, with its marks if the model draws maps."""
    table: list[tuple[str, ...]] = [("photograph", "score", "p-value")]
    for i in flagged:
        score = _relative(judgement.scores[i], judgement.threshold)
        table.append((names[i], score, f"{judgement.p_values[i]:.3g}"))
    if model.places_ is None:
        return table
    level = model.map_levels(judgement.threshold.alpha, if_too_few="fallback").level
    paths = [images[i] for i in flagged]
    marks = ["marks, the largest first"]
    for path, values in zip(paths, model.iter_anomaly_maps(paths), strict=True):
        regions = regions_of(values, level, image_size(path))
        boxes = [region.box for region in sorted(regions, key=lambda region: -region.area)]
        texts = [f"{width} x {height} px at ({x}, {y})" for x, y, width, height in boxes]
        marks.append("; ".join(texts[:3]) or "none")
    return [(*row, mark) for row, mark in zip(table, marks, strict=True)]


def _promise(threshold: Threshold) -> str:
    """What the threshold promises, and under which condition."""
    condition = (
        "This holds for parts that are photographed like the good photographs that set the "
        "threshold: the same product, camera and light."
    )
    if threshold.guaranteed is not None:
        return (
            f"Of new good parts at most {threshold.guaranteed:.1%} are flagged, on average over "
            f"such thresholds. This is proved, for any distribution of the scores. {condition}"
        )
    if threshold.rule == "cross-conformal":
        rate = max(threshold.alpha, threshold.smallest_alpha)
        return (
            f"Of new good parts about {rate:.1%} or fewer are flagged. This was measured with many "
            "sets of good photographs, it is not proved: the flows that scored a photograph had "
            f"not seen it, but they had seen the others. {condition}"
        )
    return "This threshold promises no rate of false alarms."


def _colours(levels: MapLevels | None) -> str:
    if levels is None:
        return "All maps share one scale of colours."
    return (
        "Colour begins where 1 of 1,000 places of good parts reaches. A line surrounds what is "
        f"marked: of good parts at most {levels.alpha:.0%} have a mark. Score and map are two "
        "measures: a photograph may be flagged and have no mark."
    )


def _relative(score: float, threshold: Threshold) -> str:
    """A score in units of the threshold, where that makes sense."""
    if threshold.value > 0:
        return f"{score / threshold.value:.2f} x threshold"
    return f"score {score:.3g}"


def _gallery(
    paths: Sequence[str | os.PathLike[str]],
    maps: Sequence[np.ndarray],
    titles: Sequence[str],
    levels: MapLevels | None,
    white: float | None,
    masks: Sequence[Path | None] = (),
) -> go.Figure:
    """Photographs with their maps; small copies, so that many large ones fit into memory."""
    pictures = []
    for path in paths:
        picture = as_rgb(path, white)
        picture.thumbnail((448, 448))
        pictures.append(picture)
    outlines = [None if mask is None else load_mask(mask) for mask in masks] or None
    return plot_gallery(
        pictures, maps, titles=titles, levels=levels, masks=outlines, columns=COLUMNS
    )


def _names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Paths from the folder that they share."""
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath(parents) if parents else ""
    return [Path(os.path.relpath(path, shared)).as_posix() for path in paths]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
