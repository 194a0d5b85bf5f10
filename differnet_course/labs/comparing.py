"""The tools that checks are written with: call the student's code, compare what it gives."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from differnet_course.labs.verdicts import Close, NotDone, Wrong

__all__ = [
    "call",
    "compare",
    "explained",
    "log_det_by_autograd",
    "pair",
    "same",
    "students_code",
    "two_numbers",
]

EXACT = 1e-8  # times the size of the numbers: right
NEAR = 1e-4  # times the size of the numbers: right but for a tolerance
FOREIGN = ("site-packages", "dist-packages", "differnet_lite", "lib/python", "<frozen")


@contextmanager
def students_code(what: str) -> Iterator[None]:
    """Turn an exception of the student's code into a line that helps.

    Args:
        what: the call, as the student would write it: "flow.inverse(z)".

    Raises:
        NotDone: the code is a stub, or uses a name that is not defined.
        Wrong: it fails; with the line at fault.
    """
    try:
        yield
    except (Wrong, NotDone, Close):
        raise
    except NotImplementedError as error:
        raise NotDone("is still to be written: replace the `raise NotImplementedError`.") from error
    except NameError as error:
        raise NotDone(
            f"`{what}` fails: {error}. Did you run the cell that defines it?{_students_line(error)}"
        ) from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        message = f"`{what}` fails with {type(error).__name__}: {reason}."
        raise Wrong(message + _students_line(error)) from error


@contextmanager
def explained(symptom: str, message: str) -> Iterator[None]:
    """Within, an error whose text holds the symptom is told by another message.

    Raises:
        Wrong: with the message, or as it was.
    """
    try:
        yield
    except Wrong as error:
        if symptom in str(error):
            raise Wrong(message) from error
        raise


def _students_line(error: BaseException) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(part in frame.filename.replace("\\", "/") for part in FOREIGN):
            code = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f" It happens in your line {frame.lineno}" + (f": `{code}`" if code else ".")
    return ""


def call(answer: Callable[..., Any], *inputs: Any, name: str = "your function") -> Any:
    """What the student's function gives, if it gives anything and leaves its input alone.

    Args:
        answer: the function.
        inputs: its arguments.
        name: for messages.

    Raises:
        NotDone, Wrong: it is a stub, fails, returns nothing, or changes its input in place.
    """
    if not callable(answer):
        raise Wrong(f"Expected a function, got {type(answer).__name__}: pass it uncalled.")
    before = [
        x.clone() if isinstance(x, Tensor) else x.copy() if isinstance(x, np.ndarray) else x
        for x in inputs
    ]
    shapes = ", ".join(_describe(x) for x in inputs)
    with students_code(f"{name}({shapes})"):
        result = answer(*inputs)
    for x, old in zip(inputs, before, strict=True):
        kept = True
        if isinstance(x, Tensor) and isinstance(old, Tensor):
            kept = torch.equal(x, old)
        elif isinstance(x, np.ndarray):
            kept = np.array_equal(x, old)
        if not kept:
            kind = "tensor" if isinstance(x, Tensor) else "array"
            raise Wrong(
                f"{name} changes its input in place (as `y += 1` or `y.sort()` does): whoever "
                f"called it loses his data. Make a new {kind}."
            )
    if result is None or result is ...:
        raise NotDone(f"{name} gives {result}: does it end in a `return` with the result?")
    return result


def pair(answer: Callable[..., Any], *inputs: Any, name: str = "your function") -> tuple[Any, Any]:
    """As `call`, for a function that gives two things.

    Raises:
        NotDone, Wrong: as for `call`, or it gives another number of things.
    """
    result = call(answer, *inputs, name=name)
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = f"{len(result)} things" if isinstance(result, tuple | list) else _describe(result)
        raise Wrong(f"{name}: expected a pair, `return first, second`; got {got}.")
    return result[0], result[1]


def two_numbers(result: Any, name: str = "your function") -> np.ndarray:
    """A result that should be two numbers, as a tuple, a list or an array: (2,) float64.

    Raises:
        Wrong: it is something else.
    """
    try:
        numbers = np.array([float(x) for x in result])
    except (TypeError, ValueError) as error:
        raise Wrong(f"{name}: expected two numbers, got {_describe(result)}.") from error
    if len(numbers) != 2:
        raise Wrong(f"{name}: expected two numbers, got {len(numbers)}.")
    return numbers


def _describe(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__.lower()} of shape {tuple(value.shape)}"
    if isinstance(value, int | float | str):
        return repr(value)
    return type(value).__name__


def _as_tensor(value: Any, what: str) -> Tensor:
    try:
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"{what}: expected numbers, got {_describe(value)}.") from error


def same(a: Any, b: Any, tolerance: float = EXACT) -> bool:
    """Whether two tensors have one shape and agree up to a share of their largest number."""
    a, b = torch.as_tensor(a).detach().double(), torch.as_tensor(b).detach().double()
    if a.shape != b.shape or not (a.isfinite().all() and b.isfinite().all()):
        return False
    if not b.numel():
        return True
    size = float(b.abs().max())
    return float((a - b).abs().max()) <= tolerance * (size if size > 1e-9 else 1.0)


def compare(
    what: str,
    got: Any,
    wanted: Any,
    mistakes: Iterable[tuple[Any, str]] = (),
    *,
    hint: str = "",
) -> None:
    """Return if the result is right; else say what is wrong with it.

    Args:
        what: which result, as a noun: "the log-det".
        got: the student's.
        wanted: the reference, of the shape that is asked for.
        mistakes: for each likely mistake the result it gives, and what to tell the student.
        hint: for whoever made none of these mistakes.

    Raises:
        Wrong: a known mistake, or another.
        Close: right but for a tolerance.
    """
    got, wanted = _as_tensor(got, what), _as_tensor(wanted, what)
    if same(got, wanted):
        return
    for value, message in mistakes:
        if same(got, value, NEAR) and not same(wanted, value, NEAR):
            raise Wrong(message)
    if got.shape != wanted.shape:
        raise Wrong(
            f"{what}: expected shape {tuple(wanted.shape)}, got {tuple(got.shape)}. {hint}".strip()
        )
    if not got.isfinite().all():
        raise Wrong(f"{what} has nan or inf: do you take a log or root of 0 or less? {hint}")
    gap = float((got - wanted).abs().max())
    if same(got, wanted, NEAR):
        raise Close(
            f"{what} is right but for a difference of {gap:.1e}. float32, a rounded constant or a "
            "small epsilon can do that."
        )
    raise Wrong(f"{what} is off by up to {gap:.3g} on fresh random input. {hint}".strip())


def log_det_by_autograd(function: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
    """log |det| of the Jacobian of a function of one row (D,), at every row of y (N, D): (N,)."""
    rows = [torch.func.jacrev(function)(row) for row in y]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet.detach()
