"""Checks for the labs: is my answer right, and if not, where do I look?

    from differnet_course import check
    check.exercise("1.3")    # judges the notebook's `linear_flow`, and shows a line
    check.progress(1)        # which exercises of lab 1 pass

Every check draws fresh random input and compares with a reference that is computed by another
road (autograd's Jacobian, finite differences, FrEIA, scikit-learn), or tests a property. So no
model answer is in here. What a likely mistake gives, and what it is told, is in labs/messages.toml.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import json
import os
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from differnet_course.labs.answers import Answer, students_code
from differnet_course.labs.exercises import SIGNS, Draw, Exercise, Outcome, Verdict

__all__ = [
    "Exercise",
    "NotPassed",
    "exercise",
    "exercises_of",
    "held_back",
    "judge",
    "progress",
]

FILE = Path(__file__).parent / "labs" / "messages.toml"
MESSAGES = tomllib.loads(FILE.read_text(encoding="utf-8"))
FROM_NOTEBOOK = object()
PROGRESS = Path("lab-progress.json")  # beside the notebook: the last verdict on each exercise
_kinds: dict[str, str] = {}  # this session's


class NotPassed(Exception):
    """An exercise did not pass while nbgrader marks; a notebook shows its text alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def exercise(label: str, answer: Any = FROM_NOTEBOOK) -> None:
    """Check an answer and show the verdict, with the lab's progress, under the cell.

    Args:
        label: of the exercise, such as "1.3".
        answer: what the exercise asks for; without it, what the notebook calls by the name that
            the exercise gives.

    Raises:
        KeyError: there is no such exercise.
        NotPassed: nbgrader validates or marks, and the answer is not right: no points.
    """
    task = _task(label)
    if answer is FROM_NOTEBOOK:
        answer = sys._getframe(1).f_globals.get(task.name)
    verdict = judge(task, answer, label=label)
    if answer is not None:  # a cell that was not run takes no mark away
        _kinds[label] = verdict.kind
    _show(dataclasses.replace(verdict, progress=_line(label[0])))
    if os.environ.get("NBGRADER_EXECUTION"):
        if not verdict.passed:
            raise NotPassed(f"{label} is not passed: {verdict.text}")
        return
    with contextlib.suppress(OSError):  # a folder that cannot be written
        PROGRESS.write_text(json.dumps(_stored() | _kinds), encoding="utf-8")


def held_back(label: str) -> None:
    """For nbgrader's hidden tests: the check on input of sizes that it never draws in class.

    Raises:
        NotPassed: the notebook's answer fails; nothing is said of the test.
    """
    task = _task(label)
    answer = sys._getframe(1).f_globals.get(task.name)
    if not judge(task, answer, label=label, draw=Draw(larger=True)).passed:
        raise NotPassed(f"{label}: a held-back test fails.")


def _task(label: str) -> Exercise:
    tasks = exercises_of(label[0])
    if label not in tasks:
        raise KeyError(f"exercise {label!r}: expected one of {', '.join(tasks)}")
    return tasks[label]


def judge(task: Exercise, answer: Any, *, label: str, draw: Draw | None = None) -> Verdict:
    """What a check says of an answer; nothing is shown or kept.

    Args:
        task: the exercise.
        answer: what it asks for; None: the student's cell was not run.
        label: of the exercise, whose messages are told.
        draw: the source of random input; None draws anew.
    """
    if answer is None or answer is ...:
        text = f"is not run yet: there is no `{task.name}`. Write it, run its cell, then this one."
        return Verdict(label, "open", text)
    table = _table(label)
    with _quiet(task.dtype) as remarks:
        try:
            with students_code(task.name, table.get("fails", {})):
                note = task.check(Answer(answer, task.name, table), draw or Draw())
            kind = "right"
            text = f"{task.title}: right. {note or ''}".rstrip()
        except Outcome as error:
            kind = error.kind
            text = str(error)
            if text in table:
                text = table[text].format(**error.values)
    return Verdict(label, kind, " ".join([text, *remarks]))


def _table(label: str) -> dict[str, Any]:
    """The messages of an exercise, with those that it shares with its lab and with all."""
    table: dict[str, Any] = {}
    for messages in (MESSAGES["all"], MESSAGES.get(label[0], {}), MESSAGES.get(label, {})):
        for key, value in messages.items():
            table[key] = table.get(key, {}) | value if isinstance(value, dict) else value
    return table


@contextlib.contextmanager
def _quiet(dtype: torch.dtype | None) -> Iterator[list[str]]:
    """Within, warnings and stderr are recorded (nbgrader gives 0 points for a line on stderr)."""
    remarks: list[str] = []
    default = torch.get_default_dtype()
    generator = torch.random.get_rng_state()
    torch.set_default_dtype(dtype or default)
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DeprecationWarning)
            yield remarks
    finally:
        torch.set_default_dtype(default)
        torch.random.set_rng_state(generator)
    lines = [f"{w.category.__name__}: {w.message}" for w in caught] + stderr.getvalue().split("\n")
    if lines[0]:
        first = lines[0].strip().split("\n")[0][:150].rstrip(".")
        remarks.append(f"(Python warns: {first}. That costs no points.)")


def progress(lab: int) -> None:
    """Show which exercises of a lab passed when they were last checked, before a restart too."""
    _kinds.update(_stored() | _kinds)
    missing = [
        f"{label} {task.title}"
        for label, task in exercises_of(lab).items()
        if _kinds.get(label) not in ("right", "close")
    ]
    text = f"still open: {'; '.join(missing)}." if missing else "all exercises pass."
    _show(Verdict(f"Lab {lab}", "open" if missing else "right", text, _line(lab)))


def exercises_of(lab: int | str) -> dict[str, Exercise]:
    """The exercises of a lab by label."""
    return importlib.import_module(f"differnet_course.labs.lab{lab}").EXERCISES


def _stored() -> dict[str, str]:
    """The last verdicts by label; none where there is no such file, or another."""
    try:
        stored = json.loads(PROGRESS.read_text(encoding="utf-8"))
        return {label: kind for label, kind in stored.items() if kind in SIGNS}
    except (OSError, ValueError, AttributeError):
        return {}


def _line(lab: int | str) -> str:
    marks = [f"{label} {SIGNS[_kinds.get(label, 'open')]}" for label in exercises_of(lab)]
    return f"Lab {lab}:  {'   '.join(marks)}"


def _show(verdict: Verdict) -> None:
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        from IPython.display import display

        display(verdict)
    else:
        print(verdict)
