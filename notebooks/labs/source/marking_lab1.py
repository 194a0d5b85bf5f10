"""Held-back tests of lab 1."""

from __future__ import annotations

from typing import Any

import torch

from differnet_lite.course.check.comparing import call, compare
from differnet_lite.course.check.draws import Draw


def pace(answer: Any, draw: Draw) -> None:
    t = draw.uniform(1.0, 9.0, 3, 4)
    compare("density", call(answer, t, lambda v: torch.ones_like(v)), 3600 / t / t)


HELD_BACK = {"1.1": pace}
