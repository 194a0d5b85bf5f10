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


def couple_by_rows(keep, change, net):
    d = change.shape[1]
    z = []
    log_det = []
    for u, x in zip(keep, change, strict=True):
        out = net(u)
        s = soft_clamp(out[:d])
        z.append(x * math.e**s + out[d:])
        log_det.append(sum(s))
    return torch.stack(z), torch.stack(log_det)


def couple_by_einsum(keep, change, net):
    h, t = torch.split(net(keep), change.shape[1], dim=-1)
    e = torch.exp(6 / np.pi * torch.atan(h / 3))
    return [torch.einsum("nd,nd->nd", change, e) + t, torch.einsum("nd->n", e.log())]


def couple_by_vmap(keep, change, net):
    rows = torch.func.vmap(lambda u, x: couple(u[None], x[None], net))(keep, change)
    return rows[0][:, 0], rows[1][:, 0]


def uncouple_by_numpy(keep, changed, net):
    out = net(torch.tensor(keep.numpy())).detach().numpy()
    d = changed.shape[1]
    s = 6 / np.pi * np.arctan(out[:, :d] / 3)
    return (changed.numpy() - out[:, d:]) / np.exp(s), -s.sum(axis=1)


def uncouple_by_rows(keep, changed, net):
    rows = [uncouple(u[None], x[None], net) for u, x in zip(keep, changed, strict=True)]
    return torch.cat([y for y, _ in rows]), torch.cat([log_det for _, log_det in rows])


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


class ByRows(Block):
    couple = staticmethod(couple_by_rows)


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


class LooksAtOld(Block):
    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z1, one = couple(y2, y1, self.first)
        z2, two = couple(y1, y2, self.second)
        return torch.cat([z1, z2], 1), one + two


class UndoneInOrder(Block):
    def inverse(self, z):
        z1, z2 = z.split(self.widths, 1)
        y1, one = uncouple(z2, z1, self.first)
        y2, two = uncouple(y1, z2, self.second)
        return torch.cat([y1, y2], 1), one + two


class LogDetOfTheWayThere(Block):
    def inverse(self, z):
        y, log_det = super().inverse(z)
        return y, -log_det


class Untrainable(Block):
    """Its second network is asked without a gradient."""

    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z1, one = couple(y2, y1, self.first)
        with torch.no_grad():
            s, t = s_and_t(self.second, z1)
        return torch.cat([z1, y2 * s.exp() + t], 1), one + s.sum(1)


def permutation(k, d):
    return np.random.RandomState(k).permutation(d)


def flow(
    *,
    block=Block,
    order=permutation,
    listed=nn.ModuleList,
    total=sum,
    between=lambda y: y,
):
    """A class as 2.8 asks for, with one thing done in another way."""

    class Flow(nn.Module):
        def __init__(self, n_features, n_blocks, make_subnet):
            super().__init__()
            self.orders = [torch.as_tensor(order(k, n_features)) for k in range(n_blocks)]
            self.blocks = listed([block(n_features, make_subnet) for _ in range(n_blocks)])

        def forward(self, y):
            log_dets = []
            for positions, part in zip(self.orders, self.blocks, strict=True):
                y, log_det = part(between(y[:, positions]))
                log_dets.append(log_det)
            return y, total(log_dets)

        def inverse(self, z):
            log_dets = []
            for positions, part in reversed(list(zip(self.orders, self.blocks, strict=True))):
                z, log_det = part.inverse(z)
                z = z[:, positions.argsort()]
                log_dets.append(log_det)
            return z, total(log_dets)

    return Flow


class ByBuffers(nn.Module):
    """Orders in a buffer, blocks by name, index_select in the place of brackets."""

    def __init__(self, D, K, make):
        super().__init__()
        orders = [np.random.RandomState(k).permutation(D) for k in range(K)]
        self.register_buffer("orders", torch.tensor(np.stack(orders)))
        for k in range(K):
            self.add_module(f"block{k}", InAModuleList(D, make))

    def forward(self, y):
        total = torch.zeros(len(y))
        for k, order in enumerate(self.orders):
            y, log_det = getattr(self, f"block{k}")(y.index_select(1, order))
            total += log_det
        return y, total

    def inverse(self, z):
        total = torch.zeros(len(z))
        for k in reversed(range(len(self.orders))):
            z, log_det = getattr(self, f"block{k}").inverse(z)
            y = torch.empty_like(z)
            y[:, self.orders[k]] = z
            z = y
            total += log_det
        return z, total


class NoWayBack(flow()):
    inverse = None


def step(*, forget="before", loss=nll, walk=True, result=lambda loss, flow, y: loss.item()):
    """A training step with one thing changed."""

    def train_step(flow, optimiser, y):
        if forget == "before":
            optimiser.zero_grad()
        value = loss(*flow(y))
        value.backward()
        if forget == "after":
            optimiser.zero_grad()
        if walk:
            optimiser.step()
        return result(value, flow, y)

    return train_step


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


def columns_put_back(z, order):
    y = torch.empty_like(z)
    y[:, order] = z
    return y


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
    "2.3": [couple, couple_by_rows, couple_by_einsum, couple_by_vmap],
    "2.4": [
        uncouple,
        uncouple_by_numpy,
        uncouple_by_rows,
        lambda u, x, f: (
            torch.div(x - s_and_t(f, u)[1], s_and_t(f, u)[0].exp()),
            s_and_t(f, u)[0].sum(1).neg(),
        ),
    ],
    "2.5": [Block, ByRows, InAModuleList, ByFreia],
    "2.6": [
        lambda z, order: z[:, order.argsort()],
        columns_put_back,
        lambda z, order: torch.stack([z[:, list(order).index(i)] for i in range(len(order))], 1),
        lambda z, order: z @ torch.eye(len(order))[order],
        lambda z, order: z.numpy()[:, np.argsort(order.numpy())],
    ],
    "2.7": [
        step(),
        step_by_closure,
        step_by_grad,
        step(result=lambda loss, flow, y: loss.detach()),
        step(loss=lambda z, log_det: ((z * z).sum(1) / 2 - log_det).sum() / z.numel()),
    ],
    "2.8": [flow(), flow(block=ByFreia), flow(block=InAModuleList), ByBuffers],
}


def coupling(half, log_det=lambda s: s.sum(1)):
    """A coupling with another half or log-det."""

    def answer(keep, change, net):
        s, t = s_and_t(net, keep)
        return half(change, s, t), log_det(s)

    return answer


def detached_clamp(keep, change, net):
    h, t = net(keep).chunk(2, 1)
    s = soft_clamp(h).detach()
    return change * s.exp() + t, s.sum(1)


MISTAKES = {
    "2.1": [
        (lambda kept, changed, f: (changed, kept ^ f(changed)), "encrypt once more"),
        (lambda kept, changed, f: (kept, changed ^ f(kept)), "wrong order"),
        (lambda kept, changed, f: (changed - f(kept), kept), "Not minus"),
        (lambda kept, changed, f: changed ^ f(kept), "expected a pair"),
    ],
    "2.2": [
        (lambda h, c: 2 * c / math.pi * torch.atan(h), "inside the arctangent"),
        (lambda h, c: c * torch.tanh(h / c), "tanh"),
        (lambda h, c: 0.636 * c * torch.atan(h / c), "rounded"),
        (lambda h, c: 2 * c / np.pi * np.arctan(h.numpy() / c), "NumPy knows no gradient"),
        (lambda h, c: soft_clamp(h, c).detach(), "get none"),
    ],
    "2.3": [
        (coupling(lambda x, s, t: (x + t) * s.exp()), "shift before you scale"),
        (coupling(lambda x, s, t: x * s.exp()), "shift t is missing"),
        (lambda keep, change, net: couple(change, change, net), "about the kept one"),
        (coupling(lambda x, s, t: x * s.exp() + t, lambda s: s), "You give s itself"),
        (detached_clamp, "the gradients are off"),
        (torch.no_grad()(couple), "training cannot move them"),
    ],
    "2.4": [
        (coupling(lambda x, s, t: x * (-s).exp() - t), "scale before the shift"),
        (coupling(lambda x, s, t: x * s.exp() + t), "couple once more"),
        (coupling(lambda x, s, t: (x - t) * (-s).exp()), "the way there; there"),
    ],
    "2.5": [
        (LooksAtOld, "the old y1"),
        (UndoneInOrder, "in which they were made"),
        (LogDetOfTheWayThere, "the other sign"),
        (lambda d, make: "block", "Expected an `nn.Module`"),
        (Untrainable, "4 of 8 tensors that should get a gradient get none"),
    ],
    "2.6": [
        (lambda z, order: z[:, order], "same order once more"),
        (lambda z, order: z, "Nothing has moved"),
        (lambda z, order: z[order.argsort()], "rows"),
    ],
    "2.7": [
        (step(forget="never"), "step before are still in"),
        (step(forget="after"), "have not moved"),
        (step(walk=False), "have not moved"),
        (step(loss=lambda z, log_det: nll(z, -log_det)), "wrong sign in your loss"),
        (step(result=lambda loss, flow, y: loss), "as a number"),
        (step(result=lambda loss, flow, y: nll(*flow(y)).item()), "anew after the step"),
    ],
    "2.8": [
        (flow(order=lambda k, d: np.arange(d)), "no permutations"),
        (
            flow(order=lambda k, d: np.random.RandomState(k).permutation(d).argsort()),
            "inverse ones",
        ),
        (flow(total=lambda log_dets: log_dets[-1]), "of the last block"),
        (flow(listed=list), "no parameters"),
        (flow(listed=lambda b: nn.ModuleList(b[:1] * len(b))), "numbers to train"),
        (flow(between=torch.Tensor.detach), "the gradients are off"),
    ],
}
OPEN = {"2.8": [(NoWayBack, "forward is right")]}
