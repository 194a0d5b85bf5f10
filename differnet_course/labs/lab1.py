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
        "You forgot the factor: an interval of pace is not as wide as the interval of speed with "
        "the same cars.": plain,
        "Your factor is upside down, |dt/dv|. You need the width in speed per width in pace, "
        "|dv/dt|.": plain / factor,
        "Your density is negative, for dv/dt is: a faster car has a smaller pace. What do the bars "
        "in |dv/dt| do?": -wanted,
        "Your factor is the speed. Differentiate 3600 / t by t.": plain * 3600 / t,
        "You take the density of the speed at t, which is a pace. At which speed?": p_v(t) * factor,
        "You use the density of the warm-up's speeds; use the `p_v` that is given.": (
            Normal(100, 25).log_prob(3600 / t).exp() * factor
        ),
    }
    hint = "The formula is p_T(t) = p_V(v(t)) |dv/dt|."
    compare("The density of the pace is", answer(t, p_v), wanted, mistakes, hint=hint)


def _log_density(answer: Answer, draw: Draw) -> None:
    mean = draw.number(-1, 1)
    deviation = draw.number(0.3, 0.8)
    y = draw.uniform(0.5, 3.0, draw.integer(5, 9))
    wanted = LogNormal(mean, deviation).log_prob(y)  # what f turns into a standard normal
    standard = Normal(0.0, 1.0)
    for sign in (1, -1):  # a rising and a falling f

        def f(y: Tensor, sign: int = sign) -> Tensor:
            return sign * (y.log() - mean) / deviation

        with explained(
            "does not require grad",
            "Autograd has nothing to differentiate by: y does not ask for a gradient. Work with a "
            "copy that does, as the first hint says.",
        ):
            got = answer(f, y)
        if sign == -1 and not as_numbers(got).isfinite().all():
            raise Wrong(
                "Right for a rising f, and nan for a falling one: its derivative is negative, and "
                "has no logarithm. The formula has bars there."
            )
        p_z = standard.log_prob(f(y))
        log_slope = wanted - p_z
        mistakes = {
            "You give log p_Z(f(y)) alone: the log-det, log |f'(y)|, is missing.": p_z,
            "Your log-det has the sign of the inverse: add it.": p_z - log_slope,
            "The constant of the normal density, -log(2 pi) / 2, is missing. A loss can do "
            "without, a density cannot.": wanted + HALF_LOG_2_PI,
            "You give the density; its logarithm is asked for.": wanted.exp(),
            "You add the factor |f'(y)| itself. The density has the factor; its logarithm has the "
            "factor's logarithm.": p_z + log_slope.exp(),
            "You take the density of Z at y. Which z belongs to y?": standard.log_prob(y)
            + log_slope,
            "You summed log |f'(y)| over the batch: each y has its own.": p_z + log_slope.sum(),
            "Your slopes are N times too small: differentiate the sum, not the mean.": wanted
            - math.log(len(y)),
            "You give the log-det alone: log p_Z(f(y)) is missing.": log_slope,
            "You summed over the batch. Each y has a density of its own.": wanted.sum(),
            "You took the mean over the batch. Each y has a density of its own.": wanted.mean(),
        }
        hint = "The formula is log p_Y(y) = log p_Z(f(y)) + log |f'(y)|."
        compare("The log-density is", got, wanted, mistakes, hint=hint)


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
        "Your log-det has the wrong sign: it is a reward for spreading the data out, and must "
        "lower the loss.": (pull + reward) / d,
        "The loss is not yet divided by D: nats per dimension are asked for.": wanted * d,
        "You summed over the batch: then the loss grows with its size. Average.": wanted * n,
        "You summed over the batch and did not divide by D.": wanted * n * d,
        "You divided the first term by D only, not the log-det.": pull / d - reward,
        "You divided the log-det by D only, not the first term.": pull - reward / d,
        "The 1/2 in front of the squared norm is missing.": (2 * pull - reward) / d,
        "You kept the constant log(2 pi) / 2. Right as a density; but no parameter can change it, "
        "and the loss of this course goes without.": wanted + HALF_LOG_2_PI,
        "You took the norm of z; its square is asked for.": (
            0.5 * torch.linalg.vector_norm(z, dim=1).mean() - reward
        )
        / d,
        "You divided by N where D belongs: z has N rows and D columns.": wanted * d / n,
        "The log-det is missing: alone, the first term is won by z = 0.": pull / d,
        "This is the log-likelihood. A loss is to be made small: turn its sign.": -wanted,
    }
    hint = "It is ((1/2) |z|^2 - log_det) / D, averaged over the rows."
    compare("The loss is", got, wanted, mistakes, hint=hint)
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Wrong(
            "The value is right, but nothing can be trained by it: the gradient is lost. Return "
            "the tensor itself, without `.item()`, `float`, `.detach()` or NumPy."
        )


def _fit_linear_flow(answer: Answer, draw: Draw) -> None:
    n = draw.integer(60, 80)
    d = draw.integer(2, 4)
    y = draw.normal(n, d) * torch.logspace(0, -1, d) @ (torch.eye(d) + 0.7 * draw.normal(d, d))
    y = y + draw.normal(d) * 3
    a, b = (as_numbers(x, "A and b are") for x in answer.pair(y))
    mean = y.mean(0)
    if a.shape != (d, d) or b.shape != (d,):
        raise Wrong(
            f"Expected A of shape {(d, d)} and b of shape {(d,)}, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    if not same(b, mean, 1e-6):
        if same(b, a @ mean, 1e-6):
            raise Wrong("Your b belongs to z = A y - b. Here it is z = A (y - b).")
        if same(b, -mean, 1e-6):
            raise Wrong("Your b has the wrong sign: z = A (y - b) takes it off.")
        raise Wrong(
            "The mean of z is not 0 with your b. Which b makes the mean of |A (y - b)|^2 smallest?"
        )
    cov = torch.cov(y.T, correction=0)
    z_cov = a @ cov @ a.T
    identity = torch.eye(d)
    if same(z_cov, identity, 1e-6):
        return
    if same(z_cov, identity * (n - 1) / n, 1e-6):
        raise Close(
            "The best linear flow but for a factor: you divide by N - 1 in the covariance; the "
            f"mean loss is smallest with N. The variance of z is {(n - 1) / n:.4f}, not 1."
        )
    values, vectors = torch.linalg.eigh(cov)
    root = torch.linalg.cholesky(cov)
    mistakes = {
        "Your A is the covariance: it stretches what is wide already. It should undo it.": cov,
        "Your A is the inverse covariance, so that z has the covariance inv(C) C inv(C). You need "
        "A C A^T = I: of which matrix is that the inverse?": torch.linalg.inv(cov),
        "Your A is transposed: with C = L L^T, which of inv(L) and its transpose gives "
        "A C A^T = I?": torch.linalg.inv(root).T,
        "Your A is L itself: it adds the correlations, and should undo them.": root,
        "Your A has the eigenvectors in its columns; to take y's component along each of them, "
        "they belong in the rows.": vectors / values.sqrt(),
        "You divide by the variances. Deviations have the unit of y; and correlations?": torch.diag(
            1 / cov.diagonal()
        ),
    }
    for message, value in mistakes.items():
        if same(a, value, SHARE):
            raise Wrong(message)
    if same(a @ (y.T @ y / n) @ a.T, identity, SHARE):
        raise Wrong("Your C is not that of the formula: take b off every row first.")
    if same(z_cov.diagonal(), torch.ones(d), SHARE):
        raise Wrong(
            "Each entry of z has variance 1, but they are still correlated: dividing by the "
            "deviations is not enough. The loss can fall further by turning the axes."
        )
    raise Wrong("z = A (y - b) should have covariance I: A C A^T = I, where C is that of y.")


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
