"""Checks of lab 1: change of variables and the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from differnet_lite.course.check import lab1_maps
from differnet_lite.course.check.comparing import call, compare, pair, same
from differnet_lite.course.check.draws import Draw
from differnet_lite.course.check.verdicts import Close, Exercise, Wrong

__all__ = ["EXERCISES"]

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


def _pace(answer: Any, draw: Draw) -> None:
    mean, deviation = draw.integer(80, 120), draw.integer(10, 20)

    def p_v(v: Tensor) -> Tensor:
        return torch.distributions.Normal(mean, deviation).log_prob(v).exp()

    t = draw.uniform(25.0, 60.0, draw.integer(5, 9)).requires_grad_()
    # by another road: the share of cars slower than t, differentiated
    cumulated = 0.5 - 0.5 * torch.erf((3600 / t - mean) / (deviation * math.sqrt(2)))
    (wanted,) = torch.autograd.grad(cumulated.sum(), t)
    t = t.detach()
    plain = p_v(3600 / t)
    factor = wanted / plain
    compare(
        "The density of the pace",
        call(answer, t, p_v, name="density_of_pace"),
        wanted,
        [
            (
                plain,
                "You forgot the factor: an interval of pace is not as wide as the interval of "
                "speed with the same cars.",
            ),
            (
                plain / factor,
                "Your factor is upside down, |dt/dv|. You need the width in speed per width in "
                "pace, |dv/dt|.",
            ),
            (
                -wanted,
                "Your density is negative, for dv/dt is: a faster car has a smaller pace. What do "
                "the bars in |dv/dt| do?",
            ),
            (plain * 3600 / t, "Your factor is the speed. Differentiate 3600 / t by t."),
            (
                p_v(t) * factor,
                "You take the density of the speed at t, which is a pace. At which speed?",
            ),
        ],
        hint="The formula is p_T(t) = p_V(v(t)) |dv/dt|.",
    )


def _log_density(answer: Any, draw: Draw) -> None:
    mean, deviation = float(draw.uniform(-1, 1)), float(draw.uniform(0.3, 0.8))
    y = draw.uniform(0.5, 3.0, draw.integer(5, 9))
    for sign in (1, -1):  # a rising and a falling f

        def f(y: Tensor, sign: int = sign) -> Tensor:
            return sign * (y.log() - mean) / deviation

        p_y = torch.distributions.LogNormal(mean, deviation)  # what f turns into a standard normal
        wanted = p_y.log_prob(y)
        p_z = torch.distributions.Normal(0.0, 1.0).log_prob(f(y))
        got = call(answer, f, y, name="log_density")
        if sign == -1 and not torch.as_tensor(got).isfinite().all():
            raise Wrong(
                "Right for a rising f, and nan for a falling one: its derivative is negative, and "
                "has no logarithm. The formula has bars there."
            )
        compare(
            "The log-density",
            got,
            wanted,
            [
                (p_z, "You give log p_Z(f(y)) alone: the log-det, log |f'(y)|, is missing."),
                (
                    2 * p_z - wanted,
                    "Your log-det has the sign of the inverse: subtracted, not added.",
                ),
                (
                    wanted + HALF_LOG_2_PI,
                    "The constant of the normal density, -log(2 pi) / 2, is missing. A loss can do "
                    "without, a density cannot.",
                ),
                (wanted.exp(), "You give the density; its logarithm is asked for."),
                (wanted - p_z, "You give the log-det alone: log p_Z(f(y)) is missing."),
                (wanted.sum(), "You summed over the batch. Each y has a density of its own."),
                (wanted.mean(), "You took the mean over the batch. Each y has its own density."),
            ],
            hint="The formula is log p_Y(y) = log p_Z(f(y)) + log |f'(y)|.",
        )


def _nll(answer: Any, draw: Draw) -> None:
    n, d = draw.integer(6, 8), draw.integer(3, 5)
    z, log_det = draw.normal(n, d, deviation=1.5), draw.normal(n, mean=1.0)
    normal = torch.distributions.MultivariateNormal(torch.zeros(d), torch.eye(d))
    wanted = -(normal.log_prob(z) + log_det).mean() / d - HALF_LOG_2_PI
    pull, reward = 0.5 * z.square().sum(1).mean(), log_det.mean()
    compare(
        "The loss",
        call(answer, z, log_det, name="nll"),
        wanted,
        [
            (
                (pull + reward) / d,
                "Your log-det has the wrong sign: it is a reward for spreading the data out, and "
                "must lower the loss.",
            ),
            (wanted * d, "The loss is not yet divided by D: nats per dimension are asked for."),
            (wanted * n, "You summed over the batch: then the loss grows with its size. Average."),
            (wanted * n * d, "You summed over the batch and did not divide by D."),
            (pull / d - reward, "You divided the first term by D only, not the log-det."),
            (pull - reward / d, "You divided the log-det by D only, not the first term."),
            ((2 * pull - reward) / d, "The 1/2 in front of the squared norm is missing."),
            (
                wanted + HALF_LOG_2_PI,
                "You kept the constant log(2 pi) / 2. Right as a density; but no parameter can "
                "change it, and the loss of this course goes without.",
            ),
            (pull / d, "The log-det is missing: alone, the first term is won by z = 0."),
            (-wanted, "This is the log-likelihood. A loss is to be made small: turn its sign."),
        ],
        hint="It is ((1/2) |z|^2 - log_det) / D, averaged over the rows.",
    )


def _fit_linear_flow(answer: Any, draw: Draw) -> None:
    n, d = draw.integer(60, 80), draw.integer(2, 4)
    scales = torch.logspace(0, -1, d)
    y = draw.normal(n, d) * scales @ (torch.eye(d) + 0.7 * draw.normal(d, d)) + draw.normal(d) * 3
    a, b = pair(answer, y, name="fit_linear_flow")
    a, b, mean = torch.as_tensor(a).double(), torch.as_tensor(b).double(), y.mean(0)
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
    for value, message in [
        (cov, "Your A is the covariance: it stretches what is wide already. It should undo it."),
        (
            torch.linalg.inv(cov),
            "Your A is the inverse covariance, so that z has the covariance inv(C) C inv(C). You "
            "need A C A^T = I: of which matrix is that the inverse?",
        ),
        (
            torch.linalg.inv(torch.linalg.cholesky(cov)).T,
            "Your A is transposed: with C = L L^T, which of inv(L) and its transpose gives "
            "A C A^T = I?",
        ),
        (torch.linalg.cholesky(cov), "Your A is L itself: it makes the correlations, not undoes."),
        (
            (vectors / values.sqrt()),
            "Your A has the eigenvectors in its columns; to take y's component along each of them, "
            "they belong in the rows.",
        ),
    ]:
        if same(a, value, 1e-6):
            raise Wrong(message)
    if same(z_cov.diagonal(), torch.ones(d), 1e-6):
        raise Wrong(
            "Each entry of z has variance 1, but they are still correlated: dividing by the "
            "deviations is not enough. The loss can fall further by turning the axes."
        )
    if same(a, torch.diag(1 / cov.diagonal()), 1e-6):
        raise Wrong("You divide by the variances. Deviations have the unit of y; and correlations?")
    if same(z_cov, torch.diag(z_cov.diagonal()), 1e-6):
        raise Wrong(
            "z is no longer correlated, but its variances are not 1: their logarithms would be "
            "paid for in the log-det, and are not."
        )
    raise Wrong("z = A (y - b) should have covariance I: A C A^T = I, where C is that of y.")


EXERCISES = {
    "1.1": Exercise("density of the pace", _pace),
    "1.2": Exercise("log-density by autograd", _log_density),
    "1.3": Exercise("linear flow", lab1_maps.linear_flow),
    "1.4": Exercise("logit layer", lab1_maps.logit),
    "1.5": Exercise("two flows in a row", lab1_maps.compose),
    "1.6": Exercise("loss", _nll),
    "1.7": Exercise("best linear flow", _fit_linear_flow),
    "1.9": Exercise("planar flow (extension)", lab1_maps.planar),
}
