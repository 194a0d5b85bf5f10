"""Bad inputs, each with its expected outcome: refused in our own words, right, or with a note."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.hostile import (
    archives,
    arguments,
    folders,
    kept,
    lines,
    methods,
    models,
    others,
    pictures,
    switches,
)
from tests.hostile.conftest import Surroundings
from tests.hostile.harness import Case, tried

CASES: list[Case] = [
    case
    for module in (
        *(arguments, archives, folders, kept, lines, methods, models, others),
        *(pictures, switches),
    )
    for case in module.cases()
]


def test_cases_have_names_of_their_own() -> None:
    names = [(case.group, case.name) for case in CASES]
    assert len(set(names)) == len(names)
    assert len(names) >= 600


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_hostile(
    case: Case, surroundings: Surroundings, record_property: Callable[[str, object], None]
) -> None:
    outcome, seen = tried(case, surroundings)
    record_property("hostile", case.group)
    record_property("outcome", outcome)
    assert outcome == "fine", seen


@pytest.mark.parametrize(
    "call",
    [*arguments.CALLS, *arguments.RULES],
    ids=lambda c: f"{c.name}-{'-'.join(c.arguments)}"[:60],
)
def test_the_good_call_works(call: arguments.Call, surroundings: Surroundings) -> None:
    call.good(surroundings)
