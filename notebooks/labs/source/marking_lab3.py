"""Held-back tests of lab 3: one scale, one defect, one batch, parts with one to three shots."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, two_numbers
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_course.metrics import auroc


def pooled(answer: Answer, draw: Draw) -> None:
    maps = [draw.normal(1, 4, 7, 3), draw.normal(1, 4, 1, 1)]
    wanted = [float(m[0, c].sum()) / m[0, c].numel() for m in maps for c in range(4)]
    compare("features", answer(maps), [wanted])


def counting(answer: Answer, draw: Draw) -> None:
    labels = np.arange(60) == draw.integer(0, 59)  # one defect; whole numbers
    scores = draw.rng.integers(0, 9, 60)
    compare("AUROC", answer(labels, scores), auroc(labels, scores))


def interval(answer: Answer, draw: Draw) -> None:
    labels = np.arange(500) < 100
    scores = draw.rng.normal(size=500) + labels
    rng = np.random.default_rng(draw.integer(0, 10**6))
    ends = answer.pair(lambda y, s: float(s[y].mean()), labels, scores, rng, 400)
    low, high = two_numbers(ends, "interval")
    deviation = scores[labels].std() / 10
    if not 3.2 < (high - low) / deviation < 4.7 or not low < scores[labels].mean() < high:
        raise Wrong("not the interval of a mean")


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(()))

    def forward(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return y * self.s.exp(), self.s * y.shape[1] * torch.ones(len(y))


def epoch(answer: Answer, draw: Draw) -> None:
    """Many epochs lead to the maximum of the likelihood, which is known."""
    flow = _Scale()
    y = draw.normal(50, 4, deviation=2.0)
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(draw.integer(0, 10**6))
    for _ in range(150):
        loss = float(as_numbers(answer(flow, optimiser, y, 0.01, 60, generator)))
    best = -0.5 * float(y.square().mean().log())
    if abs(flow.s.item() - best) > 0.02 or abs(loss - (0.5 - best)) > 0.02:
        raise Wrong("not at the maximum of the likelihood")


def nearest(answer: Answer, draw: Draw) -> None:
    train = draw.normal(1, 1)
    test = draw.normal(5, 1)
    distance, index = answer.pair(train, test)
    compare("distance", distance, (test - train).abs()[:, 0])
    compare("index", index, torch.zeros(5))


def honest(answer: Answer, draw: Draw) -> None:
    """Parts with one, two or three photographs, named by any number."""
    names = draw.rng.choice(10_000, 40, replace=False) - 5000
    kinds = np.where(np.arange(40) < 30, "good", "dent")
    copies = draw.rng.integers(1, 4, 40)
    part = np.repeat(names, copies)
    kind = np.repeat(kinds, copies)
    y = torch.arange(len(part))[:, None] * torch.ones(1, 3)
    trained: list[int] = []

    def fit(rows: Any) -> Any:
        trained.extend(int(r) for r in torch.as_tensor(rows)[:, 0])
        return lambda test: torch.as_tensor(test)[:, 0].numpy().copy()

    rng = np.random.default_rng(draw.integer(0, 99))
    labels, scores = answer.pair(y, part, kind, fit, rng)
    tested = np.asarray(scores).astype(int)
    if set(part[trained]) & set(part[tested]) or len(set(trained) | set(tested)) < len(part):
        raise Wrong("a part on both sides, or photographs lost")
    compare("labels", np.asarray(labels, dtype=float), (kind[tested] != "good").astype(float))


HELD_BACK = {
    "3.1": pooled,
    "3.2": counting,
    "3.3": interval,
    "3.4": epoch,
    "3.5": nearest,
    "3.6": honest,
}
