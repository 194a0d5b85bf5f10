"""Checks for the labs: is my answer right, and if not, where do I look?

    from differnet_course import check
    check.exercise("1.3")    # judges the notebook's `linear_flow`, and shows a line
    check.progress(1)        # which exercises of lab 1 pass

Every check draws fresh random input and compares with a reference that is computed by another
road (autograd's Jacobian, finite differences, FrEIA, scikit-learn), or tests a property. So no
model answer is in here.
"""

from differnet_course.labs.exercises import (
    Exercise,
    NotPassed,
    exercise,
    exercises_of,
    held_back,
    judge,
    progress,
)

__all__ = [
    "Exercise",
    "NotPassed",
    "exercise",
    "exercises_of",
    "held_back",
    "judge",
    "progress",
]
