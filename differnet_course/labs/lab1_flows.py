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
            "Your z is multiplied by the transposed matrix. The rows of y are the vectors: A (y - "
            "b) for each row is one matrix product over all rows. Of which two?": (y - b) @ matrix,
            "You take b off after the matrix. It comes off y, before.": y @ matrix.T - b,
            "You add b; z = A (y - b) takes it off.": (y + b) @ matrix.T,
        }
        wanted = torch.einsum("ij,nj->ni", matrix, y - b)
        compare("z is", z, wanted, mistakes, hint="It should be A (y - b) for each row.")
        if not as_numbers(log_det, "The log-det is").isfinite().all():
            raise Wrong(
                "Your log-det is nan where det A is negative: such a map turns space inside out, "
                "and stretches it all the same. Take log |det A|."
            )
        one = torch.linalg.svdvals(matrix).log().sum()
        det = torch.linalg.det(matrix)
        mistakes = {
            "Your log-det is one number. Return one for each row, shape (N,).": one,
            INVERSE: -one.expand(n),
            DETERMINANT: det.abs().expand(n),
            "You give det A; the logarithm of its absolute value is asked for.": det.expand(n),
            BATCH: n * one,
            "You multiplied the diagonal of A. That is its determinant only if A is triangular, "
            "and this one is not.": matrix.diagonal().abs().log().sum().expand(n),
        }
        compare("The log-det is", log_det, one.expand(n), mistakes)


def logit(answer: Answer, draw: Draw) -> None:
    """1.4: an elementwise map in D dimensions."""
    y = draw.uniform(0.02, 0.98, draw.integer(5, 6), draw.integer(2, 4))
    z, log_det = answer.pair(y)
    mistakes = {
        "Your brackets are off: log(y / (1 - y)), not log(y) / (1 - y).": y.log() / (1 - y),
        "This is the sigmoid, the way back. Which direction does a flow take?": y.sigmoid(),
        "You give log y; z = log(y / (1 - y)).": y.log(),
    }
    compare("z is", z, torch.special.logit(y), mistakes)
    entries = torch.distributions.SigmoidTransform().inv.log_abs_det_jacobian(y, torch.logit(y))
    mistakes = {
        "You have the log-derivative of each entry. The Jacobian is diagonal: what is the log of "
        "the product of its diagonal?": entries,
        "Your log-det has the sign of the inverse: the map stretches near 0 and 1, so that the "
        "log-det must be above 0.": -entries.sum(1),
        "You summed over the batch, and not over the features.": entries.sum(0),
        "You summed over the batch too. Each row has a log-det of its own.": entries.sum(),
        "You took the mean over the features. A determinant is a product, its log a sum.": (
            entries.mean(1)
        ),
        "Differentiate -log(1 - y) again: there are two minus signs in it.": (
            (1 / y - 1 / (1 - y)).abs().log().sum(1)
        ),
        "Half of the derivative is missing: differentiate log(1 - y), too.": -y.log().sum(1),
        DETERMINANT: entries.exp().prod(1),
        "You summed the derivatives. Sum their logarithms.": entries.exp().sum(1),
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
        raise Wrong("`compose(first, second)` should give a function: define one in it, return it.")
    z, log_det = Answer(flow, "compose(first, second)").pair(y)
    x, one = first(y)
    wanted, two = second(x)
    mistakes = {
        "You run `second` before `first`.": first(second(y)[0])[0],
        "`second` does nothing yet.": x,
    }
    compare("z is", z, wanted, mistakes)
    mistakes = {
        "You take the second log-det at y. The second flow never sees y: it stretches space around "
        "what the first one has made of it.": one + second(y)[1],
        "You multiply the log-dets. Determinants multiply; what do their logarithms do?": one * two,
        "You subtract the second log-det: both flows run forwards here.": one - two,
        "The log-det of `second` is missing.": one,
        "The log-det of `first` is missing.": two,
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
        raise Wrong("Your log-det is nan where the determinant is negative: the bars are missing.")
    height = torch.tanh(y @ w + b)
    mistakes = {
        INVERSE: -wanted,
        DETERMINANT: wanted.exp(),
        BATCH: wanted.sum(),
        "You took tanh where its derivative belongs.": (1 + height * (u @ w)).abs().log(),
        "The identity is missing: y itself is in z, too.": (
            ((1 - height**2) * (u @ w)).abs().log()
        ),
        "The derivative of tanh is missing: your log-det is the same for every row.": (
            (1 + u @ w).abs().log().expand(n)
        ),
    }
    compare("The log-det is", got, wanted, mistakes)
