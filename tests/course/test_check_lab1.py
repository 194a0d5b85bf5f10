"""Lab 1: every typical mistake gets its own message."""

from __future__ import annotations

import pytest
import torch

MISTAKES = {
    "1.1": [
        (lambda t, p: p(3600 / t), "forgot the factor"),
        (lambda t, p: p(3600 / t) * t**2 / 3600, "upside down"),
        (lambda t, p: -p(3600 / t) * 3600 / t**2, "negative"),
        (lambda t, p: p(3600 / t) * 3600 / t, "factor is the speed"),
        (lambda t, p: p(t) * 3600 / t**2, "which is a pace"),
    ],
}
HARD_CODED = {"1.1": lambda t, p: torch.full_like(t, 0.02)}
EVERY = [(label, *mistake) for label, found in MISTAKES.items() for mistake in found]


@pytest.mark.parametrize(("label", "answer", "says"), EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_gets_its_own_message(verdict, label, answer, says, seed):
    found = verdict(label, answer, seed=seed)
    assert found.kind == "wrong" and says in found.text


@pytest.mark.parametrize("label", MISTAKES)
def test_three_mistakes_of_each(label):
    assert len({says for _, says in MISTAKES[label]}) >= 3


@pytest.mark.parametrize(("label", "answer"), HARD_CODED.items())
def test_a_hard_coded_answer_fails(verdict, label, answer):
    assert not verdict(label, answer).passed
