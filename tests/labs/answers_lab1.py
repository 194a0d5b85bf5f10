"""Lab 1: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import nn
from torch.func import grad, jacrev, jvp, vmap

NORMAL = torch.distributions.Normal(0.0, 1.0)


def slopes_by_graph(f, y):
    y = y.clone().requires_grad_()
    return torch.autograd.grad(f(y).sum(), y)[0]


def pace_by_autograd(t, p_v):
    return p_v(3600 / t) * slopes_by_graph(lambda t: 3600 / t, t).abs()


def logit_by_loops(y):
    z = [[torch.log(x / (1 - x)) for x in row] for row in y]
    log_det = [sum(-torch.log(x * (1 - x)) for x in row) for row in y]
    return [torch.tensor(z), torch.tensor(log_det)]


def logit_by_jacobian(y):
    z = torch.logit(y)
    return z, torch.linalg.slogdet(vmap(jacrev(torch.logit))(y)).logabsdet


class RowModule(nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, y):
        x, one = self.first(y)
        z, two = self.second(x)
        return z, torch.stack([one, two]).sum(0)


def in_turn(first, second, y):
    x, one = first(y)
    return [second(x)[0], one.add(second(x)[1])]


def then(state, flow):
    z, log_det = flow(state[0])
    return z, state[1] + log_det


def linear_fit(matrix):
    """`fit_linear_flow` with a matrix made of the centred rows."""
    return lambda y: (matrix(y - y.mean(0)), y.mean(0))


def cov(x):
    return x.T @ x / len(x)


def cholesky(x):
    return torch.linalg.inv(torch.linalg.cholesky(cov(x)))


def eigenvectors(x):
    values, vectors = torch.linalg.eigh(cov(x))
    return torch.diag(values**-0.5) @ vectors.T


def symmetric(x):
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T, bias=True))
    return vectors / np.sqrt(values) @ vectors.T


def singular(x):
    _, s, vh = torch.linalg.svd(x, full_matrices=False)
    return vh / s[:, None] * len(x) ** 0.5


def rank_one(y, u, w, b):
    matrices = [torch.eye(len(u)) + torch.outer(u, w) * (1 - torch.tanh(w @ x + b) ** 2) for x in y]
    return torch.linalg.slogdet(torch.stack(matrices)).logabsdet


def planar_by_func(y, u, w, b):
    jacobian = vmap(jacrev(lambda x: x + u * torch.tanh(w @ x + b)))(y)
    return torch.linalg.det(jacobian).abs().log()


RIGHT = {
    "1.1": [
        lambda t, p_v: p_v(3600 / t) * 3600 / t**2,
        pace_by_autograd,
        lambda pace, density: density(3600 / pace) * vmap(grad(lambda x: 3600 / x))(pace).abs(),
        lambda t, p_v: p_v(3600 / t).numpy() * np.abs(-3600 / t.numpy() ** 2),
    ],
    "1.2": [
        lambda f, y: NORMAL.log_prob(f(y)) + slopes_by_graph(f, y).abs().log(),
        lambda f, y: -(f(y) ** 2 + math.log(2 * math.pi)) / 2 + vmap(grad(f))(y).abs().log(),
        lambda f, y: NORMAL.log_prob(f(y)) + jvp(f, (y,), (torch.ones_like(y),))[1].abs().log(),
        lambda f, y: NORMAL.log_prob(f(y)) + jacrev(f)(y).diagonal().abs().log(),
    ],
    "1.3": [
        lambda y, A, b: ((y - b) @ A.T, torch.linalg.slogdet(A)[1].expand(len(y))),
        lambda y, A, b: (
            torch.einsum("ij,nj->ni", A, y - b),
            torch.linalg.svdvals(A).log().sum().repeat(len(y)),
        ),
        lambda y, A, b: (
            (y - b).numpy() @ A.numpy().T,
            np.full(len(y), np.linalg.slogdet(A.numpy())[1]),
        ),
        lambda y, A, b: (
            vmap(lambda x: A @ (x - b))(y),
            vmap(lambda x: jacrev(lambda v: A @ v)(x).det().abs().log())(y),
        ),
    ],
    "1.4": [
        lambda y: (y.log() - (1 - y).log(), -(y.log() + (1 - y).log()).sum(1)),
        lambda y: (
            np.log(y.numpy() / (1 - y.numpy())),
            -np.log(y.numpy() * (1 - y.numpy())).sum(1),
        ),
        logit_by_loops,
        logit_by_jacobian,
    ],
    "1.5": [
        RowModule,
        lambda *flows: lambda y: functools.reduce(then, flows, (y, 0)),
        lambda first, second: functools.partial(in_turn, first, second),
        lambda f, g: lambda y: (g(f(y)[0])[0], f(y)[1] + g(f(y)[0])[1]),
    ],
    "1.6": [
        lambda z, log_det: (z.square().sum(1) / 2 - log_det).mean() / z.shape[1],
        lambda z, log_det: (torch.einsum("nd,nd->n", z, z) / 2 - log_det).sum() / z.numel(),
        lambda z, log_det: sum(r @ r / 2 - log_det[i] for i, r in enumerate(z)) / z.numel(),
        lambda z, log_det: z.norm(dim=1).pow(2).mean().div(2).sub(log_det.mean()) / z.size(1),
    ],
    "1.7": [linear_fit(matrix) for matrix in (cholesky, eigenvectors, symmetric, singular)],
    "1.9": [
        lambda y, u, w, b: (1 + (1 - torch.tanh(y @ w + b) ** 2) * (u @ w)).abs().log(),
        lambda y, u, w, b: torch.log(abs(1 + (u @ w) / torch.cosh(torch.mv(y, w) + b) ** 2)),
        rank_one,
        planar_by_func,
    ],
}


def loss(z, log_det):
    return (z.square().sum(1) / 2 - log_det).mean() / z.shape[1]


MISTAKES = {
    "1.1": [(lambda t, p: (p(3600 / t) * 3600 / t**2).sum(), "of shape (); expected (")],
    "1.2": [
        (lambda f, y: torch.autograd.grad(f(y).sum(), y)[0], "does not ask for a gradient"),
        (lambda f, y: f(y) ** 2, "random input. The formula is log p_Y"),
    ],
    "1.3": [(lambda y, a, b: (y - b) @ a.T, "expected a pair")],
    "1.5": [
        (lambda f, g: g(f(torch.ones(2, 3))[0]), "should give a function"),
        (lambda f, g: lambda y: g(f(y)), "take z alone"),
        (lambda f, g: g(f), "Define a function of y"),
    ],
    "1.6": [(lambda z, log_det: loss(z, log_det).item(), "gradients reach only 0 of 1")],
    "1.7": [
        (linear_fit(lambda x: torch.diag(1 / x.std(0))), "still correlated"),
        (lambda y: (cholesky(y), y.mean(0)), "take b off every row"),
        (lambda y: (cholesky(y - y.mean(0)), 0 * y[0]), "should have mean 0"),
    ],
}
CLOSE = {
    "1.6": [(lambda z, log_det: loss(z.float(), log_det.float()), "difference of")],
    "1.7": [(linear_fit(lambda x: cholesky(x) * (1 - 1 / len(x)) ** 0.5), "N - 1")],
}
