"""The labs as a whole: three versions in step, solutions pass, stubs help, nothing leaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from differnet_lite.course import check

nbformat = pytest.importorskip("nbformat")

LABS = Path(__file__).resolve().parents[2] / "notebooks" / "labs"
SOURCES = sorted((LABS / "source").glob("lab*.ipynb"))
LABELS = [label for path in SOURCES for label in check.exercises_of(path.stem[3])]


def read(path: Path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_student_and_solution_version_are_in_step_with_the_source(path, make_labs):
    for version in ("student", "solutions"):
        stored = read(LABS / version / path.name)
        executed = stored if version == "solutions" else None
        derive = make_labs.student_version if executed is None else make_labs.solution_version
        wanted = derive(read(path)) if executed is None else derive(read(path), executed)
        assert [c.source for c in stored.cells] == [c.source for c in wanted.cells], "run make labs"
        assert [(c.id, c.metadata) for c in stored.cells] == [
            (c.id, c.metadata) for c in wanted.cells
        ]


@pytest.mark.parametrize("label", LABELS)
def test_the_solution_passes_the_check_and_the_held_back_test(label, answers, verdict, held_back):
    answer = answers(int(label[0]), "solutions")[label]
    for seed in range(5):
        assert str(verdict(label, answer, seed=seed)).startswith("✓")
        assert str(verdict(label, answer, test=held_back[label], seed=seed)).startswith("✓")


@pytest.mark.parametrize("label", LABELS)
def test_a_stub_gets_a_line_that_helps(label, answers, verdict):
    found = verdict(label, answers(int(label[0]), "student")[label])
    assert found.kind == "open" and "your code here" not in found.text
    assert verdict(label, None).kind == verdict(label, ...).kind == "open"


@pytest.mark.parametrize("label", LABELS)
def test_an_exception_gets_a_line_that_helps(label, verdict):
    def answer(*_, **__):
        raise ZeroDivisionError("no such luck")

    found = verdict(label, answer)
    assert found.kind == "wrong" and "no such luck" in found.text and "your line" in found.text
