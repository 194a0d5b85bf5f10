"""Held-back tests of lab 1: single rows, one dimension, many dimensions, other functions."""

from __future__ import annotations

import torch

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, log_det_by_autograd
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong


def pace(answer: Answer, draw: Draw) -> None:
    t = draw.uniform(1.0, 90.0, 3)
    compare("density", answer(t, lambda v: 1 / v), 1 / t)  # |d log v / dt|


def density(answer: Answer, draw: Draw) -> None:
    y = draw.normal(1, deviation=2.0)
    p_y = torch.distributions.Normal(1.0, 0.25)
    compare("log-density", answer(lambda y: 4 - 4 * y, y), p_y.log_prob(y))


def linear(answer: Answer, draw: Draw) -> None:
    d = 9
    y = draw.normal(1, d)
    a = draw.normal(d, d)
    b = draw.normal(d)
    z, log_det = answer.pair(y, a, b)
    compare("z", z, (a @ (y - b)[0])[None])
    compare("log-det", log_det, log_det_by_autograd(lambda row: a @ row, y))


def logit(answer: Answer, draw: Draw) -> None:
    for shape in ((1, 7), (6, 1)):
        y = draw.uniform(0.001, 0.999, *shape)
        z, log_det = answer.pair(y)
        compare("z", torch.sigmoid(as_numbers(z)), y)
        compare("log-det", log_det, log_det_by_autograd(torch.special.logit, y))


def composed(answer: Answer, draw: Draw) -> None:
    def double(y):
        return 2 * y, torch.full((len(y),), y.shape[1] * torch.log(torch.tensor(2.0)).item())

    def sinh(y):
        return torch.sinh(y), torch.cosh(y).log().sum(1)

    y = draw.normal(4, 2)
    flow = Answer(answer(answer(double, sinh), double))
    z, log_det = flow.pair(y)
    compare("z", z, 2 * torch.sinh(2 * y))
    compare("log-det", log_det, log_det_by_autograd(lambda row: 2 * torch.sinh(2 * row), y))


def loss(answer: Answer, draw: Draw) -> None:
    z = draw.normal(1, 768)
    log_det = draw.normal(1, deviation=500.0)
    wanted = (torch.linalg.vector_norm(z) ** 2 / 2 - log_det.sum()) / 768
    compare("loss", answer(z, log_det), wanted)


def best_linear(answer: Answer, draw: Draw) -> None:
    y = draw.normal(400, 12) @ draw.normal(12, 12) + 50
    a, b = (as_numbers(x) for x in answer.pair(y))
    z = (y - b) @ a.T
    compare("mean", z.mean(0) + 1, torch.ones(12))
    if not torch.allclose(torch.cov(z.T, correction=0), torch.eye(12), atol=1e-2):
        raise Wrong("covariance")


def planar(answer: Answer, draw: Draw) -> None:
    y = draw.normal(3, 1)
    u = draw.normal(1)
    w = draw.normal(1)
    wanted = log_det_by_autograd(lambda row: row + u * torch.tanh(row * w - 2), y)
    compare("log-det", answer(y, u, w, -2.0), wanted)


HELD_BACK = {
    "1.1": pace,
    "1.2": density,
    "1.3": linear,
    "1.4": logit,
    "1.5": composed,
    "1.6": loss,
    "1.7": best_linear,
    "1.9": planar,
}
