"""Held-back tests of lab 3: one scale, one defect, one batch, parts with one to three shots."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from differnet_course.labs.comparing import call, compare, pair
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.metrics import auroc


def pooled(answer: Any, draw: Draw) -> None:
    maps = [draw.normal(1, 4, 7, 3), draw.normal(1, 4, 1, 1)]
    wanted = [float(m[0, c].sum()) / m[0, c].numel() for m in maps for c in range(4)]
    compare("features", call(answer, maps), [wanted])


def counting(answer: Any, draw: Draw) -> None:
    labels = np.arange(60) == draw.integer(0, 59)  # one defect; whole numbers
    scores = draw.rng.integers(0, 9, 60)
    compare("AUROC", call(answer, labels, scores), auroc(labels, scores))


def interval(answer: Any, draw: Draw) -> None:
    labels = np.arange(500) < 100
    scores = draw.rng.normal(size=500) + labels
    rng = np.random.default_rng(draw.integer(0, 10**6))
    low, high = pair(answer, lambda y, s: float(s[y].mean()), labels, scores, rng, 400)
    deviation = scores[labels].std() / 10
    if not 3.2 < (high - low) / deviation < 4.7 or not low < scores[labels].mean() < high:
        raise Wrong("not the interval of a mean")


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(()))

    def forward(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return y * self.s.exp(), self.s * y.shape[1] * torch.ones(len(y))


def epoch(answer: Any, draw: Draw) -> None:
    """Many epochs lead to the maximum of the likelihood, which is known."""
    flow, y = _Scale(), draw.normal(50, 4, deviation=2.0)
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(draw.integer(0, 10**6))
    for _ in range(150):
        loss = call(answer, flow, optimiser, y, 0.01, 60, generator)
    best = -0.5 * float(y.square().mean().log())
    if abs(flow.s.item() - best) > 0.02 or abs(float(loss) - (0.5 - best)) > 0.02:
        raise Wrong("not at the maximum of the likelihood")


def nearest(answer: Any, draw: Draw) -> None:
    train, test = draw.normal(1, 1), draw.normal(5, 1)
    distance, index = pair(answer, train, test)
    compare("distance", distance, (test - train).abs()[:, 0])
    compare("index", index, torch.zeros(5))


def honest(answer: Any, draw: Draw) -> None:
    """Parts with one, two or three photographs, named by any number."""
    names = draw.rng.choice(10_000, 40, replace=False) - 5000
    kinds = np.where(np.arange(40) < 30, "good", "dent")
    copies = draw.rng.integers(1, 4, 40)
    part, kind = np.repeat(names, copies), np.repeat(kinds, copies)
    y = torch.arange(len(part))[:, None] * torch.ones(1, 3)
    trained: list[int] = []

    def fit(rows: torch.Tensor) -> Any:
        trained.extend(int(r) for r in rows[:, 0])
        return lambda test: test[:, 0].numpy().copy()

    labels, scores = pair(answer, y, part, kind, fit, np.random.default_rng(draw.integer(0, 99)))
    tested = np.asarray(scores).astype(int)
    if set(part[trained]) & set(part[tested]) or len(set(trained) | set(tested)) < len(part):
        raise Wrong("a part on both sides, or photographs lost")
    compare("labels", np.asarray(labels, dtype=float), (kind[tested] != "good").astype(float))


def differnet(answer: Any, draw: Draw) -> None:
    """Another size of image and of trunk."""
    weight = 0.3 * draw.normal(6, 3, 3, 3)

    def trunk(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x.to(weight), weight, stride=2).relu()

    images = 0.5 + 0.05 * draw.normal(60, 3, 24, 24)
    images[45:, :, 8:16, 8:16] += 0.3
    scores = torch.as_tensor(call(answer, trunk, images[:30], images[30:])).detach().numpy()
    if scores.shape != (30,) or auroc(np.arange(30) >= 15, scores) < 0.9:
        raise Wrong("misses plain defects")


HELD_BACK = {
    "3.1": pooled,
    "3.2": counting,
    "3.3": interval,
    "3.4": epoch,
    "3.5": nearest,
    "3.6": honest,
    "3.7": differnet,
}
