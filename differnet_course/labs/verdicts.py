"""What an exercise is, what its check can say, and how that is shown."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from typing import Any

import torch

__all__ = ["SIGNS", "Close", "Exercise", "NotDone", "Off", "Verdict", "Wrong"]

SIGNS = {"right": "✓", "close": "≈", "wrong": "✗", "open": "○"}
COLOURS = {"right": "#009E73", "close": "#56B4E9", "wrong": "#D55E00", "open": "#999999"}


class _Outcome(Exception):
    """What a check has to say.

    Args:
        key: of a message in messages.toml; or the message itself.
        addition: a sentence behind it.
        values: what the message has in braces.
    """

    kind = ""

    def __init__(self, key: str, addition: str = "", **values: object) -> None:
        super().__init__(key)
        self.key = key
        self.addition = addition
        self.values = values


class Wrong(_Outcome):
    """The answer is wrong; the text tells the student what is, and where to look."""

    kind = "wrong"


class Off(Wrong):
    """The answer is wrong in a way that no message foresees."""


class NotDone(_Outcome):
    """There is no answer yet: a stub, None, a cell that was not run."""

    kind = "open"


class Close(_Outcome):
    """The answer is right but for a small difference, which the text names."""

    kind = "close"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came out for one exercise.

    Args:
        label: such as "1.3".
        kind: "right", "close" (right but for a tolerance), "wrong" or "open".
        text: for the student; code stands in backticks.
        progress: a line on all exercises of the lab.
    """

    label: str
    kind: str
    text: str
    progress: str = ""

    @property
    def passed(self) -> bool:
        """Whether it counts as solved."""
        return self.kind in ("right", "close")

    def __str__(self) -> str:
        return f"{SIGNS[self.kind]} {self.label}  {self.text}\n{self.progress}".rstrip()

    def as_html(self) -> str:
        """The same, in a box with a coloured edge; text keeps the theme's colour."""
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.text, quote=False))
        return (
            f'<div style="border-left: 5px solid {COLOURS[self.kind]}; padding: 2px 10px">'
            f"<b>{SIGNS[self.kind]} {self.label}</b>&ensp;{text}"
            '<div style="opacity: 0.7; font-size: 90%; white-space: pre-wrap">'
            f"{html.escape(self.progress)}</div></div>"
        )


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise of a lab.

    Args:
        title: a few words, for the progress line.
        name: of the function that the student writes.
        check: called with the answer and a source of random input. It returns if the answer is
            right, with a note for the student or None, and raises `Wrong`, `NotDone` or `Close`
            otherwise.
        dtype: PyTorch's default while it is checked; None: the session's.
    """

    title: str
    name: str
    check: Callable[[Any, Any], str | None]
    dtype: torch.dtype | None = torch.float64
