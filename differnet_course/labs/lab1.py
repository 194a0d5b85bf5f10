"""Checks of lab 1: change of variables, flows and their log-dets, the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import LogNormal, MultivariateNormal, Normal, SigmoidTransform

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, same
from differnet_course.labs.exercises import Close, Draw, Exercise, wrong_if

__all__ = ["EXERCISES"]

SHARE = 0.02  # a mistake is the same mistake with N - 1 in the place of N


def _pace(answer: Answer, draw: Draw) -> None:
    speeds = Normal(float(draw.integer(80, 120)), float(draw.integer(10, 20)))
    t = draw.uniform(25.0, 60.0, draw.integer(5, 9)).requires_grad_()
    # by another road: the share of cars slower than t, differentiated
    (density,) = torch.autograd.grad(-speeds.cdf(3600 / t).sum(), t)
    given = {"t": t.detach(), "p_v": lambda v: speeds.log_prob(torch.as_tensor(v)).exp()}
    answer.check(given, {"The density of the pace is": density})


def _log_density(answer: Answer, draw: Draw) -> None:
    mean = draw.number(-1, 1)
    deviation = draw.number(0.3, 0.8)
    y = draw.uniform(0.5, 3.0, draw.integer(5, 9))
    right = {"The log-density is": LogNormal(mean, deviation).log_prob(y)}
    log_p_z = Normal(0.0, 1.0).log_prob
    for sign in (1, -1):  # a rising and a falling f

        def f(y: Tensor, sign: int = sign) -> Tensor:
            return sign * (y.log() - mean) / deviation

        answer.check({"f": f, "y": y}, right, log_p_z=log_p_z, slope=sign / (deviation * y))


def _linear_flow(answer: Answer, draw: Draw) -> None:
    d = draw.integer(2, 4)
    y = draw.normal(draw.integer(5, 8), d)
    b = draw.normal(d, mean=1.0)
    a = draw.normal(d, d) + 2 * torch.eye(d)
    for matrix in (a, torch.cat([-a[:1], a[1:]])):  # one of the two has a negative determinant
        z = torch.einsum("ij,nj->ni", matrix, y - b)
        log_det = torch.linalg.svdvals(matrix).log().sum().expand(len(y))
        answer.check({"y": y, "A": matrix, "b": b}, {"z is": z, "The log-det is": log_det})


def _logit(answer: Answer, draw: Draw) -> None:
    y = draw.uniform(0.02, 0.98, draw.integer(5, 6), draw.integer(2, 4))
    entries = SigmoidTransform().inv.log_abs_det_jacobian(y, torch.logit(y))
    right = {"z is": torch.logit(y), "The log-det is": entries.sum(1)}
    answer.check({"y": y}, right, entries=entries)


def _tensor_only(y: Any) -> None:
    if isinstance(y, tuple):
        raise TypeError("the flow was given a pair. Flows give pairs, and take z alone")
    if callable(y) and not isinstance(y, Tensor):
        raise TypeError("the flow was given a flow. Define a function of y inside, and return it")


def _compose(answer: Answer, draw: Draw) -> None:
    y = draw.normal(6, 3)
    a = draw.uniform(0.5, 1.5, 3)
    b = draw.normal(3)

    def first(y: Tensor) -> tuple[Tensor, Tensor]:
        _tensor_only(y)
        return y + y**3, (1 + 3 * y**2).log().sum(1)

    def second(y: Tensor) -> tuple[Tensor, Tensor]:
        _tensor_only(y)
        return torch.asinh(a * y) + b, (a / (1 + (a * y) ** 2).sqrt()).log().sum(1)

    flow = answer(first, second)
    wrong_if(not callable(flow), "no_function")
    x, one = first(y)
    z, two = second(x)
    flows: dict[str, Any] = {"first": first, "second": second, "one": one, "two": two}
    composed = answer.part(flow, "compose(first, second)")
    composed.check({"y": y}, {"z is": z, "The log-det is": one + two}, **flows)


def _planar(answer: Answer, draw: Draw) -> None:
    d = draw.integer(3, 5)
    y = draw.normal(draw.integer(5, 7), d)
    w = draw.normal(d)
    u = draw.normal(d)
    u = -2.5 * u / (u @ w)
    b = draw.number(-1, 1)
    y[0] -= (y[0] @ w + b) * w / (w @ w)  # tanh is steepest here: the determinant is -1.5
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: row + u * torch.tanh(row @ w + b)))
    right = {"The log-det is": torch.linalg.slogdet(jacobian(y)).logabsdet}
    answer.check({"y": y, "u": u, "w": w, "b": b}, right, height=torch.tanh(y @ w + b))


def _nll(answer: Answer, draw: Draw) -> None:
    n = draw.integer(6, 8)
    d = draw.integer(3, 5)
    z = draw.normal(n, d, deviation=1.5).requires_grad_()
    log_det = draw.normal(n, mean=1.0)
    normal = MultivariateNormal(torch.zeros(d), torch.eye(d))
    loss = -(normal.log_prob(z) + log_det).mean() / d - math.log(2 * math.pi) / 2
    answer.check({"z": z, "log_det": log_det}, {"The loss is": loss}, leaves=[z], n=n, d=d)


def _fit_linear_flow(answer: Answer, draw: Draw) -> None:
    n = draw.integer(60, 80)
    d = draw.integer(2, 4)
    y = draw.normal(n, d) * torch.logspace(0, -1, d) @ (torch.eye(d) + 0.7 * draw.normal(d, d))
    y = y + draw.normal(d) * 3
    a, b = (as_numbers(x, "A and b are") for x in answer.pair(y))
    shapes = [tuple(x.shape) for x in (a, b)]
    wrong_if(shapes != [(d, d), (d,)], "expected_shapes", d=d, shapes=shapes)
    answer.compare("b is", b, y.mean(0), A=a)
    cov = torch.cov(y.T, correction=0)
    z_cov = a @ cov @ a.T  # what A does but for a turn of z, which costs nothing
    identity = torch.eye(d)
    if same(z_cov, identity * (n - 1) / n, 1e-6):
        raise Close("n_minus_1", variance=(n - 1) / n)
    wrong_if(same(a @ (y.T @ y / n) @ a.T, identity, SHARE), "not_centred")
    scaled = same(z_cov.diagonal(), torch.ones(d), SHARE)
    wrong_if(scaled and not same(z_cov, identity, SHARE), "still_correlated")
    values, vectors = torch.linalg.eigh(cov)
    names = {"C": cov, "L": torch.linalg.cholesky(cov), "values": values, "vectors": vectors}
    answer.compare("The covariance of z is", z_cov, identity, **names)


EXERCISES = {
    "1.1": Exercise("density of the pace", "density_of_pace", _pace),
    "1.2": Exercise("log-density by autograd", "log_density", _log_density),
    "1.3": Exercise("linear flow", "linear_flow", _linear_flow),
    "1.4": Exercise("logit layer", "logit_layer", _logit),
    "1.5": Exercise("two flows in a row", "compose", _compose),
    "1.6": Exercise("loss", "nll", _nll),
    "1.7": Exercise("best linear flow", "fit_linear_flow", _fit_linear_flow),
    "1.9": Exercise("planar flow (extension)", "planar_log_det", _planar),
}
