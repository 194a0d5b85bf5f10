"""Checks of lab 1: change of variables and the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from differnet_course.labs import lab1_loss, lab1_maps
from differnet_course.labs.comparing import call, compare, explained
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Exercise, Wrong

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
            (
                torch.distributions.Normal(100, 25).log_prob(3600 / t).exp() * factor,
                "You use the density of the warm-up's speeds; use the `p_v` that is given.",
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
        with explained(
            "does not require grad",
            "autograd has nothing to differentiate by: y does not ask for a gradient. Work with a "
            "copy that does, as the first hint says.",
        ):
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
                (
                    p_z + (wanted - p_z).exp(),
                    "You add the factor |f'(y)| itself. The density has the factor; its logarithm "
                    "has the factor's logarithm.",
                ),
                (
                    torch.distributions.Normal(0.0, 1.0).log_prob(y) + wanted - p_z,
                    "You take the density of Z at y. Which z belongs to y?",
                ),
                (
                    p_z + (wanted - p_z).sum(),
                    "You summed log |f'(y)| over the batch: one for each.",
                ),
                (
                    wanted - math.log(len(y)),
                    "Your slopes are N times too small: differentiate the sum, not the mean.",
                ),
                (wanted - p_z, "You give the log-det alone: log p_Z(f(y)) is missing."),
                (wanted.sum(), "You summed over the batch. Each y has a density of its own."),
                (wanted.mean(), "You took the mean over the batch. Each y has its own density."),
            ],
            hint="The formula is log p_Y(y) = log p_Z(f(y)) + log |f'(y)|.",
        )


EXERCISES = {
    "1.1": Exercise("density of the pace", _pace),
    "1.2": Exercise("log-density by autograd", _log_density),
    "1.3": Exercise("linear flow", lab1_maps.linear_flow),
    "1.4": Exercise("logit layer", lab1_maps.logit),
    "1.5": Exercise("two flows in a row", lab1_maps.compose),
    "1.6": Exercise("loss", lab1_loss.nll),
    "1.7": Exercise("best linear flow", lab1_loss.fit_linear_flow),
    "1.9": Exercise("planar flow (extension)", lab1_maps.planar),
}
