"""Judge an answer, show the verdict, keep the progress."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from differnet_course.labs.comparing import students_code
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import SIGNS, Close, Exercise, NotDone, Verdict, Wrong

__all__ = ["NotPassed", "exercise", "exercises_of", "judge", "progress"]

LABS = (1, 2, 3, 4)
_kinds: dict[str, str] = {}  # of this session's last verdicts, by label


class NotPassed(Exception):
    """An exercise did not pass while nbgrader marks; a notebook shows its text alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def exercise(label: str, answer: Any) -> None:
    """Check an answer and show the verdict, with the lab's progress, under the cell.

    Where nbgrader runs the notebook, an answer that does not pass raises, so that the cell gets no
    points.

    Args:
        label: of the exercise, such as "1.3".
        answer: what the exercise asks for: a function, mostly. Nothing is changed in it.

    Raises:
        KeyError: there is no such exercise.
        NotPassed: only while nbgrader validates or marks.
    """
    known = exercises_of(label.split(".")[0])
    if label not in known:
        raise KeyError(f"exercise {label!r}: expected one of {', '.join(known)}")
    verdict = judge(known[label], answer, label=label)
    _kinds[label] = verdict.kind
    _show(Verdict(label, verdict.kind, verdict.text, _line(label.split(".")[0])))
    if not verdict.passed and os.environ.get("NBGRADER_EXECUTION"):
        raise NotPassed(f"{label} is not passed: {verdict.text}")


def judge(of: Exercise, answer: Any, *, label: str = "", seed: int | None = None) -> Verdict:
    """What a check says of an answer; nothing is shown or kept.

    Args:
        of: the exercise.
        answer: what it asks for.
        label: for the verdict.
        seed: of the random input; None draws anew.
    """
    if answer is None or answer is ...:
        return Verdict(label, "open", f"is still to be done: got {answer}.")
    try:
        with _float64(), students_code("your code"):
            note = of.check(answer, Draw(seed))
    except NotDone as error:
        return Verdict(label, "open", str(error))
    except Close as error:
        return Verdict(label, "close", str(error))
    except Wrong as error:
        return Verdict(label, "wrong", str(error))
    return Verdict(label, "right", f"{of.title}: right. {note or ''}".rstrip())


def progress(lab: int) -> None:
    """Show which exercises of a lab pass in this session."""
    known = exercises_of(lab)
    solved = [label for label in known if _kinds.get(label) in ("right", "close")]
    missing = [f"{label} {known[label].title}" for label in known if label not in solved]
    text = "all exercises pass." if not missing else f"still open: {'; '.join(missing)}."
    _show(Verdict(f"Lab {lab}", "open" if missing else "right", text, _line(lab)))


def exercises_of(lab: int | str) -> dict[str, Exercise]:
    """The exercises of a lab by label.

    Raises:
        KeyError: there is no such lab.
    """
    if str(lab) not in map(str, LABS):
        raise KeyError(f"lab {lab!r}: expected one of {', '.join(map(str, LABS))}")
    return importlib.import_module(f"differnet_course.labs.lab{lab}").EXERCISES


def _line(lab: int | str) -> str:
    marks = [f"{label} {SIGNS[_kinds.get(label, 'open')]}" for label in exercises_of(lab)]
    return f"Lab {lab}:  {'   '.join(marks)}"


def _show(verdict: Verdict) -> None:
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = None
    if get_ipython is None or get_ipython() is None:
        print(verdict)
    else:
        data = {"text/plain": str(verdict), "text/html": verdict.as_html()}
        display(data, raw=True)


@contextmanager
def _float64() -> Iterator[None]:
    before, threads = torch.get_default_dtype(), torch.random.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.random.set_rng_state(threads)
