"""Self-assessment: a question, its choices, and why each is right or wrong."""

from __future__ import annotations

import html
from collections.abc import Mapping

import ipywidgets as widgets

from differnet_course.assessment import Question, load_questions
from differnet_course.plots.style import BLUE, VERMILLION
from differnet_course.widgets.choices import Choices

__all__ = ["QuestionCard", "SelfAssessment"]


class SelfAssessment:
    """Asks questions one at a time, and keeps count.

    Args:
        questions: by key, in order; None takes the course's own.

    Attributes:
        progress: the line that every card shows.
        attempts: key to the positions of the choices answered so far, in order.

    Example:
        >>> assessment = SelfAssessment()
        >>> assessment.ask("unit").answer(1)
        >>> print(assessment)
        1 of 15 right, 1 of them at the first attempt
    """

    def __init__(self, questions: Mapping[str, Question] | None = None) -> None:
        self.questions = dict(load_questions() if questions is None else questions)
        self.attempts: dict[str, list[int]] = {key: [] for key in self.questions}
        self.progress = widgets.HTML()
        self._count()

    def ask(self, key: str) -> QuestionCard:
        """The card of a question; it starts anew, and what was answered before is forgotten.

        Raises:
            KeyError: there is no such question.
        """
        if key not in self.questions:
            raise KeyError(f"question {key!r}: expected one of {', '.join(self.questions)}")
        self.attempts[key] = []
        self._count()
        return QuestionCard(self, self.questions[key])

    def record(self, key: str, choice: int) -> None:
        """Note that a choice was answered; once a question is solved, nothing more is noted."""
        if not self.solved(key):
            self.attempts[key].append(choice)
        self._count()

    def solved(self, key: str) -> bool:
        """Whether the right choice was answered."""
        return any(self.questions[key].choices[k].right for k in self.attempts[key])

    def _count(self) -> None:
        self.progress.value = f"<i>{html.escape(str(self))}</i>"

    def __str__(self) -> str:
        solved = [key for key in self.questions if self.solved(key)]
        at_once = sum(len(self.attempts[key]) == 1 for key in solved)
        return (
            f"{len(solved)} of {len(self.questions)} right, {at_once} of them at the first attempt"
        )


class QuestionCard(widgets.VBox):
    """One question, by mouse or keyboard: arrows or Space choose, Tab goes on, Enter answers.

    Args:
        assessment: keeps the count.
        question: what is asked.

    Attributes:
        choices: the radio buttons; nothing is chosen at first.
        button: answers; it is grey as long as nothing is chosen.
        explanation: why the answer is right or wrong; of all choices once it is right. Screen
            readers tell it.
    """

    def __init__(self, assessment: SelfAssessment, question: Question) -> None:
        self.assessment, self.question = assessment, question
        self.choices = Choices(question.text, [choice.text for choice in question.choices])
        self.button = widgets.Button(description="Answer", disabled=True)
        self.explanation = widgets.HTML()
        self.choices.observe(self._chosen, names="value")
        self.button.on_click(self._clicked)
        topic = widgets.HTML(html.escape(question.topic))
        foot = widgets.HBox([self.button, assessment.progress])
        super().__init__([topic, self.choices, foot, self.explanation])

    def answer(self, choice: int) -> None:
        """Answer with the choice at this position, and show why it is right or wrong."""
        self.choices.value = choice
        self.assessment.record(self.question.key, choice)
        if self.question.choices[choice].right:
            others = [k for k in range(len(self.question.choices)) if k != choice]
            shown = [self._why(k) for k in (choice, *others)]
        else:
            shown = [self._why(choice), "Try again."]
        self.explanation.value = f"<div role='alert'>{'<br>'.join(shown)}</div>"

    def _clicked(self, _: widgets.Button) -> None:
        if self.choices.value is not None:
            self.answer(self.choices.value)

    def _chosen(self, change: dict) -> None:
        self.button.disabled = change["new"] is None

    def _why(self, k: int) -> str:
        choice = self.question.choices[k]
        sign, colour = ("✓ right", BLUE) if choice.right else ("✗ wrong", VERMILLION)
        text, why = html.escape(choice.text), html.escape(choice.why)
        return f"<b style='color:{colour}'>{sign}</b>: <i>{text}</i> {why}"

    def __repr__(self) -> str:
        return f"QuestionCard of {self.question.key!r}: run this cell to answer it"
