"""The self-assessment, without a browser: every answer is explained, and the count is right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("ipywidgets")
from traitlets import TraitError

from differnet_course.assessment import load_questions
from differnet_course.widgets import SelfAssessment

QUESTIONS = load_questions()
NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "10_self_assessment.ipynb"
TWO = """
[[question]]
key = "a"
topic = "T"
text = "Is 1 < 2?"
[[question.choice]]
text = "yes"
why = "because <b>"
right = true
[[question.choice]]
text = "no"
why = "it is not"
"""


def right(key: str) -> int:
    return [choice.right for choice in QUESTIONS[key].choices].index(True)


def wrong(key: str) -> int:
    return [choice.right for choice in QUESTIONS[key].choices].index(False)


def test_fifteen_questions_and_the_right_one_is_not_always_in_the_same_place():
    assert len(QUESTIONS) == 15
    places = [right(key) for key in QUESTIONS]
    assert max(places.count(place) for place in places) < 8


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_right_answer_shows_every_explanation_and_a_wrong_one_only_its_own(key):
    assessment = SelfAssessment(QUESTIONS)
    card = assessment.ask(key)
    card.answer(wrong(key))
    shown = card.explanation.value
    assert "✗ wrong" in shown and "✓" not in shown and "Try again" in shown
    assert shown.count("<b ") == 1
    card.answer(right(key))
    shown = card.explanation.value
    assert "role='alert'" in shown and shown.index("✓ right") < shown.index("✗ wrong")
    assert shown.count("<b ") == len(card.question.choices)


def test_the_button_answers_what_is_chosen_and_is_grey_before():
    card = SelfAssessment(QUESTIONS).ask("unit")
    assert card.button.disabled and card.choices.value is None
    with pytest.raises(TraitError, match="below 3"):
        card.choices.value = 3
    card.choices.value = right("unit")
    assert not card.button.disabled and card.explanation.value == ""
    card.button.click()
    assert "✓ right" in card.explanation.value


def test_the_count_tells_first_attempts_and_starts_anew():
    assessment = SelfAssessment(QUESTIONS)
    first, second = assessment.ask("unit"), assessment.ask("logdet")
    first.answer(right("unit"))
    second.answer(wrong("logdet"))
    assert "1 of 15 right, 1 of them" in assessment.progress.value
    second.answer(right("logdet"))
    second.answer(wrong("logdet"))  # once solved, it stays solved
    assert str(assessment) == "2 of 15 right, 1 of them at the first attempt"
    assessment.ask("unit")
    assert str(assessment) == "1 of 15 right, 0 of them at the first attempt"


def test_an_unknown_question_is_told():
    with pytest.raises(KeyError, match="expected one of unit, negative"):
        SelfAssessment(QUESTIONS).ask("units")


def test_questions_of_ones_own_and_their_text_is_no_markup():
    card = SelfAssessment(load_questions(TWO)).ask("a")
    card.answer(0)
    assert "because &lt;b&gt;" in card.explanation.value
    assert card.choices.question == "Is 1 < 2?"  # set as text in the browser


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("right = true", "", "with 0 right"),
        ('text = "no"', 'text = "no"\nright = true', "with 2 right"),
        ('text = "no"', 'text = "yes"', "different choices"),
        (TWO, TWO + TWO, "there twice"),
    ],
)
def test_unsound_questions_are_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        load_questions(TWO.replace(old, new))


def test_the_notebook_asks_every_question_once_in_order():
    asked = re.findall(r'assessment\.ask\(\\"(\w+)\\"\)', NOTEBOOK.read_text(encoding="utf-8"))
    assert asked == list(QUESTIONS)
