"""Lab 2: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import math

import FrEIA.modules as Fm
import numpy as np
import torch
from torch import nn

from differnet_lite.flow import soft_clamp
from differnet_lite.loss import nll


def s_and_t(net, keep):
    h, t = net(keep).chunk(2, 1)
    return soft_clamp(h), t


def couple(keep, change, net):
    s, t = s_and_t(net, keep)
    return change * s.exp() + t, s.sum(1)


def uncouple(keep, changed, net):
    s, t = s_and_t(net, keep)
    return (changed - t) * (-s).exp(), -s.sum(1)


def couple_by_einsum(keep, change, net):
    h, t = torch.split(net(keep), change.shape[1], dim=-1)
    e = torch.exp(6 / np.pi * torch.atan(h / 3))
    return [torch.einsum("nd,nd->nd", change, e) + t, torch.einsum("nd->n", e.log())]


def couple_by_vmap(keep, change, net):
    rows = torch.func.vmap(lambda u, x: couple(u[None], x[None], net))(keep, change)
    return rows[0][:, 0], rows[1][:, 0]


def couple_by_loops(keep, change, net):
    rows = [couple(u[None], x[None], net) for u, x in zip(keep, change, strict=True)]
    return torch.cat([z for z, _ in rows]), torch.stack([log_det[0] for _, log_det in rows])


def uncouple_by_numpy(keep, changed, net):
    out = net(torch.tensor(keep.numpy())).detach().numpy()
    d = changed.shape[1]
    s = 6 / np.pi * np.arctan(out[:, :d] / 3)
    return (changed.numpy() - out[:, d:]) / np.exp(s), -s.sum(axis=1)


def uncouple_by_loops(keep, changed, net):
    rows = [uncouple(u[None], x[None], net) for u, x in zip(keep, changed, strict=True)]
    return torch.cat([y for y, _ in rows]), torch.cat([log_det for _, log_det in rows])


def detached_clamp(keep, change, net):
    h, t = net(keep).chunk(2, 1)
    s = soft_clamp(h).detach()
    return change * s.exp() + t, s.sum(1)


def columns_put_back(z, order):
    y = torch.empty_like(z)
    y[:, order] = z
    return y


def step(flow, optimiser, y, result=lambda loss: loss.item()):
    optimiser.zero_grad()
    loss = nll(*flow(y))
    loss.backward()
    optimiser.step()
    return result(loss)


def step_by_closure(flow, optimiser, y):
    def closure():
        optimiser.zero_grad()
        loss = nll(*flow(y))
        loss.backward()
        return loss

    return optimiser.step(closure).item()


def step_by_grad(flow, optimiser, y):
    loss = nll(*flow(y))
    parameters = list(flow.parameters())
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        p.grad = g
    optimiser.step()
    return float(loss)  # PyTorch warns


class Block(nn.Module):
    """A right block; the mistakes below change one method."""

    couple = staticmethod(couple)

    def __init__(self, n_features, make_subnet):
        super().__init__()
        n1 = n_features // 2
        n2 = n_features - n1
        self.widths = [n1, n2]
        self.first = make_subnet(n2, 2 * n1)
        self.second = make_subnet(n1, 2 * n2)

    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z1, one = self.couple(y2, y1, self.first)
        z2, two = self.couple(z1, y2, self.second)
        return torch.cat([z1, z2], 1), one + two

    def inverse(self, z):
        z1, z2 = z.split(self.widths, 1)
        y2, two = uncouple(z1, z2, self.second)
        y1, one = uncouple(y2, z1, self.first)
        return torch.cat([y1, y2], 1), one + two


class ByEinsum(Block):
    couple = staticmethod(couple_by_einsum)


class InAModuleList(nn.Module):
    """The second network first, halves by slices."""

    def __init__(self, D, make):
        super().__init__()
        self.k = D // 2
        self.nets = nn.ModuleList([make(self.k, 2 * (D - self.k)), make(D - self.k, 2 * self.k)])

    def forward(self, y):
        z = y.clone()
        z[:, : self.k], one = couple_by_einsum(y[:, self.k :], y[:, : self.k], self.nets[1])
        z[:, self.k :], two = couple_by_einsum(z[:, : self.k].clone(), y[:, self.k :], self.nets[0])
        return z, one + two

    def inverse(self, z):
        y2, two = uncouple(z[:, : self.k], z[:, self.k :], self.nets[0])
        y1, one = uncouple(y2, z[:, : self.k], self.nets[1])
        return torch.hstack([y1, y2]), one + two


class ByFreia(nn.Module):
    def __init__(self, n_features, make_subnet):
        super().__init__()
        self.glow = Fm.GLOWCouplingBlock(
            [(n_features,)],
            subnet_constructor=make_subnet,
            clamp=1.0,
            clamp_activation=lambda h: soft_clamp(h, 3.0),
        )

    def forward(self, y, rev=False):
        (z,), log_det = self.glow([y], rev=rev)
        return z, log_det

    def inverse(self, z):
        return self(z, rev=True)


class Untrainable(Block):
    @staticmethod
    def couple(keep, change, net):
        with torch.no_grad():
            s, t = s_and_t(net, keep)
        return change * s.exp() + t, s.sum(1)


def flow_class(block=Block, listed=nn.ModuleList, between=lambda y: y):
    """A class as 2.8 asks for, with one thing done in another way."""

    class Flow(nn.Module):
        def __init__(self, n_features, n_blocks, make_subnet):
            super().__init__()
            orders = [np.random.RandomState(k).permutation(n_features) for k in range(n_blocks)]
            self.orders = [torch.as_tensor(order) for order in orders]
            self.blocks = listed([block(n_features, make_subnet) for _ in range(n_blocks)])

        def forward(self, y):
            log_dets = []
            for positions, part in zip(self.orders, self.blocks, strict=True):
                y, log_det = part(between(y[:, positions]))
                log_dets.append(log_det)
            return y, sum(log_dets)

        def inverse(self, z):
            log_dets = []
            for positions, part in reversed(list(zip(self.orders, self.blocks, strict=True))):
                z, log_det = part.inverse(z)
                z = z[:, positions.argsort()]
                log_dets.append(log_det)
            return z, sum(log_dets)

    return Flow


class NoWayBack(flow_class()):
    inverse = None


RIGHT = {
    "2.1": [
        lambda kept, changed, F: (changed ^ F(kept), kept),
        lambda R, X, F: [X ^ F(R), R],
        lambda kept, changed, F: {"L": changed ^ F(kept), "R": kept}.values(),
        lambda kept, changed, F: (F(kept) ^ changed, kept),
    ],
    "2.2": [
        lambda h, clamp=3.0: 2 * clamp / np.pi * torch.atan(h / clamp),
        lambda h, clamp=3.0: torch.atan2(h, torch.full_like(h, clamp)) / (math.pi / 2) * clamp,
        lambda h, c=3.0: torch.stack([2 * c / math.pi * torch.arctan(x / c) for x in h]),
        lambda x, c=3.0: torch.complex(torch.full_like(x, c), x).angle() * 2 * c / torch.pi,
    ],
    "2.3": [couple, couple_by_einsum, couple_by_vmap, couple_by_loops],
    "2.4": [
        uncouple,
        uncouple_by_numpy,
        uncouple_by_loops,
        lambda u, x, f: (
            torch.div(x - s_and_t(f, u)[1], s_and_t(f, u)[0].exp()),
            s_and_t(f, u)[0].sum(1).neg(),
        ),
    ],
    "2.5": [Block, ByEinsum, InAModuleList, ByFreia],
    "2.6": [
        lambda z, order: z[:, order.argsort()],
        columns_put_back,
        lambda z, order: z @ torch.eye(len(order))[order],
        lambda z, order: z.numpy()[:, np.argsort(order.numpy())],
    ],
    "2.7": [
        step,
        step_by_closure,
        step_by_grad,
        lambda flow, optimiser, y: step(flow, optimiser, y, torch.Tensor.detach),
    ],
    "2.8": [flow_class(block) for block in (Block, ByEinsum, InAModuleList, ByFreia)],
}
MISTAKES = {
    "2.1": [(lambda kept, changed, f: changed ^ f(kept), "expected a pair")],
    "2.2": [
        (lambda h, c: 2 * c / np.pi * np.arctan(h.numpy() / c), "NumPy knows no gradient"),
        (lambda h, c: soft_clamp(h, c).detach(), "gradients reach only"),
    ],
    "2.3": [
        (detached_clamp, "the gradients are off"),
        (torch.no_grad()(couple), "training cannot move the others"),
    ],
    "2.5": [
        (lambda d, make: "block", "Expected an `nn.Module`"),
        (Untrainable, "gradients reach only 0 of 8 tensors"),
    ],
    "2.7": [
        (lambda flow, optimiser, y: step(flow, optimiser, y, lambda loss: loss), "as a number"),
    ],
    "2.8": [
        (flow_class(listed=list), "no parameters"),
        (flow_class(listed=lambda b: nn.ModuleList(b[:1] * len(b))), "numbers to train"),
        (flow_class(between=torch.Tensor.detach), "the gradients are off"),
    ],
}
OPEN = {"2.8": [(NoWayBack, "forward is right")]}
