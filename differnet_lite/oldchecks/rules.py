"""What an argument must be: every error says what was expected, what came, and so what to do.

A rule is a function of a name and a value that returns the value in its plain type, or raises:
`TypeError` for a value of the wrong kind, `ValueError` for one out of range.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "Rule",
    "axes",
    "check_fields",
    "finite",
    "flag",
    "kinds",
    "mapping",
    "one_of",
    "options_of",
    "positive",
    "rate",
    "real",
    "reals",
    "shown",
    "text",
    "vector",
    "whole",
]

Rule = Callable[[str, Any], Any]


def whole(least: int, most: int | None = None) -> Rule:
    """A whole number from `least` to `most`; True and 3.0 are none.

    Example:
        >>> whole(1)("epochs", 0)
        Traceback (most recent call last):
        ValueError: epochs: expected a whole number of at least 1, got 0
    """
    wanted = f"a whole number of at least {least}" + (
        "" if most is None else f" and at most {most}"
    )

    def rule(name: str, value: Any) -> int:
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
            raise TypeError(f"{name}: expected {wanted}, got {shown(value)}")
        number = int(value)
        if number < least or (most is not None and number > most):
            raise ValueError(f"{name}: expected {wanted}, got {number}")
        return number

    return rule


def real(
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> Rule:
    """A finite number within bounds; texts and truth values are none.

    Example:
        >>> real(above=0)("noise", float("inf"))
        Traceback (most recent call last):
        ValueError: noise: expected a finite number above 0, got inf
    """
    bounds = [("at least", least), ("at most", most), ("above", above), ("below", below)]
    wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
    wanted = f"a finite number {wanted}".strip()

    def rule(name: str, value: Any) -> float:
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
            raise TypeError(f"{name}: expected {wanted}, got {shown(value)}")
        number = float(value)
        if not math.isfinite(number) or not (least <= number <= most and above < number < below):
            raise ValueError(f"{name}: expected {wanted}, got {number:g}")
        return number

    return rule


positive = real(above=0)
rate = real(above=0, below=1)  # a share that is neither nothing nor all, such as alpha


def flag(name: str, value: Any) -> bool:
    """True or False; "no" and 0 are neither."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def one_of(*options: str) -> Rule:
    """One of some words."""

    def rule(name: str, value: Any) -> str:
        if value not in options or not isinstance(value, str):
            expected = ", ".join(repr(option) for option in options)
            raise ValueError(f"{name}: expected one of {expected}, got {shown(value)}")
        return value

    return rule


def text(name: str, value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}: expected a text, got {shown(value)}")
    return value


def kinds(name: str, values: Sequence[str]) -> Sequence[str]:
    """Kinds of images; what is nearly "good" is neither a normal image nor a kind of defect.

    Example:
        >>> kinds("kinds", ["good", "Good"])
        Traceback (most recent call last):
        ValueError: kinds: expected 'good' for normal images, got 'Good' (str), which would be a ...
    """
    for kind in dict.fromkeys(values):
        if kind != "good" and str(kind).strip().casefold() == "good":
            raise ValueError(
                f"{name}: expected 'good' for normal images, got {shown(kind)}, which would be a "
                "kind of defect; rename it"
            )
    return values


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Names to values."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected names to values, got {shown(value)}")
    return value


def reals(each: Rule, *, n: int | None = None) -> Rule:
    """A sequence of numbers, `n` of them or at least one, as a tuple; a text is no sequence."""
    wanted = "one or more numbers" if n is None else f"{n} numbers"

    def rule(name: str, value: Any) -> tuple[float, ...]:
        if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
            raise TypeError(f"{name}: expected {wanted}, got {shown(value)}")
        values = tuple(each(name, item) for item in value)
        if not values or (n is not None and len(values) != n):
            raise ValueError(f"{name}: expected {wanted}, got {len(values)}")
        return values

    return rule


def axes(names: str, *, filled: bool = False) -> Rule:
    """A tensor with these axes, none of them 0 but the first; that neither, and finite, if filled.

    Example:
        >>> axes("N, D")("y", np.zeros(3))
        Traceback (most recent call last):
        ValueError: y: expected (N, D), none of them 0, got ndarray of shape (3,), float64
    """
    n = len(names.split(","))

    def rule(name: str, value: Any) -> Any:
        if value.ndim != n or 0 in value.shape[1:]:
            raise ValueError(f"{name}: expected ({names}), none of them 0, got {shown(value)}")
        if filled and (not len(value) or not value.isfinite().all()):
            raise ValueError(f"{name}: expected at least one row of finite numbers")
        return value

    return rule


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """Computed values, if they are numbers; nothing else leaves the package.

    Raises:
        FloatingPointError: some are NaN or infinite.
    """
    if bad := int((~np.isfinite(values)).sum()):
        raise FloatingPointError(
            f"{bad} {name}(s) are not finite: expected finite numbers; the model is damaged or "
            "was trained at too high a learning rate"
        )
    return values


def vector(name: str, values: Any, *, empty: str = "") -> np.ndarray:
    """(n,) float64 of finite numbers.

    Args:
        name: of the argument.
        values: numbers, one axis.
        empty: what to do if there are none; without it an empty vector is fine.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: expected numbers, got {shown(values)} with masked places")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"of {array.dtype}")
        array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected numbers, got {shown(values)}") from error
    if array.ndim != 1:
        raise ValueError(f"{name}: expected one axis of numbers, got shape {array.shape}")
    if empty and not len(array):
        raise ValueError(f"{name}: expected at least one number, got none; {empty}")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise ValueError(
            f"{name}: expected finite numbers, got {bad} that are not, of {len(array)}"
        )
    return array


def options_of(owner: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse options that nobody knows."""
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(f"{owner}: unknown option(s) {unknown}; expected some of {list(known)}")


def check_fields(instance: object, rules: Mapping[str, Rule]) -> None:
    """Apply a rule to each field of a frozen dataclass, in its `__post_init__`."""
    for name, rule in rules.items():
        object.__setattr__(instance, name, rule(name, getattr(instance, name)))


def shown(value: Any) -> str:
    """A value for an error message: at most 60 characters, and its type."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}, {value.dtype}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
