"""HTML reports for anybody: of photographs without labels, and of a labelled test set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from differnet_course.plots.curves import plot_history
from differnet_course.plots.maps import plot_gallery
from differnet_course.plots.rates import plot_roc
from differnet_course.plots.report import write_report
from differnet_course.plots.scores import plot_batch, plot_scores
from differnet_lite.images import as_rgb
from differnet_lite.maps import MapLevels
from differnet_lite.masks import load_mask
from differnet_lite.thresholds import Judgement, Threshold

if TYPE_CHECKING:
    from differnet_lite.detector import DifferNet
    from differnet_lite.evaluation import Evaluation

__all__ = ["evaluation_report", "score_report"]

SHOWN = 8  # images in a gallery
FLAGGED = 24  # images in the gallery of what is flagged
LISTED = 200  # rows of a table
RESAMPLES = 1000  # those of the table of an `Evaluation`: one AUROC has one interval
SCORE = (
    "A score says how unlike the good parts a photograph is. A photograph is flagged if its score "
    "reaches the threshold; 1.30 x threshold is a score that lies 30 % above it."
)
LABELS = (
    "The labels of the test photographs serve this report alone: no epoch, no setting and no "
    "threshold was chosen by them."
)


def score_report(
    path: str | os.PathLike[str],
    model: DifferNet,
    images: Sequence[str | os.PathLike[str]],
    judgement: Judgement,
    errors: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of photographs without labels: what is flagged, and where.

    Args:
        path: the HTML file; its folder exists.
        model: fitted and calibrated.
        images: N paths of the photographs that were scored.
        judgement: what the model says of them.
        errors: path to reason for each file that could not be read.

    Returns:
        The path of the file.
    """
    threshold = judgement.threshold
    unreadable = errors or {}
    n_flagged = int(judgement.anomalous.sum())
    lead = f"Flags {n_flagged} of {_count(len(images), 'photograph')}."
    if unreadable:
        lead += f" {_count(len(unreadable), 'file')} could not be read."
    names = _names(images)
    order = np.argsort(-judgement.scores)
    flagged = order[judgement.anomalous[order]]
    others = order[~judgement.anomalous[order]]
    calibration = np.asarray(model.calibration_scores_)
    drawn = plot_batch(judgement.scores, calibration, threshold.value, names=names)
    figures: list[tuple[str, str, go.Figure | Sequence[Sequence[str]]]] = [
        ("Scores", f"{SCORE} Grey: good parts that set the threshold.", drawn)
    ]
    levels = model.map_levels(threshold.alpha, if_too_few="fallback")
    titles = [
        f"{name}\n{_relative(score, threshold)}"
        for name, score in zip(names, judgement.scores, strict=True)
    ]
    for heading, chosen in (
        ("Flagged, highest score first", flagged[:FLAGGED]),
        ("Not flagged, but nearest to the threshold", others[: SHOWN // 2]),
    ):
        if len(chosen):
            pictures = [images[i] for i in chosen]
            maps = list(model.anomaly_maps(pictures))
            shown = [titles[i] for i in chosen]
            gallery = plot_gallery(_photographs(pictures), maps, titles=shown, levels=levels)
            figures.append((heading, _colours(levels), gallery))
    if len(flagged):
        table = _flagged_table(model, images, names, judgement, flagged[:LISTED])
        p_value = "p: the share of good parts that look at least as unusual, as far as n tell."
        figures.append(("All that is flagged", p_value, table))
    if unreadable:
        listed = list(unreadable.items())[:LISTED]
        rows = [("file", "reason"), *listed]
        figures.append(("Could not be read", "These files have no score.", rows))
    expected = max(threshold.alpha, threshold.smallest_alpha) * len(images)
    summary = [
        ("photographs", str(len(images))),
        ("flagged", str(n_flagged)),
        ("if all were good", f"about {expected:.3g} would be flagged on average"),
        ("not readable", str(len(unreadable))),
        ("threshold", f"{threshold.value:.4g}, from {_count(threshold.n, 'good photograph')}"),
    ]
    return write_report(
        path,
        title="Photographs, judged by DifferNet",
        lead=lead,
        summary=summary,
        figures=figures,
        notes=[_promise(threshold)],
    )


def evaluation_report(
    path: str | os.PathLike[str],
    model: DifferNet,
    result: Evaluation,
    rows: Sequence[tuple[str, str]],
) -> Path:
    """Write the report of a labelled test set: hits, misses and false alarms.

    Args:
        path: the HTML file; its folder exists.
        model: the fitted model, for its training curve.
        result: of `evaluate`; with `maps=True` the report shows photographs with their maps.
        rows: (label, value) pairs for the table at the top, such as `result.table()`.

    Returns:
        The path of the file.
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
        ("Scores", f"{SCORE} Each mark is a test photograph.", scores),
        (
            "ROC",
            "The share of defects that each false-alarm rate buys. The band shows how far the "
            "curve would move with other test photographs.",
            plot_roc(labels, result.scores, n_resamples=RESAMPLES),
        ),
        *_galleries(result, names, flagged),
        (
            "Training",
            "The loss in training and on held-out good photographs. It may be negative, as a "
            "density may exceed 1.",
            plot_history(model.history_),
        ),
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
    result: Evaluation, names: Sequence[str], flagged: np.ndarray
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
        ("Good parts, highest score first", order[(~labels & ~flagged)[order]][: SHOWN // 2]),
    ]
    sections = []
    for heading, chosen in groups:
        if not len(chosen):
            continue
        masks = [category.masks[i] for i in chosen]
        gallery = plot_gallery(
            _photographs(category.test[i] for i in chosen),
            list(result.maps[chosen]),
            titles=[f"{names[i]}\n{_relative(result.scores[i], result.threshold)}" for i in chosen],
            levels=result.levels,
            masks=[None if mask is None else load_mask(mask) for mask in masks],
        )
        outline = " Blue: the outline of the defect in its mask." if any(masks) else ""
        sections.append((heading, _colours(result.levels) + outline, gallery))
    return sections


def _flagged_table(
    model: DifferNet,
    images: Sequence[str | os.PathLike[str]],
    names: Sequence[str],
    judgement: Judgement,
    flagged: np.ndarray,
) -> list[tuple[str, ...]]:
    """A row for each flagged photograph; with the number of regions if the model gives regions."""
    table: list[tuple[str, ...]] = [("photograph", "score", "p-value")]
    for i in flagged:
        score = _relative(judgement.scores[i], judgement.threshold)
        table.append((names[i], score, f"{judgement.p_values[i]:.3g}"))
    if hasattr(model, "regions"):
        regions = model.regions([images[i] for i in flagged], alpha=judgement.threshold.alpha)
        counts = ["regions", *(str(len(areas)) for areas in regions)]
        table = [(*row, count) for row, count in zip(table, counts, strict=True)]
    return table


def _promise(threshold: Threshold) -> str:
    """What the threshold promises, and under which condition."""
    rate = max(threshold.alpha, threshold.smallest_alpha)
    condition = (
        "This holds for parts that are photographed like the good photographs that set the "
        "threshold: the same product, camera and light."
    )
    if threshold.guaranteed is not None:
        certainty = "on average over such thresholds" if threshold.rule == "conformal" else ""
        certainty = certainty or "with the confidence that was asked for"
        return (
            f"Of new good parts at most {threshold.guaranteed:.1%} are flagged, {certainty}. This "
            f"is proved, for any distribution of the scores. {condition}"
        )
    if threshold.rule == "cross-conformal":
        return (
            f"Of new good parts about {rate:.1%} or fewer are flagged. This was measured with many "
            "sets of good photographs, it is not proved: each photograph that sets the threshold "
            f"was scored by flows that had not seen it, but had seen the others. {condition}"
        )
    return "This threshold promises no rate of false alarms."


def _colours(levels: MapLevels | None) -> str:
    if levels is None:
        return "All maps share one scale of colours."
    return (
        "Colour begins where 1 of 1,000 places of good parts reaches. A line surrounds what the "
        f"map of a good part reaches anywhere in {levels.alpha:.1%} of good parts at most."
    )


def _relative(score: float, threshold: Threshold) -> str:
    """A score in units of the threshold, where that makes sense."""
    if threshold.value > 0:
        return f"{score / threshold.value:.2f} x threshold"
    return f"score {score:.3g}"


def _photographs(paths: Iterable[str | os.PathLike[str]]) -> list[np.ndarray]:
    """Small copies, so that many large photographs fit into memory."""
    pictures = []
    for path in paths:
        picture = as_rgb(path)
        picture.thumbnail((448, 448))
        pictures.append(np.asarray(picture))
    return pictures


def _names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Paths from the folder that they share."""
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath(parents) if parents else ""
    return [Path(os.path.relpath(path, shared)).as_posix() for path in paths]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
