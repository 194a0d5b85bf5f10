"""The questions of the self-assessment: read from questions.toml, checked, ready to be asked."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files

__all__ = ["Choice", "Question", "load_questions"]


@dataclasses.dataclass(frozen=True)
class Choice:
    """One answer to choose.

    Args:
        text: what it says.
        why: why it is right, or wrong.
        right: whether it is the right one.
    """

    text: str
    why: str
    right: bool = False


@dataclasses.dataclass(frozen=True)
class Question:
    """A question with its choices, of which one is right.

    Args:
        key: its short name.
        topic: what it is about, and the notebook that explains it.
        text: the question.
        choices: two or more, no text twice.

    Raises:
        ValueError: there are fewer than two choices, two alike, or not one right one.
    """

    key: str
    topic: str
    text: str
    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        n_right = sum(choice.right for choice in self.choices)
        if (
            len({choice.text for choice in self.choices}) < max(2, len(self.choices))
            or n_right != 1
        ):
            raise ValueError(
                f"question {self.key!r}: expected two or more different choices, one of them "
                f"right, got {len(self.choices)} with {n_right} right"
            )


def load_questions(text: str | None = None) -> dict[str, Question]:
    """Questions by key, in their order.

    Args:
        text: TOML as in questions.toml; None reads that file.

    Raises:
        ValueError: a key is there twice, or a question is not sound.
    """
    if text is None:
        text = files("differnet_course").joinpath("questions.toml").read_text("utf-8")
    questions: dict[str, Question] = {}
    for entry in tomllib.loads(text)["question"]:
        choices = tuple(Choice(**choice) for choice in entry.pop("choice"))
        question = Question(**entry, choices=choices)
        if question.key in questions:
            raise ValueError(f"question {question.key!r} is there twice; keys differ")
        questions[question.key] = question
    return questions
