"""A student's function under observation: how it fails, and what its results say."""

from __future__ import annotations

import difflib
import linecache
import math
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import differnet_lite
from differnet_course.labs.comparing import compare, count, described, gradient_sizes
from differnet_course.labs.exercises import NotDone, Outcome, Wrong, wrong_if

__all__ = ["Answer", "students_code"]

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
        table: what messages.toml has for the exercise.
    """

    def __init__(self, function: Any, name: str, table: Mapping[str, Any]) -> None:
        self.function = function
        self.name = name
        self.table = table
        what = described(function)
        wrong_if(not callable(function), f"`{name}` should be a function, and is {what}.")

    def __call__(self, *inputs: Any) -> Any:
        """What the function returns.

        Raises:
            NotDone, Wrong: it is a stub, fails, returns nothing, or changes its input in place.
        """
        copies = [_copy(x) for x in inputs]
        call = f"{self.name}({', '.join(map(described, inputs))})"
        with students_code(call, self.table.get("fails", {})):
            result = self.function(*inputs)
        for x, copy in zip(inputs, copies, strict=True):
            if not np.array_equal(_copy(x), copy):
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

    def part(self, function: Any, name: str) -> Answer:
        """A function that the answer has made, or a method of it."""
        return Answer(function, name, self.table)

    def check(
        self,
        given: Mapping[str, Any],
        right: Mapping[str, Any],
        *,
        leaves: Sequence[Tensor] = (),
        **known: Any,
    ) -> list[Any]:
        """Call the function, compare its one or two results, and return them.

        Args:
            given: the arguments by name, in order.
            right: what is asked for, by how a message begins: "The log-det is".
            leaves: tensors by which the gradients of the results are compared as well.
            known: what the formulas of the table use beside the arguments.

        Raises:
            NotDone, Wrong, Close: the results are not the right ones.
        """
        arguments = given.values()
        results = list(self.pair(*arguments)) if len(right) == 2 else [self(*arguments)]
        for got, (what, wanted) in zip(results, right.items(), strict=True):
            self.compare(what, got, wanted, **given, **known)
        if leaves:
            self.compare_gradients(results, leaves, list(right.values()), leaves)
        return results

    def compare(self, what: str, got: Any, right: Any, **names: Any) -> None:
        """Compare one result with the right one, and with what the table's mistakes give.

        Args:
            what: how a message begins; the table's formulas and sentences are under this key.
            got: the student's.
            right: the reference.
            names: what the formulas use, beside `right`, torch, np and math.

        Raises:
            Wrong, Close: see `compare`.
        """
        names = {"torch": torch, "np": np, "math": math, "right": right} | names
        # eval of the package's own formulas; nothing of the student's is in them
        mistakes = {
            sentence.format_map(names): eval(formula, dict(names))
            for formula, sentence in self.table.get(what, {}).items()
        }
        compare(what, got, right, mistakes, self.table.get("hint", "").format_map(names))

    def compare_gradients(
        self,
        outputs: Sequence[Any],
        leaves: Sequence[Tensor],
        right_outputs: Sequence[Tensor],
        right_leaves: Sequence[Tensor],
    ) -> None:
        """Compare the gradients of outputs whose values are right by their sizes.

        Raises:
            Wrong: some are missing, or are others.
        """
        sizes = gradient_sizes(outputs, leaves)
        wanted = gradient_sizes(right_outputs, right_leaves)
        if dead := sizes.count(0.0) - wanted.count(0.0):
            raise Wrong(
                f"The values are right, but gradients reach only {len(wanted) - dead} of "
                f"{count(len(wanted), 'tensor')}: training cannot move the others. Is there a "
                "`no_grad`, `.detach()`, `.data`, `.item()` or NumPy in between?"
            )
        self.compare("The values are right, but the gradients are", sizes, wanted)


def _copy(x: Any) -> np.ndarray:
    """A copy of a tensor's or an array's numbers; nothing of anything else."""
    if isinstance(x, Tensor):
        x = x.detach().numpy()
    return np.array(x if isinstance(x, np.ndarray) else ())


@contextmanager
def students_code(call: str, explained: Mapping[str, str]) -> Iterator[None]:
    """Turn an exception of the student's code into a line that helps.

    Args:
        call: as the student would write it: "flow.inverse(z)".
        explained: for a part of an exception's text, what to say in its place.

    Raises:
        NotDone: the code is a stub, or needs a cell that was not run.
        Wrong: it fails; with the line at fault.
    """
    try:
        yield
    except Outcome:
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
        for symptom, message in explained.items():
            wrong_if(symptom in str(error), message + line)
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        raise Wrong(f"`{call}` fails with {type(error).__name__}: {reason}.{line}") from error


def _students_line(error: BaseException) -> tuple[Any, str]:
    """The innermost frame that the student wrote, and a sentence that names its line."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        filename = frame.f_code.co_filename
        if not filename.startswith(LIBRARIES):
            code = linecache.getline(filename, number).strip()
            return frame, f" It happens in your line {number}" + (f": `{code}`" if code else ".")
    return None, ""
