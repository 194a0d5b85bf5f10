"""Lab 1: every typical mistake gets its own message, a hard-coded answer fails."""

from __future__ import annotations

import math

import pytest
import torch

NORMAL = torch.distributions.Normal(0.0, 1.0)


def slope(f, y):
    y = y.clone().requires_grad_()
    return torch.autograd.grad(f(y).sum(), y)[0]


def det(a, y):
    return torch.linalg.slogdet(a).logabsdet.expand(len(y))


def logits(y):
    return torch.log(y / (1 - y))


def derivative(y):
    return 1 / (y * (1 - y))


def chain(first, second, *, z=None, log_det):
    """A composed flow with another output or log-det."""

    def flow(y):
        x, one = first(y)
        out, two = second(x)
        return (out if z is None else z(first, second, y)), log_det(one, two, second(y)[1])

    return flow


def loss(z, log_det):
    return (z.square().sum(1) / 2 - log_det).mean() / z.shape[1]


def inverse_root(c):
    return torch.linalg.inv(torch.linalg.cholesky(c))


def whitening(y):
    return inverse_root((y - y.mean(0)).T @ (y - y.mean(0)) / len(y))


def cov(y):
    return torch.cov(y.T, correction=0)


def by_eigenvectors_in_columns(y):
    values, vectors = torch.linalg.eigh(cov(y))
    return vectors / values.sqrt(), y.mean(0)


def fold(y, w, b):
    return torch.tanh(y @ w + b)


MISTAKES = {
    "1.1": [
        (
            lambda t, p: torch.distributions.Normal(100, 25).log_prob(3600 / t).exp() * 3600 / t**2,
            "the `p_v` that is given",
        ),
        (lambda t, p: p(3600 / t), "forgot the factor"),
        (lambda t, p: p(3600 / t) * t**2 / 3600, "upside down"),
        (lambda t, p: -p(3600 / t) * 3600 / t**2, "negative"),
        (lambda t, p: p(3600 / t) * 3600 / t, "factor is the speed"),
        (lambda t, p: p(t) * 3600 / t**2, "which is a pace"),
        (lambda t, p: (p(3600 / t) * 3600 / t**2).sum(), "expected shape"),
    ],
    "1.2": [
        (lambda f, y: NORMAL.log_prob(f(y)) + slope(f, y).abs(), "factor's logarithm"),
        (lambda f, y: NORMAL.log_prob(y) + slope(f, y).abs().log(), "density of Z at y"),
        (lambda f, y: NORMAL.log_prob(f(y)) + slope(f, y).abs().log().sum(), "over the batch"),
        (lambda f, y: NORMAL.log_prob(f(y)) + (slope(f, y) / len(y)).abs().log(), "the mean"),
        (lambda f, y: torch.autograd.grad(f(y).sum(), y)[0], "does not ask for a gradient"),
        (lambda f, y: NORMAL.log_prob(f(y)), "log |f'(y)|, is missing"),
        (lambda f, y: NORMAL.log_prob(f(y)) - slope(f, y).abs().log(), "sign of the inverse"),
        (lambda f, y: NORMAL.log_prob(f(y)) + slope(f, y).log(), "nan for a falling one"),
        (lambda f, y: -0.5 * f(y) ** 2 + slope(f, y).abs().log(), "The constant"),
        (lambda f, y: NORMAL.log_prob(f(y)).exp() * slope(f, y).abs(), "its logarithm"),
        (lambda f, y: slope(f, y).abs().log(), "log-det alone"),
        (lambda f, y: (NORMAL.log_prob(f(y)) + slope(f, y).abs().log()).sum(), "summed over"),
    ],
    "1.3": [
        (lambda y, a, b: ((y - b) @ a, det(a, y)), "transposed"),
        (lambda y, a, b: (y @ a.T - b, det(a, y)), "after the matrix"),
        (lambda y, a, b: ((y + b) @ a.T, det(a, y)), "You add b"),
        (lambda y, a, b: ((y - b) @ a.T, det(a, y)[0]), "one number"),
        (lambda y, a, b: ((y - b) @ a.T, -det(a, y)), "sign of the inverse"),
        (lambda y, a, b: ((y - b) @ a.T, det(a, y).exp()), "its logarithm"),
        (lambda y, a, b: ((y - b) @ a.T, torch.logdet(a).expand(len(y))), "inside out"),
        (lambda y, a, b: ((y - b) @ a.T, det(a, y).sum()), "summed over the batch"),
        (lambda y, a, b: (y - b) @ a.T, "expected a pair"),
    ],
    "1.4": [
        (
            lambda y: (logits(y), (1 / y - 1 / (1 - y)).abs().log().sum(1)),
            "two minus signs",
        ),
        (lambda y: (torch.log(y) / (1 - y), derivative(y).log().sum(1)), "brackets"),
        (lambda y: (torch.sigmoid(y), derivative(y).log().sum(1)), "the way back"),
        (lambda y: (logits(y), derivative(y).log()), "the product of its diagonal"),
        (lambda y: (logits(y), -derivative(y).log().sum(1)), "sign of the inverse"),
        (lambda y: (logits(y), derivative(y).log().sum(0)), "not over the features"),
        (lambda y: (logits(y), derivative(y).log().sum()), "summed over the batch too"),
        (lambda y: (logits(y), derivative(y).log().mean(1)), "mean over the features"),
        (lambda y: (logits(y), -y.log().sum(1)), "Half of the derivative"),
    ],
    "1.5": [
        (lambda f, g: chain(g, f, log_det=lambda one, two, _: one + two), "before `first`"),
        (lambda f, g: chain(f, g, log_det=lambda one, two, at_y: one + at_y), "never sees y"),
        (lambda f, g: chain(f, g, log_det=lambda one, two, _: one * two), "multiply"),
        (lambda f, g: chain(f, g, log_det=lambda one, two, _: one), "`second` is missing"),
        (lambda f, g: chain(f, g, log_det=lambda one, two, _: two), "`first` is missing"),
        (lambda f, g: g(f(torch.ones(2, 3))[0]), "should give a function"),
        (lambda f, g: lambda y: g(f(y)), "take z alone"),
        (lambda f, g: g(f), "Define a function of y"),
    ],
    "1.6": [
        (lambda z, log_det: loss(z, -log_det), "wrong sign"),
        (lambda z, log_det: loss(z, log_det) * z.shape[1], "not yet divided by D"),
        (lambda z, log_det: loss(z, log_det) * len(z), "summed over the batch: then"),
        (
            lambda z, log_det: (z**2 / 2).sum(1).mean() / z.shape[1] - log_det.mean(),
            "first term by",
        ),
        (lambda z, log_det: loss(math.sqrt(2) * z, log_det), "1/2 in front"),
        (lambda z, log_det: loss(z, log_det) + math.log(2 * math.pi) / 2, "kept the constant"),
        (lambda z, log_det: loss(z, 0 * log_det), "log-det is missing"),
        (lambda z, log_det: -loss(z, log_det), "turn its sign"),
        (lambda z, log_det: loss(z, log_det).item(), "gradient is lost"),
        (lambda z, log_det: loss(z, log_det) * z.shape[1] / len(z), "N where D belongs"),
        (lambda z, log_det: (z.norm(dim=1) / 2 - log_det).mean() / z.shape[1], "its square"),
    ],
    "1.7": [
        (lambda y: (cov(y), y.mean(0)), "A is the covariance"),
        (lambda y: (torch.linalg.inv(cov(y)), y.mean(0)), "inverse covariance"),
        (lambda y: (whitening(y).T, y.mean(0)), "transposed"),
        (lambda y: (torch.linalg.cholesky(cov(y)), y.mean(0)), "L itself"),
        (by_eigenvectors_in_columns, "belong in the rows"),
        (lambda y: (torch.diag(1 / y.std(0, correction=0)), y.mean(0)), "still correlated"),
        (lambda y: (torch.diag(1 / y.std(0)), y.mean(0)), "still correlated"),
        (lambda y: (torch.linalg.inv(torch.cov(y.T)), y.mean(0)), "inverse covariance"),
        (lambda y: (inverse_root(y.T @ y / len(y)), y.mean(0)), "take b off every row"),
        (lambda y: (torch.diag(1 / y.var(0, correction=0)), y.mean(0)), "by the variances"),
        (lambda y: (whitening(y), whitening(y) @ y.mean(0)), "z = A y - b"),
        (lambda y: (whitening(y), -y.mean(0)), "wrong sign"),
        (lambda y: (whitening(y), 0 * y[0]), "mean of z is not 0"),
    ],
    "1.9": [
        (lambda y, u, w, b: torch.log(1 + (1 - fold(y, w, b) ** 2) * (u @ w)), "bars are missing"),
        (lambda y, u, w, b: (1 + fold(y, w, b) * (u @ w)).abs().log(), "its derivative belongs"),
        (lambda y, u, w, b: ((1 - fold(y, w, b) ** 2) * (u @ w)).abs().log(), "The identity"),
        (lambda y, u, w, b: (1 + u @ w).abs().log().expand(len(y)), "derivative of tanh is"),
    ],
}
EVERY = [(label, *mistake) for label, found in MISTAKES.items() for mistake in found]


@pytest.mark.parametrize(("label", "answer", "says"), EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_gets_its_own_message(verdict, label, answer, says, seed):
    found = verdict(label, answer, seed=seed)
    assert found.kind == "wrong" and says in found.text


def test_nearly_right_is_called_so(verdict):
    def in_float32(z, log_det):
        return loss(z.float(), log_det.float())

    found = verdict("1.6", in_float32)
    assert found.kind == "close" and found.passed and "difference of" in found.text
    found = verdict("1.7", lambda y: (whitening(y) * (1 - 1 / len(y)) ** 0.5, y.mean(0)))
    assert found.kind == "close" and "N - 1" in found.text
