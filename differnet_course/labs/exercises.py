"""What an exercise is, its random input, and what its check can say."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["SIGNS", "Close", "Draw", "Exercise", "NotDone", "Verdict", "Wrong", "wrong_if"]

SIGNS = {"right": "✓", "close": "≈", "wrong": "✗", "open": "○"}
COLOURS = {"right": "#009E73", "close": "#56B4E9", "wrong": "#D55E00", "open": "#999999"}


class Outcome(Exception):
    """What a check has to say.

    Args:
        message: its key in messages.toml, or the message itself.
        values: what the message of this key has in braces.
    """

    kind = ""

    def __init__(self, message: str, **values: object) -> None:
        super().__init__(message)
        self.values = values


class Wrong(Outcome):
    """The answer is wrong; the text tells the student what is, and where to look."""

    kind = "wrong"


class NotDone(Outcome):
    """There is no answer yet: a stub, None, a cell that was not run."""

    kind = "open"


class Close(Outcome):
    """The answer is right but for a small difference, which the text names."""

    kind = "close"


def wrong_if(condition: Any, message: str, **values: object) -> None:
    """Raise `Wrong` if the condition holds."""
    if condition:
        raise Wrong(message, **values)


class Draw:
    """Fresh random input; no global generator is read or moved.

    Args:
        seed: None draws anew each time.
        larger: whether whole numbers lie above those that are asked for: for held-back tests.
    """

    def __init__(self, seed: int | None = None, *, larger: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.larger = larger

    def normal(self, *shape: int, mean: float = 0.0, deviation: float = 1.0) -> Tensor:
        """Normal numbers, in PyTorch's default dtype."""
        numbers = self.rng.normal(mean, deviation, shape)
        return torch.as_tensor(numbers, dtype=torch.get_default_dtype())

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers, in PyTorch's default dtype."""
        numbers = self.rng.uniform(low, high, shape)
        return torch.as_tensor(numbers, dtype=torch.get_default_dtype())

    def number(self, low: float, high: float) -> float:
        """One uniform number."""
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high; of a larger draw from high + 1 to high + 3."""
        if self.larger:
            low, high = high + 1, high + 3
        return int(self.rng.integers(low, high, endpoint=True))


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise of a lab.

    Args:
        title: a few words, for the progress line.
        name: of the function that the student writes.
        check: called with the `Answer` and a `Draw`. It returns if the answer is right, with a
            note for the student or None; otherwise it raises `Wrong`, `NotDone` or `Close`.
        dtype: PyTorch's default while it is checked; None: the session's.
    """

    title: str
    name: str
    check: Callable[[Any, Draw], str | None]
    dtype: torch.dtype | None = torch.float64


@dataclasses.dataclass(frozen=True, repr=False)
class Verdict:
    """What came out for one exercise; a notebook shows it in a box with a coloured edge.

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

    def __repr__(self) -> str:
        return f"{SIGNS[self.kind]} {self.label}  {self.text}\n{self.progress}".rstrip()

    def _repr_html_(self) -> str:
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.text, quote=False))
        return (
            f'<div style="border-left: 5px solid {COLOURS[self.kind]}; padding: 2px 10px">'
            f"<b>{SIGNS[self.kind]} {self.label}</b>&ensp;{text}"
            '<div style="opacity: 0.7; font-size: 90%; white-space: pre-wrap">'
            f"{html.escape(self.progress)}</div></div>"
        )
