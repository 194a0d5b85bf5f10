"""Held-back tests of lab 2: other sizes, round trips, Jacobians by autograd."""

from __future__ import annotations

import torch
from torch import nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, log_det_by_autograd
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_reference import Subnets, package_flow
from differnet_course.labs.verdicts import Wrong


def undo_round(answer: Answer, draw: Draw) -> None:
    letters = "abcdefgh"  # exclusive or works on sets, too
    left, right = ({c for c in letters if draw.integer(0, 1)} for _ in range(2))

    def scramble(half: set) -> set:
        return {"a", "c"} if len(half) % 2 else {"b"}

    if answer.pair(right, left ^ scramble(right), scramble) != (left, right):
        raise Wrong("halves")


def soft_clamp(answer: Answer, draw: Draw) -> None:
    h = draw.normal(2, 3, 2, deviation=10.0)
    ray = torch.complex(torch.full_like(h, 0.2), h)
    compare("s", answer(h, 0.2), ray.angle() / torch.pi * 0.4)


def couple(answer: Answer, draw: Draw) -> None:
    net = Subnets(draw)(1, 8)
    keep = draw.normal(3, 1)
    change = draw.normal(3, 4)
    _, log_det = answer.pair(keep, change, net)
    for i in range(3):
        wanted = log_det_by_autograd(
            lambda row, i=i: answer.function(keep[i : i + 1], row[None], net)[0][0],
            change[i : i + 1],
        )
        compare("log-det", as_numbers(log_det)[i : i + 1], wanted)


def uncouple(answer: Answer, draw: Draw) -> None:
    net = Subnets(draw)(4, 2)
    keep = draw.normal(2, 4)
    changed = draw.normal(2, 1)
    y, log_det = answer.pair(keep, changed, net)
    inputs = (torch.full_like(changed, x) for x in (0.0, 1.0))
    at_0, at_1 = (as_numbers(answer.pair(keep, x, net)[0]) for x in inputs)
    compare("half", y, at_0 + changed * (at_1 - at_0))
    compare("log-det", log_det, (at_1 - at_0).abs().log().sum(1))


def _both_ways(flow: nn.Module, y: torch.Tensor) -> None:
    z, log_det = Answer(flow).pair(y)
    compare("log-det", log_det, log_det_by_autograd(lambda row: flow(row[None])[0][0], y))
    back, log_det_back = Answer(flow.inverse).pair(z)
    compare("inverse", back, y)
    compare("log-det of inverse", log_det_back, -log_det)


def block(answer: Answer, draw: Draw) -> None:
    for d in (2, 9):
        _both_ways(answer(d, Subnets(draw)), draw.normal(3, d))


def unpermute(answer: Answer, draw: Draw) -> None:
    order = torch.as_tensor(draw.rng.permutation(50))
    y = draw.normal(1, 50)
    compare("columns", answer(y[:, order], order), y)


class _Curve(nn.Module):
    """z = a y + b y³, every parameter of which is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.log_a = nn.Parameter(torch.zeros(4))
        self.log_b = nn.Parameter(torch.full((4,), -2.0))

    def forward(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = self.log_a.exp()
        b = self.log_b.exp()
        return a * y + b * y**3, (a + 3 * b * y**2).log().sum(1)


def train_step(answer: Answer, draw: Draw) -> None:
    flow = _Curve()
    y = draw.normal(64, 4) * 0.1
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.05)
    losses = [float(as_numbers(answer(flow, optimiser, y))) for _ in range(60)]
    if not losses[-1] < losses[0] - 0.5:
        raise Wrong("training")


def whole_flow(answer: Answer, draw: Draw) -> None:
    nets = Subnets(draw)
    y = draw.normal(2, 13)
    flow = answer(13, 8, nets)
    _both_ways(flow, y)
    compare("z", flow(y)[0], package_flow(13, 8, nets)(y)[0])


HELD_BACK = {
    "2.1": undo_round,
    "2.2": soft_clamp,
    "2.3": couple,
    "2.4": uncouple,
    "2.5": block,
    "2.6": unpermute,
    "2.7": train_step,
    "2.8": whole_flow,
}
