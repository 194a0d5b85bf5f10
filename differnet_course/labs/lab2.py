"""Checks of lab 2: a coupling flow from scratch. The whole flows are in `lab2_flows`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import compare, compare_gradients, log_det_mistakes, slopes
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_flows import Subnets, block, one_sided, whole_flow
from differnet_course.labs.verdicts import Exercise, Wrong
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
            "encrypt_once_more": (lost, right ^ scramble(lost)),
            "both_halves_right": (right, left),
            "give_back_came": (right, lost),
            "minus": (lost - scramble(right), right),
            "f_r_still": (lost, right),
        }
        compare("The halves are", answer.pair(right, lost, scramble), (left, right), mistakes)


def _soft_clamp(answer: Answer, draw: Draw) -> None:
    c = draw.number(1.5, 4.0)
    h = draw.normal(9, deviation=2 * c)
    ray = torch.complex(torch.full_like(h, c), h)
    wanted = ray.angle() / (math.pi / 2) * c  # the ray's angle as a share of a right one
    mistakes = {
        "divide_bound_inside": 2 * c / math.pi * torch.atan(h),
        "bound_half_large": wanted / 2,
        "always_bound_3": 6 / math.pi * torch.atan(h / 3),
        "0_636_2": 0.636 * c * torch.atan(h / c),
        "tanh_bounded_paper": c * torch.tanh(h / c),
        "hard_clamp_no": h.clamp(-c, c),
    }
    compare("The clamped h is", answer(h, c), wanted, mistakes)
    h.requires_grad_()
    with explained("requires grad", "values_right_but"):
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
        "shift_before_scale": (change + t) * e,
        "forgot_soft_clamp": change * h.exp() + t,
        "scale_exp_s": change / e + t,
        "shift_t_missing": change * e,
        "ask_net_about": change * soft_clamp(h_of_change).exp() + t_of_change,
        "return_changed_half": torch.cat([keep, wanted], 1),
    }
    compare("The changed half is", z, wanted, mistakes)
    mistakes = log_det_mistakes(log_det) | {
        "give_s_itself": s,
        "not_over_the_features": s.sum(0),
        "took_mean_over": s.mean(1),
        "summed_h": h.sum(1),
    }
    compare("The log-det is", got, log_det, mistakes)
    inputs = [keep, change, *net.parameters()]
    compare_gradients(slopes([z, got], inputs), slopes([wanted, log_det], inputs))


def _uncouple(answer: Answer, draw: Draw) -> None:
    net, keep, change = _halves(draw)
    keep = keep.detach()  # nothing is trained through the way back
    z, log_det = (x.detach() for x in one_sided(net, keep, change))
    t = net(keep).chunk(2, 1)[1]
    h_of_changed, t_of_changed = net(z).chunk(2, 1)
    e = (z - t) / change
    y, got = answer.pair(keep, z, net)
    mistakes = {
        "undo_scale_before": z / e - t,
        "couple_once_more": z * e + t,
        "scale_exp_s": (z - t) * e,
        "ask_net_about": (z - t_of_changed) / soft_clamp(h_of_changed).exp(),
    }
    compare("The restored half is", y, change, mistakes)
    mistakes = {
        "log_det_way": log_det,
        "summed_over_batch": -log_det.sum(),
        "give_s_itself": -e.log(),
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
        "apply_same_order": z[:, positions],
        "nothing_moved": z,
        "turn_columns_round": z.flip(1),
        "move_rows_images": z[positions.argsort()],
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
        "weights_moved": start,
        "gradients_step_before": path(kept=1.0),
        "climb": path(times=-1.0),
        "log_det_wrong": path(sign=-1.0),
        "summed_over_batch": path(times=n),
        "loss_divided_d": path(times=d),
    }
    compare("The weights after two steps are", flow.weights, path(), mistakes)
    if isinstance(losses[0], Tensor) and losses[0].requires_grad:
        raise Wrong("steps_right")
    first = start - LR * _gradient(start, batches[0], 1.0)
    before, after = (nll(*_Scale(weights)(batches[0])) for weights in (start, first))
    mistakes = {"steps_right_but": after}
    compare("The steps are right. The loss is", losses[0], before, mistakes)


EXERCISES = {
    "2.1": Exercise("round of a cipher", "undo_round", _undo_round),
    "2.2": Exercise("soft clamp", "soft_clamp", _soft_clamp),
    "2.3": Exercise("affine coupling", "couple", _couple),
    "2.4": Exercise("its way back", "uncouple", _uncouple),
    "2.5": Exercise("block", "Block", block),
    "2.6": Exercise("permutation undone", "unpermute", _unpermute),
    "2.7": Exercise("training step", "train_step", _train_step),
    "2.8": Exercise("DifferNet's flow", "Flow", whole_flow),
}
