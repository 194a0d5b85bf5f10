"""What a hostile case is, and how it is tried: refused in our own words, right, or a failure."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import differnet_lite

PACKAGE = str(Path(differnet_lite.__file__).parent)
OUTCOMES = ("fine", "silently wrong", "hang", "library traceback", "unclear")
LIMIT = 60  # seconds, of a case; what is refused is refused at once
FULL = os.environ.get("HOSTILE") == "full"  # as `make hostile` asks for
SEEDS = 25 if FULL else 1  # how many random cases of each kind
WORDS = re.compile(
    r"expected|there is no|no such|cannot|damaged|incomplete|needs|is there already|overwrite"
    r"|empty|differ|must|allow it|was asked for|has no|unknown|finite|give each"
    r"|not complete|more than|too long"
)

Run = Callable[[Any], Any]


class TooLongError(BaseException):
    """A case has not answered; no `Exception`, so that nothing on the way swallows it."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        group: the class of failures that it belongs to.
        name: what is bad, unique in its group.
        run: the attempt, a function of the surroundings, see `conftest.Surroundings`.
        expect: "refused": an error of our own, in words; "right": an answer; "either".
        check: says whether an answer is right; None takes any.
        note: a pattern that a warning must match; None asks for none.
        raises: what a refusal may be.
        says: a pattern that the error must match.
    """

    group: str
    name: str
    run: Run
    expect: str = "refused"
    check: Callable[[Any], bool] | None = None
    note: str | None = None
    raises: tuple[type[Exception], ...] = (ValueError, TypeError, OSError)
    says: str | None = None

    @property
    def id(self) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.:=+-]+", "_", f"{self.group}: {self.name}")
        return plain[:100]


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `TooLongError` within, again and again, once the time is over."""

    def over(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(case: Case, surroundings: Any) -> tuple[str, str]:
    """One of `OUTCOMES`, and what was seen."""
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            with time_limit(LIMIT):
                answer = case.run(surroundings)
        except TooLongError:
            return "hang", f"no answer within {LIMIT} s"
        except Exception as error:
            return _judged(case, error)
    said = " | ".join(str(note.message) for note in notes)
    if case.expect == "refused":
        return "silently wrong", f"answered {answer!r:.200}"
    if case.check is not None and not case.check(answer):
        return "silently wrong", f"the answer is wrong: {answer!r:.200}"
    if case.note is not None and not re.search(case.note, said):
        return "silently wrong", f"expected a note of {case.note!r}, got {said or 'none'!r}"
    return "fine", said


def _judged(case: Case, error: Exception) -> tuple[str, str]:
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error}"
    seen = f"{text[:300]}  (from {where.filename}:{where.lineno})"
    if not where.filename.startswith(PACKAGE):
        return "library traceback", seen
    if case.expect == "right" or not isinstance(error, case.raises):
        return "unclear", seen
    if not WORDS.search(str(error)) or (case.says and not re.search(case.says, str(error))):
        return "unclear", seen
    return "fine", seen
