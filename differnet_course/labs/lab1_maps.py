"""Checks of lab 1: maps of D dimensions and their log-dets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from differnet_course.labs.comparing import call, compare, log_det_by_autograd, pair
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong

__all__ = ["compose", "linear_flow", "logit", "planar"]


def linear_flow(answer: Any, draw: Draw) -> None:
    """1.3: z = A (y - b)."""
    n, d = draw.integer(5, 8), draw.integer(2, 4)
    y, b = draw.normal(n, d), draw.normal(d, mean=1.0)
    a = draw.normal(d, d) + 2 * torch.eye(d)
    for matrix in (a, torch.cat([-a[:1], a[1:]])):  # one of the two has a negative determinant
        z, log_det = pair(answer, y, matrix, b, name="linear_flow")
        compare(
            "z",
            z,
            torch.einsum("ij,nj->ni", matrix, y - b),
            [
                (
                    torch.einsum("ji,nj->ni", matrix, y - b),
                    "Your z is multiplied by the transposed matrix. The rows of y are the vectors: "
                    "A (y - b) for each row is one matrix product over all rows. Of which two?",
                ),
                (
                    torch.einsum("ij,nj->ni", matrix, y) - b,
                    "You take b off after the matrix. It comes off y, before.",
                ),
                (
                    torch.einsum("ij,nj->ni", matrix, y + b),
                    "You add b; z = A (y - b) takes it off.",
                ),
            ],
            hint="It should be A (y - b) for each row.",
        )
        one = torch.linalg.svdvals(matrix).log().sum()
        if not torch.as_tensor(log_det).isfinite().all():
            raise Wrong(
                "Your log-det is nan where det A is negative: such a map turns space inside out, "
                "and stretches it all the same. Take log |det A|."
            )
        compare(
            "The log-det",
            log_det,
            one.expand(n),
            [
                (one, "Your log-det is one number. Return one for each row, shape (N,)."),
                (-one.expand(n), "Your log-det has the sign of the inverse, log |det dy/dz|."),
                (one.exp().expand(n), "You give |det A|; its logarithm is asked for."),
                (
                    torch.linalg.det(matrix).expand(n),
                    "You give det A; the logarithm of its absolute value is asked for.",
                ),
                (n * one, "You summed over the batch. Each row has a log-det of its own."),
                (
                    matrix.diagonal().abs().log().sum().expand(n),
                    "You multiplied the diagonal of A. That is its determinant only if A is "
                    "triangular, and this one is not.",
                ),
            ],
        )


def logit(answer: Any, draw: Draw) -> None:
    """1.4: an elementwise map in D dimensions."""
    n, d = draw.integer(5, 6), draw.integer(2, 4)
    y = draw.uniform(0.02, 0.98, n, d)
    z, log_det = pair(answer, y, name="logit_layer")
    compare(
        "z",
        z,
        torch.special.logit(y),
        [
            (y.log() / (1 - y), "Your brackets are off: log(y / (1 - y)), not log(y) / (1 - y)."),
            (y.sigmoid(), "This is the sigmoid, the way back. Which direction does a flow take?"),
            (y.log(), "You give log y; z = log(y / (1 - y))."),
        ],
    )
    each = torch.distributions.SigmoidTransform().inv.log_abs_det_jacobian(y, torch.logit(y))
    compare(
        "The log-det",
        log_det,
        each.sum(1),
        [
            (
                each,
                "You have the log-derivative of each entry. The Jacobian is diagonal: what is "
                "the log of the product of its diagonal?",
            ),
            (
                -each.sum(1),
                "Your log-det has the sign of the inverse: the map stretches near 0 and "
                "1, so that the log-det must be above 0.",
            ),
            (each.sum(0), "You summed over the batch, and not over the features."),
            (each.sum(), "You summed over the batch too. Each row has a log-det of its own."),
            (
                each.mean(1),
                "You took the mean over the features. A determinant is a product, its log a sum.",
            ),
            (
                (1 / y - 1 / (1 - y)).abs().log().sum(1),
                "Differentiate -log(1 - y) again: there are two minus signs in it.",
            ),
            (-y.log().sum(1), "Half of the derivative is missing: differentiate log(1 - y), too."),
            (each.exp().prod(1), "You give the determinant; its logarithm is asked for."),
            (each.exp().sum(1), "You summed the derivatives. Sum their logarithms."),
        ],
    )


def _tensor_only(y: Any) -> None:
    if isinstance(y, tuple):
        raise TypeError("the flow was given a pair. Flows give pairs, and take z alone")
    if callable(y) and not isinstance(y, Tensor):
        raise TypeError("the flow was given a flow. Define a function of y inside, and return it")


def compose(answer: Any, draw: Draw) -> None:
    """1.5: two flows in a row."""
    y, a, b = draw.normal(6, 3), draw.uniform(0.5, 1.5, 3), draw.normal(3)

    def first(y: Tensor) -> tuple[Tensor, Tensor]:
        _tensor_only(y)
        return y + y**3, (1 + 3 * y**2).log().sum(1)

    def second(y: Tensor) -> tuple[Tensor, Tensor]:
        _tensor_only(y)
        return torch.asinh(a * y) + b, (a / (1 + (a * y) ** 2).sqrt()).log().sum(1)

    flow = call(answer, first, second, name="compose")
    if not callable(flow):
        raise Wrong("`compose(first, second)` should give a function: define one in it, return it.")
    z, log_det = pair(flow, y, name="compose(first, second)")
    wanted = second(first(y)[0])[0]
    swapped = (first(second(y)[0])[0], "You run `second` before `first`.")
    compare("z", z, wanted, [swapped, (first(y)[0], "`second` does nothing yet.")])
    one, two = first(y)[1], second(first(y)[0])[1]
    compare(
        "The log-det",
        log_det,
        log_det_by_autograd(lambda row: second(first(row[None])[0])[0][0], y),
        [
            (
                one + second(y)[1],
                "You take the second log-det at y. The second flow never sees y: it stretches "
                "space around what the first one has made of it.",
            ),
            (one * two, "You multiply. Determinants multiply, so their logarithms ..."),
            (one - two, "You subtract the second log-det: both flows run forwards here."),
            (one, "The log-det of `second` is missing."),
            (two, "The log-det of `first` is missing."),
        ],
    )


def planar(answer: Any, draw: Draw) -> None:
    """1.9: z = y + u tanh(w y + b)."""
    n, d = draw.integer(5, 7), draw.integer(3, 5)
    y, u, w, b = draw.normal(n, d), draw.normal(d), draw.normal(d), float(draw.normal())
    u = -2.5 * u / (u @ w)
    y[0] -= (y[0] @ w + b) * w / (w @ w)  # tanh is steepest here: the determinant is -1.5
    wanted = log_det_by_autograd(lambda row: row + u * torch.tanh(row @ w + b), y)
    slope = 1 - torch.tanh(y @ w + b) ** 2
    got = call(answer, y, u, w, b, name="planar_log_det")
    if not torch.as_tensor(got).isfinite().all():
        raise Wrong("nan where the determinant is negative: the bars are missing.")
    compare(
        "The log-det",
        got,
        wanted,
        [
            (-wanted, "Your log-det has the sign of the inverse."),
            (wanted.exp(), "You give the determinant; its logarithm is asked for."),
            (wanted.sum(), "You summed over the batch. Each row has a log-det of its own."),
            (
                torch.log((1 + torch.tanh(y @ w + b) * (u @ w)).abs()),
                "You took tanh where its derivative belongs.",
            ),
            (
                torch.log((slope * (u @ w)).abs()),
                "The identity is missing: y itself is in z, too.",
            ),
            (
                torch.log((1 + u @ w).abs()).expand(n),
                "The derivative of tanh is missing: your log-det is the same for every row.",
            ),
        ],
    )
