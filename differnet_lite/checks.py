"""What an argument must be: an error says what was expected, what came, and so what to do."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["check_normal", "finite", "one_of", "rate", "real", "shown", "vector", "whole"]


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`.

    Example:
        >>> whole("epochs", 0, least=1)
        Traceback (most recent call last):
        ValueError: epochs: expected a whole number of at least 1, got 0 (int)
    """
    wanted = f"a whole number of at least {least}"
    if most is not None:
        wanted += f" and at most {most}"
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < least or (most is not None and value > most):  # type: ignore[operator]
        raise ValueError(f"{name}: expected {wanted}, got {shown(value)}")
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
    bounds = {"at least": least, "at most": most, "above": above, "below": below}
    words = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
    wanted = " ".join(["a finite number", " and ".join(words)]).strip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name}: expected {wanted}, got {shown(value)}")
    number = float(value)
    inside = least <= number <= most and above < number < below
    if not math.isfinite(number) or not inside:
        raise ValueError(f"{name}: expected {wanted}, got {number:g}")
    return number


def rate(name: str, value: object) -> float:
    """A share above 0 and below 1, such as alpha.

    A NumPy float32 is read as the decimal number that it prints: .01 is not 0.00999999977.
    """
    if isinstance(value, np.floating):
        value = float(str(value))
    return real(name, value, above=0, below=1)


def one_of(name: str, value: object, options: Sequence[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in options:
        expected = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name}: expected one of {expected}, got {shown(value)}")
    return value


def vector(name: str, values: ArrayLike) -> np.ndarray:
    """(n,) float64, finite.

    Raises:
        ValueError: the values are no vector of finite numbers.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected one axis of numbers, got {shown(array)}")
    array = array.astype(np.float64)
    return finite(name, array)


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
    labels = np.zeros(n) if y is None else vector("y", y)
    if len(labels) != n or labels.any():
        raise ValueError(
            f"y: expected a label 0 for each of {n} normal images, got {len(labels)} of which "
            f"{int((labels != 0).sum())} are others"
        )


def shown(value: object) -> str:
    """A value for an error message: at most 60 characters, and its type."""
    shape = getattr(value, "shape", None)
    dtype = getattr(value, "dtype", None)
    if shape is not None and dtype is not None and len(shape):
        return f"{type(value).__name__} of shape {tuple(shape)}, {dtype}"
    text = " ".join(repr(value).split())
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text} ({type(value).__name__})"
