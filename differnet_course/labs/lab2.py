"""Checks of lab 2: a coupling flow from scratch, beside FrEIA's with the same networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import FrEIA.modules as Fm
import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import has_graph
from differnet_course.labs.exercises import Draw, Exercise, NotDone, wrong_if
from differnet_lite.flow import soft_clamp
from differnet_lite.loss import nll

__all__ = ["EXERCISES"]

LR = 0.1
CLAMP = 3.0


def _undo_round(answer: Answer, draw: Draw) -> None:
    for _ in range(3):
        key = draw.integer(2**20, 2**31)
        left = draw.integer(2**20, 2**31)
        right = draw.integer(2**20, 2**31)

        def scramble(x: int, key: int = key) -> int:
            return (x * key ^ x >> 7) % 2**32

        given = {"kept": right, "changed": left ^ scramble(right), "F": scramble}
        answer.compare("The halves are", answer.pair(*given.values()), (left, right), **given)


def _soft_clamp(answer: Answer, draw: Draw) -> None:
    c = draw.number(1.5, 4.0)
    h = draw.normal(9, deviation=2 * c).requires_grad_()
    share = torch.atan2(h, torch.full_like(h, c)) / (math.pi / 2)  # of a right angle
    answer.check({"h": h, "clamp": c}, {"The clamped h is": c * share}, leaves=[h])


def _unit_clamp(h: Tensor) -> Tensor:
    return soft_clamp(h, CLAMP) / CLAMP  # FrEIA multiplies by the bound itself


def _coupled(net: nn.Module, keep: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """The changed half and the log-det (N,) of an affine coupling, by FrEIA."""
    n_keep = keep.shape[1]
    layer = Fm.AffineCouplingOneSided(
        [(n_keep + change.shape[1],)],
        subnet_constructor=lambda *_: net,
        clamp=CLAMP,
        clamp_activation=_unit_clamp,
        split_len=n_keep,
    )
    (z,), log_det = layer([torch.cat([keep, change], 1)])
    return z[:, n_keep:], log_det


def _undone(net: nn.Module, keep: Tensor, changed: Tensor) -> Tensor:
    """The half that a coupling has changed, from its values at 0 and at 1: it is affine."""
    at_0 = _coupled(net, keep, torch.zeros_like(changed))[0]
    at_1 = _coupled(net, keep, torch.ones_like(changed))[0]
    return (changed - at_0) / (at_1 - at_0)


class _Subnets:
    """Makes networks; two of the same widths have the same weights, in whatever order made."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.weights: dict[tuple[int, int], dict[str, Tensor]] = {}

    def __call__(self, n_in: int, n_out: int) -> nn.Module:
        """A network of one hidden layer, from rows (N, n_in) to (N, n_out)."""
        net = nn.Sequential(nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out))
        if (n_in, n_out) not in self.weights:
            self.weights[n_in, n_out] = {
                name: self.draw.normal(*value.shape, deviation=0.5)
                for name, value in net.state_dict().items()
            }
        net.load_state_dict(self.weights[n_in, n_out])
        return net


def _couple(answer: Answer, draw: Draw, *, back: bool = False) -> None:
    d = draw.integer(3, 4)
    net = _Subnets(draw)(d, 2 * d)
    keep, change = draw.normal(2, draw.integer(5, 6), d).requires_grad_()
    z, log_det = _coupled(net, keep, change)
    h, t = net(keep).chunk(2, 1)
    known = {"h": h, "t": t, "e": (z - t) / change, "coupled": _coupled, "undone": _undone}
    if back:  # nothing is trained through the way back
        given = {"keep": keep.detach(), "changed": z.detach(), "net": net}
        answer.check(given, {"The restored half is": change, "The log-det is": -log_det}, **known)
    else:
        given = {"keep": keep, "change": change, "net": net}
        right = {"The changed half is": z, "The log-det is": log_det}
        leaves = [keep, change, *net.parameters()]
        answer.check(given, right, leaves=leaves, **known)


def _uncouple(answer: Answer, draw: Draw) -> None:
    _couple(answer, draw, back=True)


def _unpermute(answer: Answer, draw: Draw) -> None:
    d = 6
    order = draw.rng.permutation(d)
    while (order[order] == np.arange(d)).all():
        order = draw.rng.permutation(d)
    y = draw.normal(draw.integer(7, 8), d)
    given = {"z": y[:, order], "order": torch.as_tensor(order)}
    answer.check(given, {"The columns are": y})


class _Scale(nn.Module):
    """z = y exp(a) + b; a and b are the halves of its weights."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.weights.chunk(2)
        return y * a.exp() + b, a.sum().expand(len(y))


def _train_step(answer: Answer, draw: Draw) -> None:
    n = draw.integer(6, 9)
    d = 4
    batches = [draw.normal(n, d, mean=1.0), draw.normal(n, d, mean=-1.0)]
    start = draw.normal(2 * d, deviation=0.3)

    def path(
        *, kept: float = 0.0, times: float = 1.0, sign: float = 1.0, steps: int = 2
    ) -> tuple[Tensor, float]:
        """The weights after so many steps, and the loss of the first batch with them."""
        flow = _Scale(start)
        gradient = torch.zeros(2 * d)
        for y in batches[:steps]:
            z, log_det = flow(y)
            (new,) = torch.autograd.grad(times * nll(z, sign * log_det), [flow.weights])
            gradient = new + kept * gradient
            flow = _Scale(flow.weights.detach() - LR * gradient)
        return flow.weights, nll(*flow(batches[0])).item()

    flow = _Scale(start)
    optimiser = torch.optim.SGD(flow.parameters(), lr=LR)
    losses = [answer(flow, optimiser, y) for y in batches]
    names = {"path": path, "n": n, "d": d}
    answer.compare("The weights after two steps are", flow.weights, path()[0], **names)
    wrong_if(has_graph(losses[0]), "loss_has_graph")
    answer.compare("The steps are right. The loss is", losses[0], path(steps=0)[1], **names)


def _glow(n_features: int, make_subnet: _Subnets) -> nn.Module:
    """FrEIA's block, which DifferNet uses."""
    return Fm.GLOWCouplingBlock(
        [(n_features,)], subnet_constructor=make_subnet, clamp=CLAMP, clamp_activation=_unit_clamp
    )


def _module(answer: Answer, *arguments: Any) -> nn.Module:
    """An object of the student's class, with parameters that an optimiser finds."""
    module = answer(*arguments)
    kind = type(module).__name__
    wrong_if(not isinstance(module, nn.Module), "no_module", kind=kind)
    wrong_if(not list(module.parameters()), "no_parameters")
    return module


def _gradients_and_way_back(
    answer: Answer, module: nn.Module, reference: nn.Module, y: Tensor, in_order: Tensor
) -> None:
    """What both classes need; `in_order`: what undoing in the order of making gives."""
    right = reference(y)
    leaves = [[p for p in m.parameters() if p.requires_grad] for m in (module, reference)]
    answer.compare_gradients(module(y), leaves[0], right, leaves[1])
    inverse = getattr(module, "inverse", None)
    if inverse is None:
        raise NotDone("inverse_missing")
    z = right[0].detach()
    back = {"forward is right, but inverse(z) is": y, "The log-det of inverse is": -right[1]}
    answer.part(inverse, "inverse").check({"z": z}, back, module=module, in_order=in_order)


def _block(answer: Answer, draw: Draw) -> None:
    for d in (5, 4):
        nets = _Subnets(draw)
        n = d // 2
        reference = _Blocks([_glow(d, nets)], [torch.arange(d)])
        y = draw.normal(draw.integer(6, 8), d)
        z, log_det = reference(y)
        module = _module(answer, d, nets)
        y1, y2 = y[:, :n], y[:, n:]
        first = nets(d - n, 2 * n)
        second = nets(n, 2 * (d - n))
        z1, one = _coupled(first, y2, y1)
        from_old, _ = _coupled(second, y1, y2)
        names = {"one": one, "two": log_det - one, "from_old": from_old, "z1": z1}
        names |= {"coupled": _coupled, "first": first, "y1": y1, "y2": y2}
        right = {"z is": z, "The log-det is": log_det}
        answer.part(module, "block").check({"y": y}, right, **names)
        in_order = _undone(first, z[:, n:], z1)  # z1 first, with the help of z2
        in_order = torch.cat([in_order, _undone(second, in_order, z[:, n:])], 1)
        _gradients_and_way_back(answer, module, reference, y, in_order)


class _Blocks(nn.Module):
    """FrEIA's blocks, each behind its permutation: the package's flow with networks to choose."""

    def __init__(self, blocks: Sequence[nn.Module], orders: Sequence[Tensor]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.orders = orders

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros(len(y))
        for block, order in zip(self.blocks, self.orders, strict=True):
            ((y,), log_det) = block([y[:, order]])
            total = total + log_det
        return y, total

    def undone_in_order(self, z: Tensor) -> Tensor:
        """What undoing from the wrong end gives."""
        for block, order in zip(self.blocks, self.orders, strict=True):
            ((z,), _) = block([z], rev=True)
            z = z[:, order.argsort()]
        return z


def _flow(answer: Answer, draw: Draw) -> None:
    for d, n_blocks in ((5, 3), (6, 4)):
        nets = _Subnets(draw)
        blocks = [_glow(d, nets) for _ in range(n_blocks)]
        orders = [torch.as_tensor(np.random.RandomState(k).permutation(d)) for k in range(n_blocks)]
        reference = _Blocks(blocks, orders)
        y = draw.normal(7, d)
        z, log_det = reference(y)
        module = _module(answer, d, n_blocks, nets)
        names: dict[str, Any] = {"Blocks": _Blocks, "blocks": blocks, "orders": orders}
        names["same"] = torch.arange(d)
        right = {"z is": z, "The log-det is": log_det}
        answer.part(module, "flow").check({"y": y}, right, **names)
        size, wanted = (
            sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (module, reference)
        )
        wrong_if(size != wanted, "other_parameters", size=size, wanted=wanted)
        _gradients_and_way_back(answer, module, reference, y, reference.undone_in_order(z))


EXERCISES = {
    "2.1": Exercise("round of a cipher", "undo_round", _undo_round),
    "2.2": Exercise("soft clamp", "soft_clamp", _soft_clamp),
    "2.3": Exercise("affine coupling", "couple", _couple),
    "2.4": Exercise("its way back", "uncouple", _uncouple),
    "2.5": Exercise("block", "Block", _block),
    "2.6": Exercise("permutation undone", "unpermute", _unpermute),
    "2.7": Exercise("training step", "train_step", _train_step),
    "2.8": Exercise("DifferNet's flow", "Flow", _flow),
}
