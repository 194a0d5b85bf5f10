"""Whether a result is right, or one that a likely mistake gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from differnet_course.labs.exercises import Close, Wrong

__all__ = ["as_numbers", "compare", "count", "described", "gradient_sizes", "has_graph", "same"]

EXACT = {torch.float64: 1e-8, torch.float32: 2e-5}  # times the size of the numbers: right
NEAR = {torch.float64: 1e-4, torch.float32: 1e-3}  # times the size: right but for a tolerance


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 step", "4 steps"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def described(value: Any) -> str:
    """A value in a few words: a number itself, a tensor or an array by its shape."""
    if isinstance(value, int | float | str):
        return repr(value)
    if hasattr(value, "shape"):
        return f"{type(value).__name__.lower()} of shape {tuple(value.shape)}"
    size = f" of {len(value)}" if isinstance(value, list | tuple) else ""
    return f"{type(value).__name__}{size}"


def has_graph(value: Any) -> bool:
    """Whether autograd can go back from it."""
    return isinstance(value, Tensor) and value.requires_grad


def as_numbers(value: Any, what: str = "The result is") -> Tensor:
    """A result as a float64 tensor.

    Raises:
        Wrong: it holds no numbers.
    """
    try:
        if isinstance(value, list | tuple) and value:
            return torch.stack([as_numbers(x, what) for x in value])
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"{what} {described(value)}; expected numbers.") from error


def same(a: Any, b: Any, tolerance: float | None = None) -> bool:
    """Whether two results have one shape, and agree up to a share of the largest number of b.

    What is nan in both agrees.
    """
    first = as_numbers(a)
    second = as_numbers(b)
    limit = _of_dtype(EXACT) if tolerance is None else tolerance
    finite = second[second.isfinite()]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    limit *= size if size > 1e-9 else 1.0
    return first.shape == second.shape and torch.allclose(
        first, second, rtol=0.0, atol=limit, equal_nan=True
    )


def _of_dtype(table: Mapping[torch.dtype, float]) -> float:
    return table.get(torch.get_default_dtype(), table[torch.float32])


def compare(what: str, got: Any, right: Any, mistakes: Mapping[str, Any], hint: str = "") -> None:
    """Return if the result is right; else say what is wrong with it.

    Args:
        what: which result, with its verb: "The columns are".
        got: the student's.
        right: the reference, of the shape that is asked for.
        mistakes: for each message, the result that this mistake gives.
        hint: told to whoever made none of these mistakes.

    Raises:
        Wrong: it is wrong.
        Close: it is right but for a tolerance.
    """
    near = _of_dtype(NEAR)
    numbers = as_numbers(got, what)
    wanted = as_numbers(right)
    if same(numbers, wanted):
        return
    for message, value in mistakes.items():
        if same(numbers, value, near) and not same(wanted, value, near):
            raise Wrong(message)
    if numbers.shape != wanted.shape:
        text = f"{what} of shape {tuple(numbers.shape)}; expected {tuple(wanted.shape)}."
    elif not numbers.isfinite().all():
        text = f"{what} nan or inf in part: a log or root of 0 or less, a division by 0?"
    else:
        gap = float((numbers - wanted).abs().max())
        if same(numbers, wanted, near):
            raise Close(
                f"{what} right but for a difference of {gap:.1e}. float32, a rounded constant or "
                "a small epsilon can do that."
            )
        text = f"{what} off by up to {gap:.3g} on fresh random input."
    raise Wrong(f"{text} {hint}".rstrip())


def gradient_sizes(outputs: Sequence[Any], leaves: Sequence[Tensor]) -> list[float]:
    """Norms of the gradients of one mixture of all outputs by each leaf, in order of size.

    Parameters may come in any order. A norm is 0 where no gradient arrives.
    """
    parts = [
        (x * torch.linspace(1, 2, x.numel()).view(x.shape)).sum() for x in outputs if has_graph(x)
    ]
    if not parts:
        return [0.0] * len(leaves)
    gradients = torch.autograd.grad(
        torch.stack(parts).sum(), list(leaves), allow_unused=True, materialize_grads=True
    )
    return sorted(float(x.norm()) for x in gradients)
