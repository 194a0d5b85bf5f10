"""A function that refuses arguments of another kind than its annotations name.

    @checked(n=whole(1))
    def draw(n: int, images: Sequence[Path], title: str = "") -> Figure: ...

`draw(3, "a.png")` then says "images: expected a sequence of paths, got 'a.png' (str)", in place of
whatever NumPy, torch or Pillow would say of it, somewhere below.
"""

from __future__ import annotations

import errno
import functools
import inspect
import math
import numbers
import os
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, overload

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite.oldchecks.rules import Rule, shown

__all__ = ["checked"]

F = TypeVar("F", bound=Callable[..., Any])
Fault = type[Exception] | None  # of a value that does not fit; None of one that does
Kind = tuple[str, Callable[[Any], Fault]]  # what is expected, in words, and its test

MAY_BE_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP)
VALUES = ("builtins", "numpy", "torch", "decimal", "datetime")  # homes of what is no object of ours


@overload
def checked(function: F, /) -> F: ...
@overload
def checked(**rules: Rule) -> Callable[[F], F]: ...
def checked(function: Any = None, /, **rules: Rule) -> Any:
    """Decorator: what is passed must fit its annotation, and then its rule, if it has one.

    Of a class, it is what is passed to its constructor.

    Numbers are finite, True is no number, a text is no sequence. Where an object of a class is
    expected, one that behaves like it will do, but no number, text or array. Defaults are
    not checked.

    Args:
        **rules: by argument, such as `whole(1)`; not applied to None where that may be passed.

    Raises:
        TypeError, ValueError: when the function is called; they name the argument.

    Example:
        >>> @checked(n=lambda name, n: n)
        ... def repeated(text: str, n: int) -> str:
        ...     return text * n
        >>> repeated("ab", "2")
        Traceback (most recent call last):
        TypeError: n: expected a whole number, got '2' (str)
    """
    if function is None:
        return lambda function: _checked(function, rules)
    return _checked(function, rules)


def _checked(function: Callable[..., Any], rules: Mapping[str, Rule]) -> Callable[..., Any]:
    if isinstance(function, type):  # a dataclass
        function.__init__ = _checked(function.__init__, rules)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)
    kinds: dict[str, Kind] = {}

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if not kinds:  # on the first call: now all names of the module are there
            kinds.update({n: _kind_of(p, function) for n, p in signature.parameters.items()})
        bound = signature.bind(*args, **options)
        for name, value in bound.arguments.items():
            wanted, test = kinds[name]
            if (fault := test(value)) is not None:
                raise fault(f"{name}: expected {wanted}, got {shown(value)}")
            if name in rules and value is not None:
                bound.arguments[name] = rules[name](name, value)
        return function(*bound.args, **bound.kwargs)

    return call


def _kind_of(parameter: inspect.Parameter, function: Callable[..., Any]) -> Kind:
    hint = parameter.annotation
    variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    if variable or hint is parameter.empty:
        return ANYTHING
    if isinstance(hint, str):
        try:
            hint = eval(hint, function.__globals__)
        except NameError:  # imported under TYPE_CHECKING: no value will do
            alike = hint.isidentifier()
            return (
                (f"a {hint}", lambda x: TypeError if _is_value(x) else None) if alike else ANYTHING
            )
    return _kind(hint)


def _kind(hint: Any) -> Kind:
    origin, inner = get_origin(hint), get_args(hint)
    if hint == ArrayLike:
        return "numbers", _numeric
    if origin in (Union, types.UnionType):
        return _one_of([_kind(option) for option in inner])
    if origin is Literal:
        words = " or ".join(map(repr, inner))
        return (
            words,
            lambda value: None if isinstance(value, str) and value in inner else ValueError,
        )
    if origin is tuple and Ellipsis not in inner:
        return _sequence([_kind(each) for each in inner], f"{len(inner)} values")
    if origin in (list, tuple, Sequence, Collection):
        return _sequence(_kind(inner[0]), "a sequence")
    if origin in (dict, Mapping):
        return _mapping(_kind(inner[1]))
    if origin is Iterable:
        return "a sequence", lambda value: None if _is_many(value) else TypeError
    if origin is os.PathLike:
        return PLAIN[Path]
    if origin is Callable:
        return "a function", lambda value: None if callable(value) else TypeError
    if hint in PLAIN:
        return PLAIN[hint]
    return _instance(hint) if isinstance(hint, type) and hint is not object else ANYTHING


def _one_of(kinds: list[Kind]) -> Kind:
    if PLAIN[Path] in kinds:  # a text among them is one, too
        kinds = [kind for kind in kinds if kind is not PLAIN[str]]
    words = " or ".join(dict.fromkeys(wanted for wanted, _ in kinds if wanted))

    def test(value: Any) -> Fault:
        faults = [each(value) for _, each in kinds]
        return None if None in faults else ValueError if ValueError in faults else TypeError

    return words, test


def _sequence(each: Kind | list[Kind], word: str) -> Kind:
    wanted = word if isinstance(each, list) or not each[0] else f"{word}, of {each[0]} each"

    def test(value: Any) -> Fault:
        if not _is_many(value) or not hasattr(value, "__len__"):
            return TypeError
        if isinstance(each, list):
            if len(value) != len(each):
                return ValueError
            faults = [test(item) for (_, test), item in zip(each, value, strict=True)]
        else:
            faults = [each[1](item) for item in value] if each is not ANYTHING else []
        return next((fault for fault in faults if fault is not None), None)

    return wanted, test


def _mapping(each: Kind) -> Kind:
    def test(value: Any) -> Fault:
        if not isinstance(value, Mapping):
            return TypeError
        return next((fault for x in value.values() if (fault := each[1](x)) is not None), None)

    return f"names to {each[0] or 'values'}", test


def _instance(hint: type) -> Kind:
    exact = hint.__module__.split(".")[0] in VALUES

    def test(value: Any) -> Fault:
        alike = not exact and not _is_value(value)
        return None if alike or isinstance(value, hint) else TypeError

    return f"a {hint.__name__}", test


def _numeric(value: Any) -> Fault:
    """Masked places are no numbers: `np.asarray` would give what lies below the mask."""
    if np.ma.is_masked(value):
        return ValueError
    try:
        return None if np.asarray(value).dtype.kind in "biuf" else TypeError
    except (TypeError, ValueError, RuntimeError):
        return TypeError


def _is_value(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in VALUES


def _is_many(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | Mapping | set)


def _whole(value: Any) -> Fault:
    no = isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral)
    return TypeError if no else None


def _finite(value: Any) -> Fault:
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        return TypeError
    return None if math.isfinite(value) else ValueError


def _path(value: Any) -> Fault:
    """No path is what no file could ever be called: empty, with a zero byte, or far too long."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        return TypeError
    if not os.fspath(value):
        return ValueError
    try:
        os.lstat(value)
    except (OSError, ValueError) as error:
        return None if getattr(error, "errno", None) in MAY_BE_ABSENT else ValueError
    return None


def _of(*kinds: type) -> Callable[[Any], Fault]:
    return lambda value: None if isinstance(value, kinds) else TypeError


ANYTHING: Kind = ("", lambda _: None)
PLAIN: dict[Any, Kind] = {
    Any: ANYTHING,
    int: ("a whole number", _whole),
    float: ("a finite number", _finite),
    bool: ("True or False", _of(bool, np.bool_)),
    str: ("a text", _of(str)),
    bytes: ("bytes", _of(bytes)),
    Path: ("a path", _path),
    type(None): ("None", _of(type(None))),
}
