"""Lab 2: every typical mistake gets its own message, a hard-coded answer fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from differnet_lite.flow import soft_clamp
from differnet_lite.loss import nll


def coefficients(net, keep):
    h, t = net(keep).chunk(2, 1)
    return h, soft_clamp(h), t


def couple(keep, change, net):
    _, s, t = coefficients(net, keep)
    return change * s.exp() + t, s.sum(1)


def uncouple(keep, changed, net):
    _, s, t = coefficients(net, keep)
    return (changed - t) * (-s).exp(), -s.sum(1)


def coupling(result, log_det=lambda h, s, t: s.sum(1)):
    """A coupling with another half or log-det."""

    def answer(keep, change, net):
        h, s, t = coefficients(net, keep)
        return result(change, h, s, t), log_det(h, s, t)

    return answer


def right(change, h, s, t):
    return change * s.exp() + t


def back(change, h, s, t):
    return (change - t) * (-s).exp()


class Block(nn.Module):
    """A right block; the mistakes below change one method."""

    def __init__(self, n_features, make_subnet):
        super().__init__()
        n1, n2 = self.widths = [n_features // 2, n_features - n_features // 2]
        self.first, self.second = make_subnet(n2, 2 * n1), make_subnet(n1, 2 * n2)

    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z1, one = couple(y2, y1, self.first)
        z2, two = couple(z1, y2, self.second)
        return self.put(z1, z2), self.total(one, two)

    def put(self, z1, z2):
        return torch.cat([z1, z2], 1)

    def total(self, one, two):
        return one + two

    def inverse(self, z):
        z1, z2 = z.split(self.widths, 1)
        y2, two = uncouple(z1, z2, self.second)
        y1, one = uncouple(y2, z1, self.first)
        return torch.cat([y1, y2], 1), one + two


class LooksAtOld(Block):
    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        (z1, one), (z2, two) = couple(y2, y1, self.first), couple(y1, y2, self.second)
        return torch.cat([z1, z2], 1), one + two


class SecondFirst(Block):
    def forward(self, y):
        y1, y2 = y.split(self.widths, 1)
        z2, two = couple(y1, y2, self.second)
        z1, one = couple(z2, y1, self.first)
        return torch.cat([z1, z2], 1), one + two


class PutWrongly(Block):
    def put(self, z1, z2):
        return torch.cat([z2, z1], 1)


class HalfLogDet(Block):
    def total(self, one, two):
        return one


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


class InAList(Block):
    def __init__(self, n_features, make_subnet):
        super().__init__(n_features, make_subnet)
        nets = [self.first, self.second]
        del self.first, self.second
        self.first, self.second = (lambda x, net=net: net(x) for net in nets)


class Flow(nn.Module):
    """A right flow; the mistakes below change one method."""

    def __init__(self, n_features, n_blocks, make_subnet):
        super().__init__()
        self.orders = [torch.as_tensor(self.order(k, n_features)) for k in range(n_blocks)]
        self.blocks = self.keep([Block(n_features, make_subnet) for _ in range(n_blocks)])

    def order(self, k, n_features):
        return np.random.RandomState(k).permutation(n_features)

    def keep(self, blocks):
        return nn.ModuleList(blocks)

    def forward(self, y):
        log_dets = []
        for order, block in zip(self.orders, self.blocks, strict=True):
            y, log_det = block(y[:, order])
            log_dets.append(log_det)
        return y, self.total(log_dets)

    def total(self, log_dets):
        return sum(log_dets)

    def inverse(self, z):
        total = 0
        for order, block in self.turns():
            z, log_det = block.inverse(z)
            z, total = z[:, order.argsort()], total + log_det
        return z, total

    def turns(self):
        return list(zip(self.orders, self.blocks, strict=True))[::-1]


class Unmixed(Flow):
    def order(self, k, n_features):
        return np.arange(n_features)


class OneOrder(Flow):
    def order(self, k, n_features):
        return super().order(0, n_features)


class Inverted(Flow):
    def order(self, k, n_features):
        return super().order(k, n_features).argsort()


class Behind(Flow):
    def forward(self, y):
        total = 0
        for order, block in zip(self.orders, self.blocks, strict=True):
            y, log_det = block(y)
            y, total = y[:, order], total + log_det
        return y, total


class LastLogDet(Flow):
    def total(self, log_dets):
        return log_dets[-1]


class PlainList(Flow):
    def keep(self, blocks):
        return blocks


class OneBlockForAll(Flow):
    def keep(self, blocks):
        return nn.ModuleList(blocks[:1] * len(blocks))


class FromTheWrongEnd(Flow):
    def turns(self):
        return list(zip(self.orders, self.blocks, strict=True))


class NoWayBack(Flow):
    inverse = None


def step(
    *, forget="before", loss=nll, climb=False, walk=True, give=lambda loss, flow, y: loss.item()
):
    """A training step with one thing changed."""

    def answer(flow, optimiser, y):
        if forget == "before":
            optimiser.zero_grad()
        found = loss(*flow(y))
        (-found if climb else found).backward()
        if forget == "after":
            optimiser.zero_grad()
        if walk:
            optimiser.step()
        return give(found, flow, y)

    return answer


MISTAKES = {
    "2.1": [
        (lambda kept, changed, f: (changed, kept ^ f(changed)), "encrypt once more"),
        (lambda kept, changed, f: (kept, changed ^ f(kept)), "wrong order"),
        (lambda kept, changed, f: (changed ^ f(changed), kept), "half that was changed"),
        (lambda kept, changed, f: (kept ^ f(kept), changed), "half that was kept"),
        (lambda kept, changed, f: (kept, changed), "what came in"),
        (lambda kept, changed, f: (changed - f(kept), kept), "Not minus"),
        (lambda kept, changed, f: (changed, kept), "still in it"),
        (lambda kept, changed, f: changed ^ f(kept), "expected a pair"),
    ],
    "2.2": [
        (lambda h, c: 2 * c / math.pi * torch.atan(h), "inside the arctangent"),
        (lambda h, c: c * torch.atan(h / c), "pi / 2 times too large"),
        (lambda h, c: 2 / math.pi * torch.atan(h / c), "whatever the bound"),
        (lambda h, c: c * torch.tanh(h / c), "tanh"),
        (lambda h, c: h.clamp(-c, c), "hard clamp"),
        (lambda h, c: c / math.pi * torch.atan(h / c), "the 2 is missing"),
        (lambda h, c: 6 / math.pi * torch.atan(h / 3), "always bound by 3"),
        (lambda h, c: 0.636 * c * torch.atan(h / c), "rounded"),
    ],
    "2.3": [
        (coupling(lambda x, h, s, t: (x + t) * s.exp()), "shift before you scale"),
        (coupling(lambda x, h, s, t: x * h.exp() + t), "forgot the soft clamp"),
        (coupling(lambda x, h, s, t: x * s + t), "by s itself"),
        (coupling(lambda x, h, s, t: x * (-s).exp() + t), "the way back"),
        (coupling(lambda x, h, s, t: x * s.exp()), "shift t is missing"),
        (coupling(lambda x, h, s, t: x * s.exp() + soft_clamp(t)), "clamped the shift"),
        (lambda keep, change, net: couple(change, change, net), "about the kept one"),
        (coupling(lambda x, h, s, t: x * soft_clamp(t).exp() + h), "took t for h"),
        (coupling(right, lambda h, s, t: s), "You give s itself"),
        (coupling(right, lambda h, s, t: -s.sum(1)), "sign of the inverse"),
        (coupling(right, lambda h, s, t: s.sum()), "over the batch too"),
        (coupling(right, lambda h, s, t: s.sum(0)), "not over the features"),
        (coupling(right, lambda h, s, t: s.exp().sum(1)), "summed exp(s)"),
        (coupling(right, lambda h, s, t: h.sum(1)), "You summed h"),
    ],
    "2.4": [
        (coupling(lambda x, h, s, t: x * (-s).exp() - t), "scale before the shift"),
        (coupling(right), "couple once more"),
        (coupling(lambda x, h, s, t: (x - t) / s), "by s itself"),
        (coupling(lambda x, h, s, t: (x - t) * s.exp()), "exp(s) again"),
        (coupling(lambda x, h, s, t: (x + t) * (-s).exp()), "a second time"),
        (lambda keep, changed, net: uncouple(changed, changed, net), "the changed half"),
        (coupling(back), "the way there; there"),
        (coupling(back, lambda h, s, t: -s), "-s itself"),
    ],
    "2.5": [
        (LooksAtOld, "the old y1"),
        (SecondFirst, "change y2 first"),
        (PutWrongly, "put together"),
        (HalfLogDet, "second coupling is missing"),
        (UndoneInOrder, "in which they were made"),
        (LogDetOfTheWayThere, "the other sign"),
        (InAList, "no parameters"),
        (lambda d, make: "block", "Expected an `nn.Module`"),
    ],
    "2.6": [
        (lambda z, order: z[:, order], "same order once more"),
        (lambda z, order: z, "Nothing has moved"),
        (lambda z, order: z.flip(1), "turn the columns round"),
        (lambda z, order: z[order.argsort()], "rows"),
    ],
    "2.7": [
        (step(forget="never"), "step before are still in"),
        (step(forget="after"), "have not moved"),
        (step(walk=False), "have not moved"),
        (step(climb=True), "You climb"),
        (step(loss=lambda z, log_det: nll(z, -log_det)), "wrong sign in your loss"),
        (step(loss=lambda z, log_det: nll(z, log_det) * len(z)), "summed over the batch"),
        (step(loss=lambda z, log_det: nll(z, log_det) * z.shape[1]), "not divided by D"),
        (step(give=lambda loss, flow, y: loss), "as a number"),
        (step(give=lambda loss, flow, y: nll(*flow(y)).item()), "anew after the step"),
    ],
    "2.8": [
        (Unmixed, "no permutations"),
        (OneOrder, "same permutation"),
        (Inverted, "inverse ones"),
        (Behind, "behind the blocks"),
        (LastLogDet, "of the last block"),
        (PlainList, "no parameters"),
        (OneBlockForAll, "numbers to train"),
        (FromTheWrongEnd, "in which they were made"),
    ],
}
EVERY = [(label, *mistake) for label, found in MISTAKES.items() for mistake in found]


@pytest.mark.parametrize(("label", "answer", "says"), EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_gets_its_own_message(verdict, label, answer, says, seed):
    found = verdict(label, answer, seed=seed)
    assert found.kind == "wrong" and says in found.text


@pytest.mark.parametrize(("label", "answer"), [("2.5", Block), ("2.8", Flow)])
def test_another_right_answer_passes_too(verdict, held_back, label, answer):
    assert verdict(label, answer).kind == "right"
    assert verdict(label, answer, test=held_back[label]).kind == "right"


def test_a_flow_without_its_way_back_is_half_done(verdict):
    found = verdict("2.8", NoWayBack)
    assert found.kind == "open" and "forward is right" in found.text
