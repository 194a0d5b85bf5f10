"""Checks of lab 1: the loss, and the linear flow that makes it smallest."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from differnet_course.labs.comparing import call, compare, pair, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Close, Wrong

__all__ = ["fit_linear_flow", "nll"]

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)
SHARE = 0.02  # a mistake is the same mistake with N - 1 in the place of N


def nll(answer: Any, draw: Draw) -> None:
    """1.6: the loss, through which a gradient must come."""
    n, d = draw.integer(6, 8), draw.integer(3, 5)
    z, log_det = draw.normal(n, d, deviation=1.5).requires_grad_(), draw.normal(n, mean=1.0)
    normal = torch.distributions.MultivariateNormal(torch.zeros(d), torch.eye(d))
    wanted = -(normal.log_prob(z) + log_det).mean() / d - HALF_LOG_2_PI
    pull, reward = 0.5 * z.square().sum(1).mean(), log_det.mean()
    got = call(answer, z, log_det, name="nll")
    compare(
        "The loss",
        got,
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
            (
                (0.5 * torch.linalg.vector_norm(z, dim=1).mean() - reward) / d,
                "You took the norm of z; its square is asked for.",
            ),
            (wanted * d / n, "You divided by N where D belongs: z has N rows and D columns."),
            (pull / d, "The log-det is missing: alone, the first term is won by z = 0."),
            (-wanted, "This is the log-likelihood. A loss is to be made small: turn its sign."),
        ],
        hint="It is ((1/2) |z|^2 - log_det) / D, averaged over the rows.",
    )
    if not (isinstance(got, Tensor) and got.requires_grad):
        raise Wrong(
            "The value is right, but nothing can be trained by it: the gradient is lost. Return "
            "the tensor itself, without `.item()`, `float` or `.detach()`."
        )


def fit_linear_flow(answer: Any, draw: Draw) -> None:
    """1.7: the linear flow with the smallest loss."""
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
        if same(a, value, SHARE):
            raise Wrong(message)
    if same(a @ (y.T @ y / n) @ a.T, identity, SHARE):
        raise Wrong("Your C is not that of the formula: take b off every row first.")
    if same(z_cov.diagonal(), torch.ones(d), SHARE):
        raise Wrong(
            "Each entry of z has variance 1, but they are still correlated: dividing by the "
            "deviations is not enough. The loss can fall further by turning the axes."
        )
    if same(a, torch.diag(1 / cov.diagonal()), SHARE):
        raise Wrong("You divide by the variances. Deviations have the unit of y; and correlations?")
    if same(z_cov, torch.diag(z_cov.diagonal()), 1e-6):
        raise Wrong(
            "z is no longer correlated, but its variances are not 1: their logarithms would be "
            "paid for in the log-det, and are not."
        )
    raise Wrong("z = A (y - b) should have covariance I: A C A^T = I, where C is that of y.")
