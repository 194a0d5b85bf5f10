"""Lab 2, blocks and flows: right answers in several styles, and mistakes."""

from __future__ import annotations

import FrEIA.modules as Fm
import numpy as np
import torch
from answers_lab2 import couple, couple_by_einsum, s_and_t, uncouple
from torch import nn

from differnet_lite.flow import soft_clamp


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
    """Its second network is asked without a gradient."""

    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z1, one = couple(y2, y1, self.first)
        with torch.no_grad():
            s, t = s_and_t(self.second, z1)
        return torch.cat([z1, y2 * s.exp() + t], 1), one + s.sum(1)


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


class NoWayBack(flow_class()):
    inverse = None


RIGHT = {
    "2.5": [Block, ByEinsum, InAModuleList, ByFreia],
    "2.8": [flow_class(), flow_class(block=ByFreia), flow_class(block=InAModuleList), ByBuffers],
}
MISTAKES = {
    "2.5": [
        (lambda d, make: "block", "Expected an `nn.Module`"),
        (Untrainable, "gradients reach only 4 of 8 tensors"),
    ],
    "2.8": [
        (flow_class(listed=list), "no parameters"),
        (flow_class(listed=lambda b: nn.ModuleList(b[:1] * len(b))), "numbers to train"),
        (flow_class(between=torch.Tensor.detach), "the gradients are off"),
    ],
}
OPEN = {"2.8": [(NoWayBack, "forward is right")]}
