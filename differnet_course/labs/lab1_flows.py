"""Checks of lab 1: maps of D dimensions and their log-dets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, log_det_by_autograd
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong

__all__ = ["compose", "linear_flow", "logit", "planar"]

INVERSE = "Your log-det has the sign of the inverse, log |det dy/dz|."
BATCH = "You summed over the batch. Each row has a log-det of its own."
DETERMINANT = "You give the determinant; its logarithm is asked for."


def linear_flow(answer: Answer, draw: Draw) -> None:
    """1.3: z = A (y - b)."""
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
            "add_b_z": (y + b) @ matrix.T,
        }
        wanted = torch.einsum("ij,nj->ni", matrix, y - b)
        compare("z is", z, wanted, mistakes)
        if not as_numbers(log_det, "The log-det is").isfinite().all():
            raise Wrong("log_det_nan")
        one = torch.linalg.svdvals(matrix).log().sum()
        det = torch.linalg.det(matrix)
        mistakes = {
            "log_det_number": one,
            INVERSE: -one.expand(n),
            DETERMINANT: det.abs().expand(n),
            "give_det_logarithm": det.expand(n),
            BATCH: n * one,
            "multiplied_diagonal": matrix.diagonal().abs().log().sum().expand(n),
        }
        compare("The log-det is", log_det, one.expand(n), mistakes)


def logit(answer: Answer, draw: Draw) -> None:
    """1.4: an elementwise map in D dimensions."""
    y = draw.uniform(0.02, 0.98, draw.integer(5, 6), draw.integer(2, 4))
    z, log_det = answer.pair(y)
    mistakes = {
        "brackets_off": y.log() / (1 - y),
        "sigmoid_way_back": y.sigmoid(),
        "give_log_y": y.log(),
    }
    compare("z is", z, torch.special.logit(y), mistakes)
    entries = torch.distributions.SigmoidTransform().inv.log_abs_det_jacobian(y, torch.logit(y))
    mistakes = {
        "log_derivative_each": entries,
        "log_det_sign": -entries.sum(1),
        "summed_over_batch": entries.sum(0),
        "summed_over_batch_too": entries.sum(),
        "took_mean_over": entries.mean(1),
        "differentiate_log_1": (1 / y - 1 / (1 - y)).abs().log().sum(1),
        "half_derivative_missing": -y.log().sum(1),
        DETERMINANT: entries.exp().prod(1),
        "summed_derivatives": entries.exp().sum(1),
    }
    compare("The log-det is", log_det, entries.sum(1), mistakes)


def _tensor_only(y: Any) -> None:
    if isinstance(y, tuple):
        raise TypeError("the flow was given a pair. Flows give pairs, and take z alone")
    if callable(y) and not isinstance(y, Tensor):
        raise TypeError("the flow was given a flow. Define a function of y inside, and return it")


def compose(answer: Answer, draw: Draw) -> None:
    """1.5: two flows in a row."""
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
    mistakes = {
        "run_second_before": first(second(y)[0])[0],
        "second_nothing_yet": x,
    }
    compare("z is", z, wanted, mistakes)
    mistakes = {
        "take_second_log": one + second(y)[1],
        "multiply_log_dets": one * two,
        "subtract_second_log": one - two,
        "log_det_second": one,
        "log_det_first": two,
    }
    right = log_det_by_autograd(lambda row: second(first(row[None])[0])[0][0], y)
    compare("The log-det is", log_det, right, mistakes)


def planar(answer: Answer, draw: Draw) -> None:
    """1.9: z = y + u tanh(w y + b)."""
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
    mistakes = {
        INVERSE: -wanted,
        DETERMINANT: wanted.exp(),
        BATCH: wanted.sum(),
        "took_tanh_derivative": (1 + height * (u @ w)).abs().log(),
        "identity_missing": ((1 - height**2) * (u @ w)).abs().log(),
        "derivative_tanh_missing": (1 + u @ w).abs().log().expand(n),
    }
    compare("The log-det is", got, wanted, mistakes)
