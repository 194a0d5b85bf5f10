"""What an argument must be: an error says what was expected, what came, and so what to do."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["check_normal", "finite", "one_of", "rate", "real", "shown", "vector", "whole"]


def whole(name: str, value: object, least: int, most: float = math.inf) -> int:
    """A whole number from `least` to `most`.

    Example:
        >>> whole("epochs", 0, least=1)
        Traceback (most recent call last):
        ValueError: epochs: expected a whole number of at least 1, got 0 (int)
    """
    integral = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not integral or not least <= int(value) <= most:  # type: ignore[call-overload]
        bound = "" if most == math.inf else f" and at most {most}"
        raise ValueError(
            f"{name}: expected a whole number of at least {least}{bound}, got {shown(value)}"
        )
    return int(value)  # type: ignore[call-overload]


def real(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """A finite number within bounds, as a Python float."""
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
    inside = least <= number <= most and above < number < below
    if not inside or not math.isfinite(number):
        bounds = {"at least": least, "at most": most, "above": above, "below": below}
        words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
        wanted = " ".join(["a finite number", " and ".join(words)]).strip()
        raise ValueError(f"{name}: expected {wanted}, got {shown(value)}")
    return number


def rate(name: str, value: object) -> float:
    """A share above 0 and below 1, such as alpha."""
    return real(name, value, above=0, below=1)


def one_of(name: str, value: object, options: Sequence[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in options:
        expected = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name}: expected one of {expected}, got {shown(value)}")
    return value


def vector(name: str, values: ArrayLike) -> np.ndarray:
    """(n,) float64, finite; anything else is a ValueError."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected one axis of numbers, got {shown(array)}")
    return finite(name, array.astype(np.float64))


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """The values, if all are finite."""
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        raise ValueError(
            f"{name}: expected finite numbers, got {n_bad} of {values.size} that are not"
        )
    return values


def check_normal(y: ArrayLike | None, n: int) -> None:
    """Refuse labels that are not a 0 for each of n images; None are none."""
    if y is not None and (len(vector("y", y)) != n or np.any(y)):
        raise ValueError(f"y: expected a label 0 for each of {n} normal images, got {shown(y)}")


def shown(value: object) -> str:
    """A value for an error message: at most 60 characters, and its type."""
    shape = getattr(value, "shape", ())
    if len(shape):
        return f"{type(value).__name__} of shape {tuple(shape)}, {getattr(value, 'dtype', '')}"
    text = " ".join(repr(value).split())
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"
