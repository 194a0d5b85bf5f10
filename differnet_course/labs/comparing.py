"""The comparing machine of all checks: a result against the right one and the likely mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from differnet_course.labs.answers import described
from differnet_course.labs.verdicts import Close, Off, Wrong

__all__ = [
    "as_numbers",
    "compare",
    "compare_gradients",
    "count",
    "log_det_by_autograd",
    "log_det_mistakes",
    "same",
    "slopes",
    "two_numbers",
]

EXACT = {torch.float64: 1e-8, torch.float32: 2e-5}  # times the size of the numbers: right
NEAR = {torch.float64: 1e-4, torch.float32: 1e-3}  # times the size: right but for a tolerance


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 step", "4 steps"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_numbers(value: Any, what: str = "The result is") -> Tensor:
    """A result as a float64 tensor.

    Raises:
        Wrong: it holds no numbers.
    """
    try:
        if isinstance(value, list | tuple) and value and all(isinstance(x, Tensor) for x in value):
            value = torch.stack(tuple(value))
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"{what} {described(value)}; expected numbers.") from error


def two_numbers(result: Sequence[Any], name: str) -> np.ndarray:
    """A pair as two numbers: (2,) float64.

    Raises:
        Wrong: they are no numbers.
    """
    try:
        return np.array([float(x) for x in result])
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"`{name}`: expected two numbers, got {described(result[0])}.") from error


def same(a: Any, b: Any, tolerance: float | None = None) -> bool:
    """Whether two results have one shape and agree up to a share of their largest number."""
    first = as_numbers(a)
    second = as_numbers(b)
    if first.shape != second.shape or not (first.isfinite().all() and second.isfinite().all()):
        return False
    if not second.numel():
        return True
    size = float(second.abs().max())
    limit = _tolerance(EXACT) if tolerance is None else tolerance
    return float((first - second).abs().max()) <= limit * (size if size > 1e-9 else 1.0)


def _tolerance(table: Mapping[torch.dtype, float]) -> float:
    return table.get(torch.get_default_dtype(), table[torch.float32])


def compare(what: str, got: Any, wanted: Any, mistakes: Mapping[str, Any] | None = None) -> None:
    """Return if the result is right; else say what is wrong with it.

    Args:
        what: which result, with its verb: "The columns are".
        got: the student's.
        wanted: the reference, of the shape that is asked for.
        mistakes: for the key of each message, the result that this mistake gives.

    Raises:
        Wrong: a mistake of the table.
        Off: another.
        Close: right but for a tolerance.
    """
    near = _tolerance(NEAR)
    numbers = as_numbers(got, what)
    right = as_numbers(wanted)
    if same(numbers, right):
        return
    for message, value in (mistakes or {}).items():
        if same(numbers, value, near) and not same(right, value, near):
            raise Wrong(message)
    if numbers.shape != right.shape:
        raise Off(f"{what} of shape {tuple(numbers.shape)}; expected {tuple(right.shape)}.")
    if not numbers.isfinite().all():
        raise Off(f"{what} nan or inf in part: a log or root of 0 or less, a division by 0?")
    gap = float((numbers - right).abs().max())
    if same(numbers, right, near):
        raise Close(
            f"{what} right but for a difference of {gap:.1e}. float32, a rounded constant or a "
            "small epsilon can do that."
        )
    raise Off(f"{what} off by up to {gap:.3g} on fresh random input.")


def slopes(outputs: Sequence[Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of one mixture of all outputs by each input; zeros where none arrives."""
    tensors = [x for x in outputs if isinstance(x, Tensor) and x.requires_grad]
    if not tensors:
        return [torch.zeros_like(x) for x in inputs]
    parts = [(x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in tensors]
    mixture = torch.stack(parts).sum()
    return list(
        torch.autograd.grad(mixture, list(inputs), allow_unused=True, materialize_grads=True)
    )


def compare_gradients(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Compare gradients by their sizes, in any order: parameters may come in any order.

    Raises:
        Wrong: some are missing, or are others.
    """
    sizes = sorted(float(x.norm()) for x in got)
    right = sorted(float(x.norm()) for x in wanted)
    if dead := sizes.count(0.0) - right.count(0.0):
        raise Wrong(
            f"The values are right, but {dead} of {count(len(right), 'tensor')} that should get a "
            "gradient get none: training cannot move them. Is there a `no_grad`, `.detach()`, "
            "`.data`, `.item()` or NumPy in between?"
        )
    compare("The values are right, but the gradients are", sizes, right)


def log_det_by_autograd(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """log |det| of the Jacobian of a function of one row (D,), at every row of y (N, D): (N,)."""
    rows = [torch.func.jacrev(function)(row) for row in y]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet.detach()


def log_det_mistakes(right: Tensor) -> dict[str, Tensor]:
    """What the commonest mistakes make of log-dets (N,)."""
    return {
        "log_det_sign": -right,
        "summed_over_batch": right.sum(),
        "give_determinant_logarithm": right.exp(),
    }
