"""Every exercise: right answers in other styles pass, mistakes get their own message."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch

from differnet_course import check
from differnet_course.labs import answers as labs_answers
from differnet_course.labs import comparing
from differnet_course.labs.exercises import Wrong

HERE = Path(__file__).parent
LABS = ("1", "2", "3", "4", "5")


def tables(name):
    """The entries of all labs' tables of this name: (label, answer) or (label, answer, text)."""
    entries = []
    for path in sorted(HERE.glob("answers_lab*.py")):
        if path.stem not in sys.modules:
            spec = importlib.util.spec_from_file_location(path.stem, path)
            sys.modules[path.stem] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[path.stem])
        for label, values in getattr(sys.modules[path.stem], name, {}).items():
            entries += [(label, *(v if isinstance(v, tuple) else (v,))) for v in values]
    return entries


LABELS = [label for lab in LABS for label in check.exercises_of(lab)]
RIGHT = tables("RIGHT")
MISTAKES = tables("MISTAKES")


def numbered(entries):
    return [pytest.param(*entry, id=f"{entry[0]}-{k}") for k, entry in enumerate(entries)]


@pytest.mark.parametrize("label", LABELS)
def test_four_right_answers_of_each(label):
    assert sum(entry[0] == label for entry in RIGHT) >= 4


@pytest.mark.parametrize(("label", "answer"), numbered(RIGHT))
def test_a_right_answer_passes(verdict, label, answer):
    for seed in range(1 if label == "5.3" else 2):
        for held_back in (False, True):
            result = verdict(label, answer, held_back=held_back, seed=seed)
            assert result.kind == "right", result.text


@pytest.mark.parametrize(("label", "answer", "text"), numbered(MISTAKES))
def test_a_mistake_gets_its_own_message(verdict, label, answer, text):
    for seed in range(1 if label == "5.3" else 3):
        result = verdict(label, answer, seed=seed)
        assert result.kind == "wrong" and text in result.text, result.text


@pytest.mark.parametrize("kind", ["close", "open"])
def test_what_is_neither_right_nor_wrong(verdict, kind):
    for label, answer, text in tables(kind.upper()):
        result = verdict(label, answer)
        assert result.kind == kind and text in result.text, result.text


@pytest.mark.parametrize("label", LABELS)
def test_every_mistake_of_the_table_is_told(verdict, answers, monkeypatch, label):
    """Whoever gives a mistake's result is told of a mistake with this result."""
    seen = set()
    told = set()

    def spy(what, got, right, mistakes, hint):
        messages = list(mistakes)
        seen.update((what, k) for k in range(len(messages)))
        for value in mistakes.values():
            if not comparing.same(value, right):
                with pytest.raises(Wrong) as caught:
                    comparing.compare(what, value, right, mistakes)
                assert comparing.same(mistakes[str(caught.value)], value, 1e-3)
                told.add((what, messages.index(str(caught.value))))
        comparing.compare(what, got, right, mistakes, hint)

    monkeypatch.setattr(labs_answers, "compare", spy)
    task = check.exercises_of(label[0])[label]
    answer = answers(int(label[0]), "solutions")[task.name]
    for seed in range(1 if label == "5.3" else 6):
        assert verdict(label, answer, seed=seed).passed
    assert told == seen
    tables = {key for key, value in check.MESSAGES[label].items() if isinstance(value, dict)}
    assert tables <= {"fails", *(what for what, _ in seen)}


def test_every_message_with_a_name_is_used_and_every_name_has_one():
    folder = Path(comparing.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    named = {
        key
        for messages in check.MESSAGES.values()
        for key, value in messages.items()
        if isinstance(value, str) and key != "hint"
    }
    used = re.findall(r'(?:Wrong|Close|NotDone)\("(\w+)"|wrong_if\([^\n]*?, "(\w+)"', code)
    assert {one or other for one, other in used} == named


def test_warnings_and_stderr_are_told_and_cost_nothing(verdict):
    def shouts(z, order):
        warnings.warn("an old way", stacklevel=1)
        print("progress: 100 %", file=sys.stderr)
        return z[:, order.argsort()]

    result = verdict("2.6", shouts)
    assert result.kind == "right" and "UserWarning: an old way" in result.text
    assert "costs no points" in result.text


def test_lab_3_is_judged_in_the_students_dtype(verdict):
    def only_float32(maps):
        assert maps[0].dtype == torch.get_default_dtype() == torch.float32
        return torch.cat([m.mean((2, 3)) for m in maps], 1)

    assert verdict("3.1", only_float32).kind == "right"
    assert verdict("1.6", lambda z, log_det: z.float().sum()).kind == "wrong"
    assert torch.get_default_dtype() == torch.float32


def test_a_typo_is_told_as_a_typo_and_a_missing_cell_as_missing(verdict):
    def misspelt(z, log_det):
        return (z.square().sum(1) / 2 - log_dat).mean()  # noqa: F821

    def unmet(z, log_det):
        return loss_of_another_cell(z, log_det)  # noqa: F821

    result = verdict("1.6", misspelt)
    assert result.kind == "wrong" and "Did you mean `log_det`?" in result.text
    assert "log_dat).mean()" in result.text
    result = verdict("1.6", unmet)
    assert result.kind == "open" and "`loss_of_another_cell` is not defined" in result.text


def test_an_input_changed_in_place_is_told(verdict):
    assert "in place" in verdict("4.1", lambda scores, alpha: scores.sort()).text


def test_an_answer_by_name_and_one_that_was_not_run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(globals(), "unpermute", lambda z, order: z[:, order.argsort()])
    check.exercise("2.6")
    assert "✓ 2.6" in capsys.readouterr().out
    monkeypatch.delitem(globals(), "unpermute")
    check.exercise("2.6")
    assert "is not run yet: there is no `unpermute`" in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(check.NotPassed):
        check.exercise("2.6")
    with pytest.raises(KeyError, match="expected one of"):
        check.exercise("2.99")


def test_progress_survives_a_restart(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check.exercise("2.6", lambda z, order: z[:, order.argsort()])
    monkeypatch.setattr(check, "_kinds", {})  # a fresh kernel
    check.exercise("2.1", lambda kept, changed, f: (changed, kept))
    assert "2.6 ○" in capsys.readouterr().out
    check.progress(2)
    line = capsys.readouterr().out
    assert "2.1 ✗" in line and "2.6 ✓" in line
    check.PROGRESS.write_text("no JSON")
    check.progress(2)
    monkeypatch.setattr(check, "_kinds", {})
    check.progress(2)
    assert "2.6 ○" in capsys.readouterr().out.splitlines()[-1]
