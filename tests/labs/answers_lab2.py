"""Lab 2: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import math

import numpy as np
import torch

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


def columns_put_back(z, order):
    y = torch.empty_like(z)
    y[:, order] = z
    return y


def detached_clamp(keep, change, net):
    h, t = net(keep).chunk(2, 1)
    s = soft_clamp(h).detach()
    return change * s.exp() + t, s.sum(1)


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
    "2.6": [
        lambda z, order: z[:, order.argsort()],
        columns_put_back,
        lambda z, order: torch.stack([z[:, list(order).index(i)] for i in range(len(order))], 1),
        lambda z, order: z @ torch.eye(len(order))[order],
        lambda z, order: z.numpy()[:, np.argsort(order.numpy())],
    ],
    "2.7": [
        step,
        step_by_closure,
        step_by_grad,
        lambda flow, optimiser, y: step(flow, optimiser, y, torch.Tensor.detach),
        lambda flow, optimiser, y: step(flow, optimiser, y, float),
    ],
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
    "2.7": [
        (lambda flow, optimiser, y: step(flow, optimiser, y, lambda loss: loss), "as a number"),
    ],
}
