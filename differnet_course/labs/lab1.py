"""Checks of lab 1: change of variables, flows and their log-dets, the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import LogNormal, MultivariateNormal, Normal

from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import (
    as_numbers,
    compare,
    log_det_by_autograd,
    log_det_mistakes,
    same,
)
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Close, Exercise, Wrong

__all__ = ["EXERCISES"]

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)
SHARE = 0.02  # a mistake is the same mistake with N - 1 in the place of N


def _pace(answer: Answer, draw: Draw) -> None:
    mean = draw.integer(80, 120)
    deviation = draw.integer(10, 20)

    def p_v(v: Tensor) -> Tensor:
        return Normal(mean, deviation).log_prob(torch.as_tensor(v)).exp()

    t = draw.uniform(25.0, 60.0, draw.integer(5, 9)).requires_grad_()
    # by another road: the share of cars slower than t, differentiated
    cumulated = 0.5 - 0.5 * torch.erf((3600 / t - mean) / (deviation * math.sqrt(2)))
    (wanted,) = torch.autograd.grad(cumulated.sum(), t)
    t = t.detach()
    plain = p_v(3600 / t)
    factor = wanted / plain
    mistakes = {
        "forgot_factor": plain,
        "factor_upside_down": plain / factor,
        "negative": -wanted,
        "factor_speed": plain * 3600 / t,
        "density_of_warm_up": Normal(100, 25).log_prob(3600 / t).exp() * factor,
    }
    compare("The density of the pace is", answer(t, p_v), wanted, mistakes)


def _log_density(answer: Answer, draw: Draw) -> None:
    mean = draw.number(-1, 1)
    deviation = draw.number(0.3, 0.8)
    y = draw.uniform(0.5, 3.0, draw.integer(5, 9))
    wanted = LogNormal(mean, deviation).log_prob(y)  # what f turns into a standard normal
    standard = Normal(0.0, 1.0)
    for sign in (1, -1):  # a rising and a falling f

        def f(y: Tensor, sign: int = sign) -> Tensor:
            return sign * (y.log() - mean) / deviation

        with explained("does not require grad", "autograd_nothing_differentiate"):
            got = answer(f, y)
        if sign == -1 and not as_numbers(got).isfinite().all():
            raise Wrong("nan_for_falling")
        p_z = standard.log_prob(f(y))
        log_slope = wanted - p_z
        mistakes = {
            "log_det_missing": p_z,
            "log_det_sign": p_z - log_slope,
            "constant_normal_density": wanted + HALF_LOG_2_PI,
            "give_density_logarithm": wanted.exp(),
            "add_factor_f": p_z + log_slope.exp(),
            "slopes_n_times": wanted - math.log(len(y)),
            "summed_over_batch": wanted.sum(),
        }
        compare("The log-density is", got, wanted, mistakes)


def _linear_flow(answer: Answer, draw: Draw) -> None:
    n = draw.integer(5, 8)
    d = draw.integer(2, 4)
    y = draw.normal(n, d)
    b = draw.normal(d, mean=1.0)
    a = draw.normal(d, d) + 2 * torch.eye(d)
    for matrix in (a, torch.cat([-a[:1], a[1:]])):  # one of the two has a negative determinant
        z, log_det = answer.pair(y, matrix, b)
        mistakes = {
            "z_multiplied_transposed": (y - b) @ matrix,
            "take_b_off": y @ matrix.T - b,
        }
        wanted = torch.einsum("ij,nj->ni", matrix, y - b)
        compare("z is", z, wanted, mistakes)
        if not as_numbers(log_det, "The log-det is").isfinite().all():
            raise Wrong("log_det_nan")
        one = torch.linalg.svdvals(matrix).log().sum()
        mistakes = log_det_mistakes(one.expand(n)) | {
            "log_det_number": one,
            "give_det_logarithm": torch.linalg.det(matrix).expand(n),
        }
        compare("The log-det is", log_det, one.expand(n), mistakes)


def _logit(answer: Answer, draw: Draw) -> None:
    y = draw.uniform(0.02, 0.98, draw.integer(5, 6), draw.integer(2, 4))
    y[0, 0] = 0.02
    y[1, 1] = 0.98
    z, log_det = answer.pair(y)
    mistakes = {
        "brackets_off": y.log() / (1 - y),
        "sigmoid_way_back": y.sigmoid(),
    }
    compare("z is", z, torch.special.logit(y), mistakes)
    entries = torch.distributions.SigmoidTransform().inv.log_abs_det_jacobian(y, torch.logit(y))
    mistakes = log_det_mistakes(entries.sum(1)) | {
        "log_derivative_each": entries,
        "not_over_the_features": entries.sum(0),
        "took_mean_over": entries.mean(1),
        "differentiate_log_1": (1 / y - 1 / (1 - y)).abs().log().sum(1),
    }
    compare("The log-det is", log_det, entries.sum(1), mistakes)


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
    if not callable(flow):
        raise Wrong("compose_first_second")
    z, log_det = Answer(flow, "compose(first, second)").pair(y)
    x, one = first(y)
    wanted, two = second(x)
    mistakes = {"run_second_before": first(second(y)[0])[0]}
    compare("z is", z, wanted, mistakes)
    mistakes = {
        "take_second_log": one + second(y)[1],
        "multiply_log_dets": one * two,
        "log_det_second": one,
        "log_det_first": two,
    }
    right = log_det_by_autograd(lambda row: second(first(row[None])[0])[0][0], y)
    compare("The log-det is", log_det, right, mistakes)


def _planar(answer: Answer, draw: Draw) -> None:
    n = draw.integer(5, 7)
    d = draw.integer(3, 5)
    y = draw.normal(n, d)
    w = draw.normal(d)
    u = draw.normal(d)
    u = -2.5 * u / (u @ w)
    b = draw.number(-1, 1)
    y[0] -= (y[0] @ w + b) * w / (w @ w)  # tanh is steepest here: the determinant is -1.5
    wanted = log_det_by_autograd(lambda row: row + u * torch.tanh(row @ w + b), y)
    got = answer(y, u, w, b)
    if not as_numbers(got, "The log-det is").isfinite().all():
        raise Wrong("log_det_nan")
    height = torch.tanh(y @ w + b)
    mistakes = log_det_mistakes(wanted) | {
        "took_tanh_derivative": (1 + height * (u @ w)).abs().log(),
        "identity_missing": ((1 - height**2) * (u @ w)).abs().log(),
        "derivative_tanh_missing": (1 + u @ w).abs().log().expand(n),
    }
    compare("The log-det is", got, wanted, mistakes)


def _nll(answer: Answer, draw: Draw) -> None:
    n = draw.integer(6, 8)
    d = draw.integer(3, 5)
    z = draw.normal(n, d, deviation=1.5).requires_grad_()
    log_det = draw.normal(n, mean=1.0)
    normal = MultivariateNormal(torch.zeros(d), torch.eye(d))
    wanted = -(normal.log_prob(z) + log_det).mean() / d - HALF_LOG_2_PI
    pull = 0.5 * z.square().sum(1).mean()
    reward = log_det.mean()
    got = answer(z, log_det)
    mistakes = {
        "log_det_wrong": (pull + reward) / d,
        "loss_yet_divided": wanted * d,
        "summed_over_batch": wanted * n,
        "half_missing": (2 * pull - reward) / d,
        "kept_constant_log": wanted + HALF_LOG_2_PI,
        "norm_not_squared": (0.5 * torch.linalg.vector_norm(z, dim=1).mean() - reward) / d,
        "divided_n_d": wanted * d / n,
        "log_det_missing": pull / d,
        "log_likelihood": -wanted,
    }
    compare("The loss is", got, wanted, mistakes)
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Wrong("value_right_but")


def _fit_linear_flow(answer: Answer, draw: Draw) -> None:
    n = draw.integer(60, 80)
    d = draw.integer(2, 4)
    y = draw.normal(n, d) * torch.logspace(0, -1, d) @ (torch.eye(d) + 0.7 * draw.normal(d, d))
    y = y + draw.normal(d) * 3
    a, b = (as_numbers(x, "A and b are") for x in answer.pair(y))
    mean = y.mean(0)
    if a.shape != (d, d) or b.shape != (d,):
        raise Wrong("expected_shape_b", d=(d, d), d_2=(d,), a=tuple(a.shape), b=tuple(b.shape))
    if not same(b, mean, 1e-6):
        if same(b, a @ mean, 1e-6):
            raise Wrong("b_of_another_form")
        if same(b, -mean, 1e-6):
            raise Wrong("b_wrong_sign")
        raise Wrong("mean_z_0")
    cov = torch.cov(y.T, correction=0)
    z_cov = a @ cov @ a.T
    identity = torch.eye(d)
    if same(z_cov, identity, 1e-6):
        return
    if same(z_cov, identity * (n - 1) / n, 1e-6):
        raise Close("best_linear_flow", n=(n - 1) / n)
    values, vectors = torch.linalg.eigh(cov)
    root = torch.linalg.cholesky(cov)
    mistakes = {
        "covariance_itself": cov,
        "transposed": torch.linalg.inv(root).T,
        "root_itself": root,
        "eigenvectors_columns_take": vectors / values.sqrt(),
    }
    for message, value in mistakes.items():
        if same(a, value, SHARE):
            raise Wrong(message)
    if same(a @ (y.T @ y / n) @ a.T, identity, SHARE):
        raise Wrong("not_centred")
    if same(z_cov.diagonal(), torch.ones(d), SHARE):
        raise Wrong("still_correlated")
    raise Wrong("not_whitened")


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
