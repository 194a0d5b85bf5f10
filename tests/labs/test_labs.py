"""The labs as a whole: three versions in step, solutions pass, stubs help, nothing leaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from differnet_course import check

nbformat = pytest.importorskip("nbformat")

LABS = Path(__file__).resolve().parents[2] / "notebooks" / "labs"
SOURCES = sorted((LABS / "source").glob("lab*.ipynb"))
LABELS = [label for path in SOURCES for label in check.exercises_of(path.stem[3])]
a_lab = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
an_exercise = pytest.mark.parametrize("label", LABELS)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def name_of(label):
    return check.exercises_of(label[0])[label].name


@a_lab
def test_student_and_solution_version_are_in_step_with_the_source(path, make_labs):
    source = read(path)
    stored = read(LABS / "solutions" / path.name)
    for notebook, wanted in (
        (read(LABS / "student" / path.name), make_labs.student_version(source)),
        (stored, make_labs.solution_version(source, stored)),
    ):
        for cell, right in zip(notebook.cells, wanted.cells, strict=True):
            assert cell.source == right.source, "run make labs"
            assert (cell.id, cell.metadata) == (right.id, right.metadata)


@a_lab
def test_an_expected_picture_is_what_the_solution_draws(path, make_labs):
    executed = read(LABS / "solutions" / path.name)
    shown = [c for c in read(LABS / "student" / path.name).cells if "picture_of" in c.metadata]
    assert shown
    for cell in shown:
        drawn = make_labs.pictures(executed, cell.metadata["picture_of"])
        attached = [picture["image/jpeg"] for picture in cell.attachments.values()]
        assert drawn and attached == drawn, "run scripts/make_labs.py after the solutions"
        assert all(f"(attachment:{name})" in cell.source for name in cell.attachments)


@an_exercise
def test_the_solution_passes_the_check_and_the_held_back_test(label, answers, verdict):
    answer = answers(int(label[0]), "solutions")[name_of(label)]
    for seed in range(1 if label == "5.3" else 5):
        for held_back in (False, True):
            result = verdict(label, answer, held_back=held_back, seed=seed)
            assert result.kind == "right" and "warns" not in result.text, result.text


@an_exercise
def test_a_stub_gets_a_line_that_helps(label, answers, verdict):
    result = verdict(label, answers(int(label[0]), "student").get(name_of(label)))
    assert result.kind == "open" and "your code here" not in result.text
    assert name_of(label) in verdict(label, None).text


@an_exercise
def test_an_exception_gets_a_line_that_helps(label, verdict):
    def answer(*_, **__):
        raise ZeroDivisionError("no such luck")

    result = verdict(label, answer)
    assert result.kind == "wrong" and "no such luck" in result.text
    assert "`raise ZeroDivisionError" in result.text or label == "4.1"


class Recorder:
    """Answers rightly once, and then again with what it said the first time."""

    def __init__(self, answer, results=()):
        self.answer = answer
        self.results = list(results)
        self.given = []

    def __call__(self, *inputs, **options):
        result = self.results.pop(0) if self.answer is None else self.answer(*inputs, **options)
        self.given.append(result)
        return result


@an_exercise
def test_a_hard_coded_answer_fails(label, answers, verdict):
    """Right answers to another random input; among the draws are some of the same sizes."""
    first = Recorder(answers(int(label[0]), "solutions")[name_of(label)])
    assert verdict(label, first, seed=0).passed and first.given
    for seed in range(1, 13):
        assert not verdict(label, Recorder(None, first.given), seed=seed).passed


@a_lab
def test_what_every_lab_has(path):
    cells = {cell.id: cell.source for cell in read(path).cells}
    first = next(iter(cells.values()))
    text = "\n".join(cells.values())
    for words in ("# Lab ", "you can", "**Time**", "**Learning alone?**", "**You may** import"):
        assert words in first
    assert "for the fast" in text.lower() and "**Rubric" in text
    assert text.count("<details><summary>") == text.count("</details>")
    for name, task in cells.items():
        if name.replace("task-", "exercise-") in cells.keys() - {name}:
            assert "minutes" in task.split("\n")[0] and "**For example:**" in task


@a_lab
def test_the_student_version_holds_no_answer(path):
    student = read(LABS / "student" / path.name)
    text = "\n".join(cell.source for cell in student.cells)
    assert not any(word in text for word in ("BEGIN", "held_back", "Rubric"))
    assert not any(cell.get("outputs") for cell in student.cells)
    answers = [c for c in read(path).cells if c.metadata.get("nbgrader", {}).get("solution")]
    assert text.count("your code here") + text.count("Your answer here") >= len(answers)


@a_lab
def test_the_stored_solutions_are_run_and_right(path):
    cells = [c for c in read(LABS / "solutions" / path.name).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr"
            if cell.id.startswith("check-"):
                assert output["data"]["text/plain"].startswith("✓")
