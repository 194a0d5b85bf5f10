"""HTML reports for anybody: of photographs without labels, and of a labelled test set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from differnet_course.folders import load_mask
from differnet_course.plots.curves import plot_curves
from differnet_course.plots.maps import plot_gallery
from differnet_course.plots.rates import plot_roc
from differnet_course.plots.report import Section, write_report
from differnet_course.plots.scores import plot_scores
from differnet_lite.images import as_rgb
from differnet_lite.maps import MapLevels
from differnet_lite.shown import too_many_flagged
from differnet_lite.thresholds import Judgement, Threshold

if TYPE_CHECKING:
    from differnet_course.evaluation import Evaluation
    from differnet_lite.detector import DifferNet


Groups = Mapping[str, np.ndarray]  # heading to the photographs below it
SHOWN = 10  # photographs in a gallery
NEAREST = 5  # photographs in the gallery of good ones
FLAGGED = 25  # photographs in the gallery of what is flagged
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
P_VALUE = (
    "The p-value is the share of good parts that look at least as unusual, as far as {} good "
    "photographs can tell."
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
        path: the HTML file, which is returned; its folder exists.
        images: N paths of the photographs that the fitted, calibrated model has judged.
        errors: path to reason for each file that could not be read.
    """
    threshold = judgement.threshold
    scores = judgement.scores
    names = _names(images)
    n_flagged = int(judgement.anomalous.sum())
    # what is flagged first, and the highest score first in both parts
    order = np.lexsort((-scores, ~judgement.anomalous))
    by_threshold = np.array_equal(judgement.anomalous, scores >= threshold.value)
    rule = DECISION if by_threshold else SELECTION
    good = model.calibration_scores_
    kinds = ["good"] * len(good) + ["to judge"] * len(scores)
    both = np.concatenate([good, scores])
    marks = [f"good {i}" for i in range(len(good))] + names
    line = threshold if by_threshold else None
    drawn = plot_scores(both, kinds, names=marks, threshold=line)
    sections: list[Section] = [
        ("Scores", f"{SCORE} {rule} Good: the photographs that set the threshold.", drawn)
    ]
    words = [f"{score / threshold.value:.2f} x threshold" for score in scores]
    if model.places_ is not None:
        groups = {
            "Flagged, highest score first": order[:n_flagged][:FLAGGED],
            "Not flagged, but nearest to the threshold": order[n_flagged:][:NEAREST],
        }
        levels = model.map_levels(threshold.alpha, if_too_few="fallback")
        titles = [f"{name}\n{word}" for name, word in zip(names, words, strict=True)]

        def draw(chosen: np.ndarray) -> list[np.ndarray]:
            return list(model.iter_anomaly_maps([images[i] for i in chosen]))

        sections += _galleries(groups, images, titles, draw, levels, model.white_)
    if n_flagged:
        rows = [(names[i], words[i], f"{judgement.p_values[i]:.3g}") for i in order[:n_flagged]]
        table = [("photograph", "score", "p-value"), *rows]
        sections.append(("All that is flagged", P_VALUE.format(threshold.n), table))
    lead = f"Flags {n_flagged} of {_count(len(images), 'photograph')}."
    if errors:
        lead += f" {_count(len(errors), 'file')} could not be read."
        unread = [("file", "reason"), *errors.items()]
        sections.append(("Could not be read", "These files have no score.", unread))
    rate = max(threshold.alpha, threshold.smallest_alpha)
    summary = [
        ("photographs", str(len(images))),
        ("flagged", str(n_flagged)),
        ("if all were good", f"about {rate * len(images):.3g} would reach the threshold"),
        ("not readable", str(len(errors or {}))),
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
        sections=sections,
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
        result: of `evaluate`; with `maps=True` the report shows photographs with their maps.
        rows: (label, value) pairs for the table at the top, such as `result.table()`.
    """
    category = result.category
    threshold = result.threshold
    scores = result.scores
    flagged = scores >= threshold.value
    labels = category.labels
    n_alarms = int((flagged & ~labels).sum())
    alarms = _count(n_alarms, "false alarm") if n_alarms else "no false alarm"
    lead = (
        f"Finds {(flagged & labels).sum()} of {_count(int(labels.sum()), 'defect')}, with {alarms} "
        f"in {_count(int((~labels).sum()), 'good part')}."
    )
    names = [f"{p.parent.name}/{p.name}" for p in category.test]
    drawn = plot_scores(scores, category.kinds, names=names, threshold=threshold)
    sections: list[Section] = [
        ("Scores", f"{SCORE} {DECISION} Each mark is a test photograph.", drawn),
        ("ROC", ROC, plot_roc(labels, scores, n_resamples=RESAMPLES)),
    ]
    maps = result.maps
    if maps is not None and result.levels is not None:
        order = np.argsort(-scores)
        hits = order[(labels & flagged)[order]]
        evenly = np.unique(np.linspace(0, len(hits) - 1, min(SHOWN, len(hits))).astype(int))
        missed = order[(labels & ~flagged)[order]]
        groups = {
            "Missed defects, lowest score first": missed[::-1][:SHOWN],
            "False alarms, highest score first": order[(~labels & flagged)[order]][:SHOWN],
            "Defects that are found, from the highest score to the lowest": hits[evenly],
            "Good parts, highest score first": order[(~labels & ~flagged)[order]][:NEAREST],
        }
        words = [f"{score / threshold.value:.2f} x threshold" for score in scores]
        titles = [f"{name}\n{word}" for name, word in zip(names, words, strict=True)]

        def draw(chosen: np.ndarray) -> list[np.ndarray]:
            return list(maps[chosen])

        sections += _galleries(
            groups, category.test, titles, draw, result.levels, model.white_, category.masks
        )
    history = model.history_
    named = {"training": history["train"], "held out": history["held_out"]}
    curves = {name: values for name, values in named.items() if values}
    y_title = "loss (nats per dimension)"
    losses = plot_curves(history["epoch"], curves, x_title="epoch", y_title=y_title)
    sections.append(("Training", LOSS, losses))
    return write_report(
        path,
        title=f"DifferNet on {category.name}",
        lead=lead,
        summary=rows,
        sections=sections,
        notes=[_promise(threshold), LABELS],
    )


def _galleries(
    groups: Groups,
    paths: Sequence[str | os.PathLike[str]],
    titles: Sequence[str],
    draw: Callable[[np.ndarray], list[np.ndarray]],
    levels: MapLevels,
    white: float | None,
    masks: Sequence[Path | None] = (),
) -> list[Section]:
    """A section for each group that is not empty: photographs with the maps that `draw` makes."""
    explanation = (
        "Colour begins where 1 of 1,000 places of good parts reaches. A line surrounds what is "
        f"marked: of good parts at most {levels.alpha:.0%} have a mark. Score and map are two "
        "measures: a photograph may be flagged and have no mark."
    )
    if masks:
        explanation += " Blue: the outline of the defect in its mask."
    sections: list[Section] = []
    for heading, chosen in groups.items():
        if not len(chosen):
            continue
        pictures = [as_rgb(paths[i], white) for i in chosen]
        for picture in pictures:
            picture.thumbnail((448, 448))
        outlines = [load_mask(masks[i]) if masks and masks[i] else None for i in chosen]
        words = [titles[i] for i in chosen]
        gallery = plot_gallery(
            pictures, draw(chosen), titles=words, levels=levels, masks=outlines, columns=5
        )
        sections.append((heading, "" if sections else explanation, gallery))
    return sections


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
    rate = max(threshold.alpha, threshold.smallest_alpha)
    return (
        f"Of new good parts about {rate:.1%} or fewer are flagged. This was measured with many "
        "sets of good photographs, it is not proved: the flows that scored a photograph had "
        f"not seen it, but they had seen the others. {condition}"
    )


def _names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Paths from the folder that they share."""
    parents = [os.path.dirname(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath(parents) if parents else ""
    return [Path(os.path.relpath(path, shared)).as_posix() for path in paths]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
