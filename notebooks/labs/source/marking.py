"""Held-back tests of the labs: the student version has none of this file.

The hidden tests of the source notebooks call `marking.exercise("1.3")`. A failure says which
exercise, and nothing of the test. A held-back test is written like a check
(`differnet_course.labs`), on input that the visible one does not draw: other sizes, other types,
extreme numbers.
"""

from __future__ import annotations

import dataclasses
import sys

from marking_lab1 import HELD_BACK as LAB1
from marking_lab2 import HELD_BACK as LAB2
from marking_lab3 import HELD_BACK as LAB3
from marking_lab4 import HELD_BACK as LAB4
from marking_lab5 import HELD_BACK as LAB5

from differnet_course import check

HELD_BACK = {**LAB1, **LAB2, **LAB3, **LAB4, **LAB5}


def task_of(label: str) -> check.Exercise:
    """The exercise with its held-back test in the place of its check."""
    task = check.exercises_of(label.split(".")[0])[label]
    return dataclasses.replace(task, check=HELD_BACK[label])


def exercise(label: str) -> None:
    """Raise if the notebook's answer fails the held-back test."""
    task = task_of(label)
    verdict = check.judge(task, sys._getframe(1).f_globals.get(task.name), label=label)
    if not verdict.passed:
        raise check.NotPassed(f"{label}: a held-back test fails.")
