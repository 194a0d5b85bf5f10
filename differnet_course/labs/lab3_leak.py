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
from differnet_lite.metrics import auroc

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
        raise Wrong(
            f"{(~good[trained]).sum()} photographs of defects are in the training set. The "
            "detector must learn from good parts alone."
        )
    if both := len(set(trained) & set(tested)):
        raise Wrong(f"{both} photographs are trained on and tested: the plainest of leaks.")
    twins = np.isin(line.part[tested], line.part[trained])
    if twins.any():
        raise Wrong(
            f"The leak is still there: of {good[tested].sum()} normal test photographs, "
            f"{twins.sum()} show a part of which another photograph was trained on. On a line that "
            f"I made up your AUROC is {_reported(answer, line, draw):.2f}, with no part on both "
            f"sides {_fair(line):.2f}. What is it that must be divided at random: photographs?"
        )
    if missing := set(np.flatnonzero(~good)) - set(tested):
        raise Wrong(f"{len(missing)} photographs of defects are neither trained on nor tested.")
    if unused := set(np.flatnonzero(good)) - set(trained) - set(tested):
        raise Wrong(
            f"No leak any more, but {len(unused)} good photographs are thrown away. Both shots of "
            "a part may be used, if they are on the same side."
        )
    share = good[tested].sum() / good.sum()
    if not 0.15 < share < 0.4:
        raise Wrong(f"{share:.0%} of the good photographs are tested; keep to about a quarter.")
    splits = {frozenset(_traced(answer, line, seed)[0]) for seed in range(3)}
    if len(splits) == 1:
        raise Wrong(
            "The split is the same whatever `rng` is. Draw it at random, or the order of the "
            "photographs (by date, by shift) decides what is tested."
        )
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
            raise Wrong(
                f"`{function}` gets rows that are none of y. Hand over rows of y unchanged: "
                "whatever is learnt from data, a mean or a scale too, belongs into `fit`."
            )
        return [k for k in given if k is not None]

    def fit(rows: Any) -> Callable[[Any], np.ndarray]:
        if trained:
            raise Wrong("You call `fit` more than once. One detector, one test set.")
        trained.extend(positions(rows, "fit"))

        def score(test: Any) -> np.ndarray:
            now = positions(test, "score")
            tested.extend(now)
            return np.array(now, dtype=float)

        return score

    rng = np.random.default_rng(seed)
    labels, scores = map(np.asarray, answer.pair(line.y, line.part, line.kind, fit, rng))
    if not trained or not tested:
        raise Wrong(
            "Call `fit` on the training rows, and the score that it gives on the test rows."
        )
    if labels.shape != scores.shape or sorted(scores.astype(float)) != sorted(map(float, tested)):
        raise Wrong("Return the labels and the scores of all test rows, one of each for every row.")
    if not np.array_equal(labels.astype(bool), line.kind[scores.astype(int)] != "good"):
        raise Wrong(
            "The labels do not belong to the scores: a label is True where the part is defective, "
            "in the order of the test rows."
        )
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
