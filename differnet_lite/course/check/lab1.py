"""Checks of lab 1: change of variables and the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from differnet_lite.course.check.comparing import call, compare
from differnet_lite.course.check.draws import Draw
from differnet_lite.course.check.verdicts import Exercise

__all__ = ["EXERCISES"]


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


EXERCISES = {"1.1": Exercise("density of the pace", _pace)}
