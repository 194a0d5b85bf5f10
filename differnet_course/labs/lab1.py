"""Checks of lab 1: change of variables, flows in a row, the loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import LogNormal, MultivariateNormal, Normal

from differnet_course.labs import lab1_flows
from differnet_course.labs.answers import Answer, explained
from differnet_course.labs.comparing import as_numbers, compare, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.exercises import Exercise
from differnet_course.labs.verdicts import Close, Wrong

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
        "density_at_pace": p_v(t) * factor,
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
            "take_density_z": standard.log_prob(y) + log_slope,
            "summed_log_f": p_z + log_slope.sum(),
            "slopes_n_times": wanted - math.log(len(y)),
            "give_log_det": log_slope,
            "summed_over_batch": wanted.sum(),
            "took_mean_over": wanted.mean(),
        }
        compare("The log-density is", got, wanted, mistakes)


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
        "summed_and_not_divided": wanted * n * d,
        "divided_first_term": pull / d - reward,
        "divided_log_det": pull - reward / d,
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
        "inverse_covariance_z": torch.linalg.inv(cov),
        "transposed": torch.linalg.inv(root).T,
        "root_itself": root,
        "eigenvectors_columns_take": vectors / values.sqrt(),
        "divide_variances": torch.diag(1 / cov.diagonal()),
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
    "1.3": Exercise("linear flow", "linear_flow", lab1_flows.linear_flow),
    "1.4": Exercise("logit layer", "logit_layer", lab1_flows.logit),
    "1.5": Exercise("two flows in a row", "compose", lab1_flows.compose),
    "1.6": Exercise("loss", "nll", _nll),
    "1.7": Exercise("best linear flow", "fit_linear_flow", _fit_linear_flow),
    "1.9": Exercise("planar flow (extension)", "planar_log_det", lab1_flows.planar),
}
