"""Check of lab 2: one step of training, against gradients worked out by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from differnet_course.labs.comparing import call, compare
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.loss import nll

__all__ = ["train_step"]

LR = 0.1


class _Scale(nn.Module):
    """z = y exp(a) + b, a flow whose gradients are known; a and b are the halves of its weights."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.weights.chunk(2)
        return y * a.exp() + b, a.sum().expand(len(y))


def _gradient(weights: Tensor, y: Tensor, sign: float) -> Tensor:
    """Of the loss, by hand; with a sign of -1 of the loss with the log-det's sign turned."""
    a, b = weights.chunk(2)
    z = y * a.exp() + b
    return torch.cat([(z * y * a.exp()).mean(0) - sign, z.mean(0)]) / y.shape[1]


def train_step(answer: Any, draw: Draw) -> None:
    """2.7: one step of an optimiser, taken twice."""
    n, d = draw.integer(6, 9), 4
    batches = [draw.normal(n, d, mean=1.0), draw.normal(n, d, mean=-1.0)]
    start = draw.normal(2 * d, deviation=0.3)

    def path(*, kept: float = 0.0, times: float = 1.0, sign: float = 1.0) -> Tensor:
        weights, gradient = start, torch.zeros(2 * d)
        for y in batches:
            gradient = times * _gradient(weights, y, sign) + kept * gradient
            weights = weights - LR * gradient
        return weights

    flow = _Scale(start)
    optimiser = torch.optim.SGD(flow.parameters(), lr=LR)
    losses = [call(answer, flow, optimiser, y, name="train_step") for y in batches]
    compare(
        "The weights after two steps",
        flow.weights,
        path(),
        [
            (
                start,
                "The weights have not moved. Is there a step, and are the gradients forgotten "
                "before `backward`, not after it?",
            ),
            (path(kept=1.0), "The gradients of the step before are still in: forget them first."),
            (path(times=-1.0), "You climb: the loss grows from step to step."),
            (path(sign=-1.0), "The log-det has the wrong sign in your loss."),
            (path(times=n), "You summed over the batch: the step grows with its size."),
            (path(times=d), "Your loss is not divided by D."),
        ],
        hint="Forget old gradients, compute the loss, go back through it, take a step.",
    )
    if isinstance(losses[0], Tensor) and losses[0].requires_grad:
        raise Wrong(
            "The steps are right. But return the loss as a number, `loss.item()`: a tensor drags "
            "its whole history along."
        )
    with torch.no_grad():
        before, after = (
            nll(*_Scale(w)(batches[0]))
            for w in (start, start - LR * _gradient(start, batches[0], 1.0))
        )
    compare(
        "The steps are right. The loss of the first step",
        losses[0],
        before,
        [(after, "The steps are right, but you compute the loss anew after the step.")],
        hint="Return the loss that you went back through.",
    )
