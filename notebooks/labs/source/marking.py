"""Held-back tests of the labs: the student version has none of this file.

The hidden tests of the source notebooks call `marking.exercise("1.3", answer)`. A failure says
which exercise, and nothing of the test, so that nothing gets out with nbgrader's feedback. A
held-back test is written like a check (`differnet_course.labs`), on input that the visible
one does not draw: other sizes, other types, extreme numbers.
"""

from __future__ import annotations

from typing import Any

from marking_lab1 import HELD_BACK as LAB1
from marking_lab2 import HELD_BACK as LAB2
from marking_lab3 import HELD_BACK as LAB3
from marking_lab4 import HELD_BACK as LAB4

from differnet_course import check
from differnet_course.labs.verdicts import Exercise

HELD_BACK = {**LAB1, **LAB2, **LAB3, **LAB4}


def exercise(label: str, answer: Any) -> None:
    """Raise if the answer fails the held-back test."""
    verdict = check.judge(Exercise(label, HELD_BACK[label]), answer, label=label)
    if not verdict.passed:
        raise check.NotPassed(f"{label}: a held-back test fails.")
