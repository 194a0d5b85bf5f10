"""Held-back tests of lab 2: other sizes, round trips, Jacobians by autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from differnet_course.labs.comparing import call, compare, log_det_by_autograd, pair
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_reference import Subnets, package_flow
from differnet_course.labs.verdicts import Wrong


def undo_round(answer: Any, draw: Draw) -> None:
    letters = "abcdefgh"  # exclusive or works on sets, too
    left, right = ({c for c in letters if draw.integer(0, 1)} for _ in range(2))

    def scramble(half: set) -> set:
        return {"a", "c"} if len(half) % 2 else {"b"}

    if tuple(pair(answer, right, left ^ scramble(right), scramble)) != (left, right):
        raise Wrong("halves")


def soft_clamp(answer: Any, draw: Draw) -> None:
    h = draw.normal(2, 3, 2, deviation=10.0)
    ray = torch.complex(torch.full_like(h, 0.2), h)
    compare("s", call(answer, h, 0.2), ray.angle() / torch.pi * 0.4)


def couple(answer: Any, draw: Draw) -> None:
    net, keep, change = Subnets(draw)(1, 8), draw.normal(3, 1), draw.normal(3, 4)
    _, log_det = pair(answer, keep, change, net)
    for i in range(3):
        wanted = log_det_by_autograd(
            lambda row, i=i: answer(keep[i : i + 1], row[None], net)[0][0], change[i : i + 1]
        )
        compare("log-det", torch.as_tensor(log_det)[i : i + 1], wanted)


def uncouple(answer: Any, draw: Draw) -> None:
    net, keep, changed = Subnets(draw)(4, 2), draw.normal(2, 4), draw.normal(2, 1)
    y, log_det = pair(answer, keep, changed, net)
    lines = [answer(keep, torch.full_like(changed, float(x)), net)[0] for x in (0, 1)]
    compare("half", y, lines[0] + changed * (lines[1] - lines[0]))
    compare("log-det", log_det, (lines[1] - lines[0]).abs().log().sum(1))


def _both_ways(flow: nn.Module, y: torch.Tensor) -> None:
    z, log_det = pair(flow, y)
    compare("log-det", log_det, log_det_by_autograd(lambda row: flow(row[None])[0][0], y))
    back, log_det_back = pair(flow.inverse, z)
    compare("inverse", back, y)
    compare("log-det of inverse", log_det_back, -log_det)


def block(answer: Any, draw: Draw) -> None:
    for d in (2, 9):
        _both_ways(call(answer, d, Subnets(draw)), draw.normal(3, d))


def unpermute(answer: Any, draw: Draw) -> None:
    order = torch.as_tensor(draw.rng.permutation(50))
    y = draw.normal(1, 50)
    compare("columns", call(answer, y[:, order], order), y)


def train_step(answer: Any, draw: Draw) -> None:
    flow = call(package_flow, 4, 2, Subnets(draw))
    y = draw.normal(64, 4) * 0.1
    optimiser = torch.optim.Adam(flow.trainable(), lr=1e-2)
    losses = [call(answer, flow, optimiser, y) for _ in range(60)]
    if not losses[-1] < losses[0] - 0.5:
        raise Wrong("training")


def whole_flow(answer: Any, draw: Draw) -> None:
    nets, y = Subnets(draw), draw.normal(2, 13)
    flow = call(answer, 13, 8, nets)
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
