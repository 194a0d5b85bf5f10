"""Checks of lab 2: a coupling flow from scratch. The whole flows are in `lab2_flows`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs import lab2_flows
from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import compare, compare_gradients, slopes
from differnet_course.labs.draws import Draw
from differnet_course.labs.exercises import Exercise
from differnet_course.labs.lab2_reference import Subnets, one_sided
from differnet_course.labs.verdicts import Wrong
from differnet_lite.flow import soft_clamp
from differnet_lite.loss import nll

__all__ = ["EXERCISES"]

LR = 0.1


def _undo_round(answer: Answer, draw: Draw) -> None:
    for _ in range(3):
        key = draw.integer(2**20, 2**31)
        left = draw.integer(2**20, 2**31)
        right = draw.integer(2**20, 2**31)

        def scramble(x: int, key: int = key) -> int:
            return (x * key ^ x >> 7) % 2**32

        lost = left ^ scramble(right)  # what the round gives is (right, lost)
        mistakes = {
            "You encrypt once more. The way back begins with the half that the round only moved: "
            "which one is it?": (lost, right ^ scramble(lost)),
            "Both halves are right, in the wrong order: the round swapped them.": (right, left),
            "You scramble the half that was changed. The other one was kept, so that you can "
            "scramble it again.": (lost ^ scramble(lost), right),
            "You change the half that was kept.": (right ^ scramble(right), lost),
            "You give back what came in.": (right, lost),
            "Not minus: it is `^` that undoes `^`.": (lost - scramble(right), right),
            "F(R) is still in it. Work it out once more, and take it off.": (lost, right),
        }
        hint = "Which half do you know?"
        compare(
            "The halves are", answer.pair(right, lost, scramble), (left, right), mistakes, hint=hint
        )


def _soft_clamp(answer: Answer, draw: Draw) -> None:
    c = draw.number(1.5, 4.0)
    h = draw.normal(9, deviation=2 * c)
    ray = torch.complex(torch.full_like(h, c), h)
    wanted = ray.angle() / (math.pi / 2) * c  # the ray's angle as a share of a right one
    mistakes = {
        "You do not divide by the bound inside the arctangent (nor does FrEIA's own clamp): the "
        "slope at 0 then grows with the bound.": 2 * c / math.pi * torch.atan(h),
        "Your bound is pi / 2 times too large: an arctangent ends at pi / 2, not at 1.": (
            c * torch.atan(h / c)
        ),
        "Your bound is half as large as asked for: the 2 is missing.": wanted / 2,
        "You always bound by 3; the argument `clamp` says.": 6 / math.pi * torch.atan(h / 3),
        "0.636 is 2 / pi, rounded: write 2 / pi.": 0.636 * c * torch.atan(h / c),
        "Your result stays within -1 and 1, whatever the bound. Scale it up.": wanted / c,
        "A tanh is bounded, too; the paper takes an arctangent.": c * torch.tanh(h / c),
        "A hard clamp has no gradient outside: what is there, stays there.": h.clamp(-c, c),
    }
    compare("The clamped h is", answer(h, c), wanted, mistakes)
    h.requires_grad_()
    with explained(
        "requires grad",
        "The values are right, but NumPy knows no gradient: h is a network's output, and the "
        "network is to be trained. Use `torch.atan`.",
    ):
        bounded = answer(h, c)
    compare_gradients(slopes([bounded], [h]), slopes([2 * c / math.pi * torch.atan(h / c)], [h]))


def _halves(draw: Draw) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, the half that it looks at, and the half to be changed."""
    n = draw.integer(5, 6)
    d = draw.integer(3, 4)
    net = Subnets(draw)(d, 2 * d)
    return net, draw.normal(n, d).requires_grad_(), draw.normal(n, d).requires_grad_()


def _couple(answer: Answer, draw: Draw) -> None:
    net, keep, change = _halves(draw)
    wanted, log_det = one_sided(net, keep, change)
    h, t = net(keep).chunk(2, 1)
    h_of_change, t_of_change = net(change).chunk(2, 1)
    e = (wanted - t) / change  # what the half is multiplied by
    s = e.log()
    z, got = answer.pair(keep, change, net)
    mistakes = {
        "You shift before you scale; scale first.": (change + t) * e,
        "You forgot the soft clamp: s is the clamped h.": change * h.exp() + t,
        "You scale by s itself, and should by exp(s), never 0.": change * s + t,
        "You scale by exp(-s): that belongs to the way back.": change / e + t,
        "The shift t is missing.": change * e,
        "You took t for h: the first half of the net's output is h, the second t.": (
            change * soft_clamp(t).exp() + h
        ),
        "You ask the net about the half that is changed; ask it about the kept one.": (
            change * soft_clamp(h_of_change).exp() + t_of_change
        ),
        "You clamped the shift t, too: only h is clamped.": change * e + soft_clamp(t),
        "Return the changed half alone, not both.": torch.cat([keep, wanted], 1),
    }
    compare("The changed half is", z, wanted, mistakes)
    mistakes = {
        "You give s itself. What is the log of the product of the exp(s) in a row?": s,
        "Your log-det has the sign of the inverse.": -log_det,
        "You summed over the batch too. Each row has a log-det of its own.": s.sum(),
        "You summed over the batch, and not over the features.": s.sum(0),
        "You took the mean over the features. A log-det is a sum.": s.mean(1),
        "You summed exp(s). The log of a product is the sum of what?": e.sum(1),
        "You give the determinant; its logarithm is asked for.": e.prod(1),
        "You summed h. The half is scaled by exp(s), with the clamped s.": h.sum(1),
    }
    compare("The log-det is", got, log_det, mistakes)
    inputs = [keep, change, *net.parameters()]
    compare_gradients(slopes([z, got], inputs), slopes([wanted, log_det], inputs))


def _uncouple(answer: Answer, draw: Draw) -> None:
    net, keep, change = _halves(draw)
    z, log_det = (x.detach() for x in one_sided(net, keep, change))
    t = net(keep).chunk(2, 1)[1]
    h_of_changed, t_of_changed = net(z).chunk(2, 1)
    e = (z - t) / change
    y, got = answer.pair(keep, z, net)
    mistakes = {
        "You undo the scale before the shift. What came last, goes first.": z / e - t,
        "You couple once more; undo it instead.": z * e + t,
        "You scale by exp(s) again; the way back divides by it.": (z - t) * e,
        "You divide by s itself; the half was scaled by exp(s).": (z - t) / e.log(),
        "You add the shift a second time.": (z + t) / e,
        "You ask the net about the changed half. On the way there it was asked about the kept "
        "one, which you have.": (z - t_of_changed) / soft_clamp(h_of_changed).exp(),
    }
    compare("The restored half is", y, change, mistakes)
    mistakes = {
        "This is the log-det of the way there; there and back must add up to 0.": log_det,
        "You summed over the batch too. Each row has one of its own.": -log_det.sum(),
        "You give -s itself; sum it over the features.": -e.log(),
    }
    compare("The log-det is", got, -log_det, mistakes)


def _unpermute(answer: Answer, draw: Draw) -> None:
    d = 6
    order = draw.rng.permutation(d)
    while (order[order] == np.arange(d)).all():
        order = draw.rng.permutation(d)
    positions = torch.as_tensor(order)
    y = draw.normal(draw.integer(7, 8), d)
    z = y[:, positions]
    mistakes = {
        "You apply the same order once more. That undoes a swap, but no longer cycle: where has "
        "column 0 gone to?": z[:, positions],
        "Nothing has moved.": z,
        "You turn the columns round; the order says where each one came from.": z.flip(1),
        "You move the rows, which are the images.": z[positions.argsort()],
    }
    compare("The columns are", answer(z, positions), y, mistakes)


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


def _train_step(answer: Answer, draw: Draw) -> None:
    n = draw.integer(6, 9)
    d = 4
    batches = [draw.normal(n, d, mean=1.0), draw.normal(n, d, mean=-1.0)]
    start = draw.normal(2 * d, deviation=0.3)

    def path(*, kept: float = 0.0, times: float = 1.0, sign: float = 1.0) -> Tensor:
        weights = start
        gradient = torch.zeros(2 * d)
        for y in batches:
            gradient = times * _gradient(weights, y, sign) + kept * gradient
            weights = weights - LR * gradient
        return weights

    flow = _Scale(start)
    optimiser = torch.optim.SGD(flow.parameters(), lr=LR)
    losses = [answer(flow, optimiser, y) for y in batches]
    mistakes = {
        "The weights have not moved. Is there a step, and are the gradients forgotten before "
        "`backward`, not after it?": start,
        "The gradients of the step before are still in: forget them first.": path(kept=1.0),
        "You climb: the loss grows from step to step.": path(times=-1.0),
        "The log-det has the wrong sign in your loss.": path(sign=-1.0),
        "You summed over the batch: the step grows with its size.": path(times=n),
        "Your loss is not divided by D.": path(times=d),
    }
    hint = "Forget old gradients, compute the loss, go back through it, take a step."
    compare("The weights after two steps are", flow.weights, path(), mistakes, hint=hint)
    if isinstance(losses[0], Tensor) and losses[0].requires_grad:
        raise Wrong(
            "The steps are right. But return the loss as a number, `loss.item()`: a tensor drags "
            "its whole history along."
        )
    first = start - LR * _gradient(start, batches[0], 1.0)
    before, after = (nll(*_Scale(weights)(batches[0])) for weights in (start, first))
    mistakes = {"The steps are right, but you compute the loss anew after the step.": after}
    hint = "Return the loss that you went back through."
    compare("The steps are right. The loss is", losses[0], before, mistakes, hint=hint)


EXERCISES = {
    "2.1": Exercise("round of a cipher", "undo_round", _undo_round),
    "2.2": Exercise("soft clamp", "soft_clamp", _soft_clamp),
    "2.3": Exercise("affine coupling", "couple", _couple),
    "2.4": Exercise("its way back", "uncouple", _uncouple),
    "2.5": Exercise("block", "Block", lab2_flows.block),
    "2.6": Exercise("permutation undone", "unpermute", _unpermute),
    "2.7": Exercise("training step", "train_step", _train_step),
    "2.8": Exercise("DifferNet's flow", "Flow", lab2_flows.whole_flow),
}
