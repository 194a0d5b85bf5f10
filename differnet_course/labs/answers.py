"""A student's function under observation: every call of it, and how it fails."""

from __future__ import annotations

import difflib
import linecache
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import differnet_lite
from differnet_course.labs.verdicts import Close, NotDone, Wrong

__all__ = ["Answer", "described", "explained", "students_code"]

# Folders of code that no student wrote.
LIBRARIES = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
    str(Path(differnet_lite.__file__).parent),
    "<frozen",
    "<__",
)


class Answer:
    """A student's function; a call of it ends in a result or in a line that helps.

    Args:
        function: what the student wrote.
        name: for messages, as the student would write the call.
    """

    def __init__(self, function: Any, name: str = "your function") -> None:
        if not callable(function):
            raise Wrong(f"`{name}` should be a function, and is {described(function)}.")
        self.function = function
        self.name = name

    def __call__(self, *inputs: Any) -> Any:
        """What the function returns.

        Raises:
            NotDone, Wrong: it is a stub, fails, returns nothing, or changes its input in place.
        """
        copies = [_copy(x) for x in inputs]
        with students_code(f"{self.name}({', '.join(map(described, inputs))})"):
            result = self.function(*inputs)
        for x, copy in zip(inputs, copies, strict=True):
            if isinstance(x, Tensor | np.ndarray) and not np.array_equal(_array(x), _array(copy)):
                raise Wrong(
                    f"`{self.name}` changes its input in place (as `y += 1` or `y.sort()` does). "
                    "Whoever calls it loses data. Make a new tensor or array."
                )
        if result is None or result is ...:
            raise NotDone(f"`{self.name}` gives {result}. Does it end in a `return`?")
        return result

    def pair(self, *inputs: Any) -> tuple[Any, Any]:
        """As a call, for a function that returns two things: a tuple, a list, an array of two.

        Raises:
            NotDone, Wrong: as for a call, or it returns another number of things.
        """
        result = self(*inputs)
        try:
            first, second = result
        except (TypeError, ValueError):
            raise Wrong(
                f"`{self.name}`: expected a pair, `return first, second`; got {described(result)}."
            ) from None
        return first, second


def _copy(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.detach().clone()
    return x.copy() if isinstance(x, np.ndarray) else x


def _array(x: Tensor | np.ndarray) -> np.ndarray:
    return x.detach().numpy() if isinstance(x, Tensor) else x


def described(value: Any) -> str:
    """A value in a few words: a number itself, a tensor or an array by its shape."""
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__.lower()} of shape {tuple(value.shape)}"
    if isinstance(value, int | float | str):
        return repr(value)
    size = f" of {len(value)}" if isinstance(value, list | tuple) else ""
    return f"{type(value).__name__}{size}"


@contextmanager
def students_code(call: str) -> Iterator[None]:
    """Turn an exception of the student's code into a line that helps.

    Args:
        call: as the student would write it: "flow.inverse(z)".

    Raises:
        NotDone: the code is a stub, or needs a cell that was not run.
        Wrong: it fails; with the line at fault.
    """
    try:
        yield
    except (Wrong, NotDone, Close):
        raise
    except NotImplementedError as error:
        raise NotDone("is still to be written: replace the `raise NotImplementedError`.") from error
    except Exception as error:
        frame, line = _students_line(error)
        if type(error) is NameError and error.name:
            names = {*frame.f_locals, *frame.f_globals} if frame else set()
            similar = difflib.get_close_matches(error.name, sorted(names - {error.name}), 1, 0.65)
            if similar:
                text = f"`{error.name}` is not defined. Did you mean `{similar[0]}`?"
                raise Wrong(text + line) from error
            raise NotDone(
                f"`{error.name}` is not defined. Run the cell that defines it, or correct the "
                f"spelling.{line}"
            ) from error
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        raise Wrong(f"`{call}` fails with {type(error).__name__}: {reason}.{line}") from error


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


def _students_line(error: BaseException) -> tuple[Any, str]:
    """The innermost frame that the student wrote, and a sentence that names its line."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        filename = frame.f_code.co_filename
        if not filename.startswith(LIBRARIES):
            code = linecache.getline(filename, number).strip()
            return frame, f" It happens in your line {number}" + (f": `{code}`" if code else ".")
    return None, ""
