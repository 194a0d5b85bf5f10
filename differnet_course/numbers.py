"""One story of numbers: what each notebook's model is, and what it found, side by side.

A notebook prints its line with `in_numbers`; `stored_numbers` collects the lines that the stored
notebooks of a folder printed when they were last executed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite import DifferNet
from differnet_lite.checks import vector

__all__ = ["in_numbers", "stored_numbers"]

MARK = "in numbers:"
COLUMNS = "category      views epochs   rate noise trained on   n median  theta   alarms detected"
WIDTHS = (8, 10, 6, 6, 5, 10, 3, 6, 6, 8, 8)


def in_numbers(
    category: str, model: DifferNet, scores: ArrayLike, labels: ArrayLike, *, alpha: float = 0.05
) -> str:
    """What a model is, and what it found, on one line below a header.

    Args:
        category: its name, for the first column.
        model: fitted, with calibration scores.
        scores: (N,) its anomaly scores of test images.
        labels: (N,) bool, True for an anomaly; normal and anomalous ones are needed.
        alpha: rate of false alarms of the threshold.

    Returns:
        A mark, a header and a line: views, epochs and learning rate, noise on the features; how
        many images train, how many calibrate (n); the median score of normal test images; the
        threshold theta, and how many normal and anomalous test images reach it.
    """
    scores = vector("scores", scores)
    labels = np.asarray(labels, dtype=bool)
    if scores.shape != labels.shape or labels.all() or not labels.any():
        raise ValueError(
            "scores and labels: expected one label for each score, and labels of both kinds, "
            f"got {len(scores)} scores and {labels.sum()} anomalous of {labels.size} labels"
        )
    settings = model.settings
    theta = model.threshold(alpha).value
    moved = settings.transformations.zoom or settings.transformations.shift
    turned = len(np.unique(np.round(model.angles_, 6))) > 1
    kind = "upright" if not turned else "both" if moved else "turned"
    cells = (
        category,
        f"{len(model.angles_)} {kind}",
        str(settings.epochs),
        f"{settings.learning_rate:g}",
        f"{settings.noise:g}",
        str(model.n_train_),
        str(len(model.calibration_scores_)),
        f"{np.median(scores[~labels]):.2f}",
        f"{theta:.2f}",
        f"{np.sum(scores[~labels] >= theta)} of {np.sum(~labels)}",
        f"{np.sum(scores[labels] >= theta)} of {labels.sum()}",
    )
    row = " ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return f"{MARK}\n{COLUMNS}\n{row}"


def stored_numbers(folder: str | os.PathLike[str] = ".", *, besides: str = "") -> str:
    """The lines of `in_numbers` that the notebooks in a folder printed, as they are stored there.

    Args:
        folder: with the course's notebooks, `*.ipynb`.
        besides: the number of a notebook that is left out, such as "09": the one that asks.

    Returns:
        A header, and a line for each notebook that printed one, its number in front.

    Raises:
        FileNotFoundError: no notebook of the folder holds such a line.
    """
    rows = []
    for path in sorted(Path(folder).glob("*.ipynb")):
        if path.stem[:2] == besides:
            continue
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", ()):
                lines = "".join(output.get("text", ())).splitlines()
                rows += [
                    f"{path.stem[:2]:8} {lines[k + 2]}"
                    for k, line in enumerate(lines[:-2])
                    if line == MARK and lines[k + 1] == COLUMNS
                ]
    if not rows:
        raise FileNotFoundError(
            f"{folder}: expected the course's notebooks, executed, found no line of numbers in any "
            "other; name the folder `notebooks` of a checkout"
        )
    return "\n".join([f"{'notebook':8} {COLUMNS}", *rows])
