"""The labs as a whole: three versions in step, solutions pass, stubs help, nothing leaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from differnet_course import check

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


class Recorder:
    """Answers rightly once, and then again with what it said the first time."""

    def __init__(self, answer, said=None):
        self.answer, self.said = answer, said
        self.found = iter(said or ())
        self.heard = []

    def __call__(self, *inputs, **options):
        result = next(self.found) if self.said else self.answer(*inputs, **options)
        self.heard.append(result)
        return result


@pytest.mark.parametrize("label", LABELS)
def test_a_hard_coded_answer_fails(label, answers, verdict):
    """Right answers to another random input; among the draws are some of the same sizes."""
    first = Recorder(answers(int(label[0]), "solutions")[label])
    assert verdict(label, first, seed=0).passed and first.heard
    for seed in range(1, 13):
        assert not verdict(label, Recorder(None, first.heard), seed=seed).passed


@pytest.mark.parametrize("number", sorted({label[0] for label in LABELS}))
def test_at_least_three_mistakes_of_every_exercise_are_told_apart(number):
    tested = load_tests(number)
    for label in check.exercises_of(number):
        messages = {says for _, says in tested.MISTAKES[label]}
        assert len(messages) >= 3, label


def load_tests(number: str):
    path = Path(__file__).parent / f"test_check_lab{number}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_what_every_lab_has(path):
    source = read(path)
    kinds = [cell.id.split("-")[0] for cell in source.cells]
    first, text = source.cells[0].source, "\n".join(c.source for c in source.cells)
    assert first.startswith("# Lab ") and "you can" in first and "**Time**" in first
    assert 5 <= kinds.count("check") <= 10 and "question" in kinds and "warm" in kinds
    assert text.count("<details><summary>") == text.count("</details>") >= kinds.count("check") // 2
    assert "For the fast" in text.replace("for the fast", "For the fast")
    assert "**Rubric" in text and "/work/" not in text
    for cell in source.cells:
        if cell.cell_type == "code" and not cell.id.startswith("exercise-"):
            assert len(cell.source.splitlines()) <= 20, cell.id
        if "picture_of" in cell.metadata:
            assert cell.get("attachments"), "run scripts/make_labs.py --pictures"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_student_version_holds_no_answer(path):
    student = read(LABS / "student" / path.name)
    text = "\n".join(cell.source for cell in student.cells)
    for word in ("BEGIN", "HIDDEN", "marking", "Rubric", "SOLUTION"):
        assert word not in text
    assert not any(cell.get("outputs") for cell in student.cells)
    before = read(path).cells
    answers = [c for c in before if c.metadata.get("nbgrader", {}).get("solution")]
    assert text.count("your code here") + text.count("Your answer here") >= len(answers)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_stored_solutions_are_run_and_right(path):
    cells = [c for c in read(LABS / "solutions" / path.name).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
            if cell.id.startswith("check-"):
                assert output["data"]["text/plain"].startswith("✓")
