"""The check of lab 3 that knows the leak: which photographs were fitted on, which were scored?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from differnet_course.labs.comparing import pair
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.metrics import auroc

__all__ = ["honest"]

N_GOOD, N_BAD, D = 32, 10, 24
ROUNDS = 12  # splits that the leak is measured on


def honest(answer: Any, draw: Draw) -> str:
    """Whether an evaluation of photographs (P, D) of parts keeps each part on one side.

    What the leak was worth is measured on the same made-up line, with the answer's own splits.
    """
    y, part, kind = _line(draw)
    row_of = {tuple(row): k for k, row in enumerate(y.tolist())}
    trained, tested = _traced(answer, y, part, kind, row_of, draw.integer(0, 10**6))
    good = kind == "good"
    if not good[trained].all():
        raise Wrong(
            f"{(~good[trained]).sum()} photographs of defects are in the training set. The "
            "detector must learn from good parts alone."
        )
    if set(trained) & set(tested):
        both = len(set(trained) & set(tested))
        raise Wrong(f"{both} photographs are trained on and tested: the plainest of leaks.")
    twins = np.isin(part[tested], part[trained])
    if twins.any():
        reported, fair = _worth(answer, y, part, kind, draw)
        raise Wrong(
            f"The leak is still there: of {good[tested].sum()} normal test photographs, "
            f"{twins.sum()} show a part of which another photograph was trained on. On a line that "
            f"I made up your AUROC is {reported:.2f}, with no part on both sides {fair:.2f}. What "
            "is it that must be divided at random: photographs?"
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
    again = [_traced(answer, y, part, kind, row_of, seed)[0] for seed in range(3)]
    if all(set(one) == set(again[0]) for one in again):
        raise Wrong(
            "The split is the same whatever `rng` is. Draw it at random, or the order of the "
            "photographs (by date, by shift) decides what is tested."
        )
    reported, _ = _worth(answer, y, part, kind, draw)
    photographs = np.mean([_split_by_photograph(y, kind, seed) for seed in range(ROUNDS)])
    return (
        f"No part is on both sides. On a line that I made up, splitting by photographs reports "
        f"an AUROC of {photographs:.2f}, your evaluation {reported:.2f}: the leak flattered by "
        f"{photographs - reported:.2f}."
    )


def _line(draw: Draw) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Two shots of each part, in random order: features, part numbers, kinds."""
    kinds = np.array(["good"] * N_GOOD + ["scratch", "crack"] * (N_BAD // 2))
    numbers = draw.rng.permutation(len(kinds)) + 100
    centre = draw.normal(len(kinds), D)
    centre[N_GOOD:] *= 1.3
    shots = torch.cat([centre, centre + 0.35 * draw.normal(len(kinds), D)])
    order = draw.rng.permutation(2 * len(kinds))
    return shots[order], np.tile(numbers, 2)[order], np.tile(kinds, 2)[order]


def _traced(
    answer: Any, y: Tensor, part: np.ndarray, kind: np.ndarray, row_of: dict, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the photographs that were fitted on, and of those that were scored."""
    trained: list[int] = []
    tested: list[int] = []

    def positions(rows: Any, where: str) -> list[int]:
        found = [row_of.get(tuple(row)) for row in torch.as_tensor(rows).tolist()]
        if None in found:
            raise Wrong(
                f"`{where}` gets rows that are none of y. Hand over rows of y unchanged: whatever "
                "is learnt from data, a mean or a scale too, belongs into `fit`."
            )
        return [k for k in found if k is not None]

    def fit(rows: Any) -> Callable[[Any], np.ndarray]:
        if trained:
            raise Wrong("You call `fit` more than once. One detector, one test set.")
        trained.extend(positions(rows, "fit"))

        def score(test: Any) -> np.ndarray:
            here = positions(test, "score")
            tested.extend(here)
            return np.array(here, dtype=float)

        return score

    rng = np.random.default_rng(seed)
    labels, scores = pair(answer, y, part, kind, fit, rng, name="honest_evaluation")
    if not trained or not tested:
        raise Wrong(
            "Call `fit` on the training rows, and the score that it gives on the test rows."
        )
    labels, asked = np.asarray(labels), np.asarray(scores, dtype=float)
    if labels.shape != asked.shape or sorted(asked) != sorted(map(float, tested)):
        raise Wrong("Return the labels and the scores of all test rows, one of each for every row.")
    if not np.array_equal(labels.astype(bool), kind[asked.astype(int)] != "good"):
        raise Wrong(
            "The labels do not belong to the scores: a label is True where the part is defective, "
            "in the order of the test rows."
        )
    return np.array(trained), np.array(tested)


def _nearest(rows: Tensor) -> Callable[[Tensor], np.ndarray]:
    return lambda test: torch.cdist(test, rows).min(1).values.numpy()


def _worth(
    answer: Any, y: Tensor, part: np.ndarray, kind: np.ndarray, draw: Draw
) -> tuple[float, float]:
    """Mean AUROC by the answer, and the AUROC if every photograph may see all other parts."""
    mine = []
    for _ in range(ROUNDS):
        rng = np.random.default_rng(draw.integer(0, 10**6))
        labels, scores = answer(y, part, kind, _nearest, rng)
        mine.append(auroc(np.asarray(labels, dtype=bool), scores))
    gaps = torch.cdist(y, y).numpy()
    gaps[part[:, None] == part] = np.inf
    return float(np.mean(mine)), auroc(kind != "good", gaps[:, kind == "good"].min(1))


def _split_by_photograph(y: Tensor, kind: np.ndarray, seed: int) -> float:
    """The AUROC that the colleague would report."""
    held = np.random.default_rng(seed).random(len(y)) < 0.25
    train, test = (kind == "good") & ~held, held | (kind != "good")
    return auroc(kind[test] != "good", _nearest(y[train])(y[test]))
