"""The check of lab 3 that knows the leak: which photographs were fitted on, which were scored?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from differnet_course.labs.answers import Answer
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_course.metrics import auroc

__all__ = ["honest"]

N_GOOD = 32
N_BAD = 10
D = 24
ROUNDS = 12  # splits that the leak is measured on


@dataclasses.dataclass(frozen=True)
class _Line:
    """Photographs of parts, two of each in random order: features, part numbers, kinds."""

    y: Tensor
    part: np.ndarray
    kind: np.ndarray

    @classmethod
    def drawn(cls, draw: Draw) -> _Line:
        kinds = np.array(["good"] * N_GOOD + ["scratch", "crack"] * (N_BAD // 2))
        numbers = draw.rng.permutation(len(kinds)) + 100
        centre = draw.normal(len(kinds), D)
        centre[N_GOOD:] *= 1.3
        shots = torch.cat([centre, centre + 0.35 * draw.normal(len(kinds), D)])
        order = draw.rng.permutation(2 * len(kinds))
        return cls(shots[order], np.tile(numbers, 2)[order], np.tile(kinds, 2)[order])


def honest(answer: Answer, draw: Draw) -> str:
    """Whether an evaluation of photographs (P, D) of parts keeps each part on one side.

    What the leak was worth is measured on the same made-up line, with the answer's own splits.
    """
    line = _Line.drawn(draw)
    good = line.kind == "good"
    trained, tested = _traced(answer, line, draw.integer(0, 10**6))
    if not good[trained].all():
        raise Wrong("photographs_defects_training", good=(~good[trained]).sum())
    if both := len(set(trained) & set(tested)):
        raise Wrong("photographs_trained_tested", both=both)
    twins = np.isin(line.part[tested], line.part[trained])
    if twins.any():
        raise Wrong(
            "leak_still",
            good=good[tested].sum(),
            twins=twins.sum(),
            reported=_reported(answer, line, draw),
            fair=_fair(line),
        )
    if missing := set(np.flatnonzero(~good)) - set(tested):
        raise Wrong("photographs_defects_neither", n_missing=len(missing))
    if unused := set(np.flatnonzero(good)) - set(trained) - set(tested):
        raise Wrong("no_leak_any", n_unused=len(unused))
    share = good[tested].sum() / good.sum()
    if not 0.15 < share < 0.4:
        raise Wrong("good_photographs_tested", share=share)
    splits = {frozenset(_traced(answer, line, seed)[0]) for seed in range(3)}
    if len(splits) == 1:
        raise Wrong("split_same_whatever")
    reported = _reported(answer, line, draw)
    photographs = np.mean([_split_by_photograph(line, seed) for seed in range(ROUNDS)])
    return (
        f"No part is on both sides. On a line that I made up, splitting by photographs reports "
        f"an AUROC of {photographs:.2f}, your evaluation {reported:.2f}: the leak flattered by "
        f"{photographs - reported:.2f}."
    )


def _traced(answer: Answer, line: _Line, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the photographs that were fitted on, and of those that were scored."""
    row_of = {tuple(row): k for k, row in enumerate(line.y.tolist())}
    trained: list[int] = []
    tested: list[int] = []

    def positions(rows: Any, function: str) -> list[int]:
        given = [row_of.get(tuple(row)) for row in torch.as_tensor(rows).tolist()]
        if None in given:
            raise Wrong("gets_rows_none", function=function)
        return [k for k in given if k is not None]

    def fit(rows: Any) -> Callable[[Any], np.ndarray]:
        if trained:
            raise Wrong("call_fit_more")
        trained.extend(positions(rows, "fit"))

        def score(test: Any) -> np.ndarray:
            now = positions(test, "score")
            tested.extend(now)
            return np.array(now, dtype=float)

        return score

    rng = np.random.default_rng(seed)
    labels, scores = map(np.asarray, answer.pair(line.y, line.part, line.kind, fit, rng))
    if not trained or not tested:
        raise Wrong("call_fit_training")
    if labels.shape != scores.shape or sorted(scores.astype(float)) != sorted(map(float, tested)):
        raise Wrong("return_labels_scores")
    if not np.array_equal(labels.astype(bool), line.kind[scores.astype(int)] != "good"):
        raise Wrong("labels_belong_scores")
    return np.array(trained), np.array(tested)


def _nearest(rows: Tensor) -> Callable[[Tensor], np.ndarray]:
    def score(test: Tensor) -> np.ndarray:
        return torch.cdist(torch.as_tensor(test), torch.as_tensor(rows)).min(1).values.numpy()

    return score


def _reported(answer: Answer, line: _Line, draw: Draw) -> float:
    """Mean AUROC by the answer, over random splits."""
    areas = []
    for _ in range(ROUNDS):
        rng = np.random.default_rng(draw.integer(0, 10**6))
        labels, scores = answer.pair(line.y, line.part, line.kind, _nearest, rng)
        areas.append(auroc(np.asarray(labels, dtype=bool), np.asarray(scores)))
    return float(np.mean(areas))


def _fair(line: _Line) -> float:
    """The AUROC if every photograph may see all good photographs of other parts."""
    gaps = torch.cdist(line.y, line.y).numpy()
    gaps[line.part[:, None] == line.part] = np.inf
    good = line.kind == "good"
    return auroc(~good, gaps[:, good].min(1))


def _split_by_photograph(line: _Line, seed: int) -> float:
    """The AUROC that the colleague would report."""
    bad = line.kind != "good"
    held_out = np.random.default_rng(seed).random(len(bad)) < 0.25
    test = held_out | bad
    return auroc(bad[test], _nearest(line.y[~test])(line.y[test]))
