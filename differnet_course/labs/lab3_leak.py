"""The check of lab 3 that knows the leak: which photographs were fitted on, which were scored?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from differnet_course.labs.answers import Answer
from differnet_course.labs.exercises import Draw, Wrong, wrong_if
from differnet_course.metrics import auroc

__all__ = ["honest"]

N_GOOD = 32
N_BAD = 10
D = 24
ROUNDS = 12  # splits that the leak is measured on


class _Line(NamedTuple):
    """Photographs of parts: features, part numbers, kinds."""

    y: Tensor
    part: np.ndarray
    kind: np.ndarray


def _line(draw: Draw) -> _Line:
    """Two photographs of each part, in random order."""
    kinds = np.array(["good"] * N_GOOD + ["scratch", "crack"] * (N_BAD // 2))
    numbers = draw.rng.permutation(len(kinds)) + 100
    centre = draw.normal(len(kinds), D)
    centre[N_GOOD:] *= 1.3
    shots = torch.cat([centre, centre + 0.35 * draw.normal(len(kinds), D)])
    order = draw.rng.permutation(2 * len(kinds))
    return _Line(shots[order], np.tile(numbers, 2)[order], np.tile(kinds, 2)[order])


def honest(answer: Answer, draw: Draw) -> str:
    """Whether an evaluation of photographs (P, D) of parts keeps each part on one side.

    What the leak was worth is measured on the same made-up line, with the answer's own splits.
    """
    line = _line(draw)
    good = line.kind == "good"
    trained, tested = _traced(answer, line, draw.integer(0, 10**6))
    bad = (~good[trained]).sum()
    wrong_if(bad, "trained_on_defects", bad=bad)
    both = len(set(trained) & set(tested))
    wrong_if(both, "trained_and_tested", both=both)
    if twins := np.isin(line.part[tested], line.part[trained]).sum():
        reported = _reported(answer, line, draw)
        good_tested = good[tested].sum()
        raise Wrong("leak", good=good_tested, twins=twins, reported=reported, fair=_fair(line))
    missing = len(set(np.flatnonzero(~good)) - set(tested))
    wrong_if(missing, "defects_unused", missing=missing)
    unused = len(set(np.flatnonzero(good)) - set(trained) - set(tested))
    wrong_if(unused, "photographs_unused", unused=unused)
    share = good[tested].sum() / good.sum()
    wrong_if(not 0.15 < share < 0.4, "other_share", share=share)
    splits = {frozenset(_traced(answer, line, seed)[0]) for seed in range(3)}
    wrong_if(len(splits) == 1, "split_fixed")
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
        given = [row_of.get(tuple(row), -1) for row in torch.as_tensor(rows).tolist()]
        wrong_if(-1 in given, "other_rows", function=function)
        return given

    def fit(rows: Any) -> Callable[[Any], np.ndarray]:
        wrong_if(trained, "fit_twice")
        trained.extend(positions(rows, "fit"))

        def score(test: Any) -> np.ndarray:
            now = positions(test, "score")
            tested.extend(now)
            return np.array(now, dtype=float)

        return score

    rng = np.random.default_rng(seed)
    labels, scores = map(np.asarray, answer.pair(*line, fit, rng))
    wrong_if(not trained or not tested, "fit_not_called")
    whole = labels.shape == scores.shape and sorted(scores.astype(int)) == sorted(tested)
    wrong_if(not whole, "rows_not_scored")
    right = line.kind[scores.astype(int)] != "good"
    wrong_if(not np.array_equal(labels.astype(bool), right), "other_labels")
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
        labels, scores = answer.pair(*line, _nearest, rng)
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
