"""The labs: their notebooks' answers, the script that derives them, the held-back tests."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from differnet_course import check
from differnet_course.labs.verdicts import Exercise, Verdict

ROOT = Path(__file__).resolve().parents[2]
LABS = ROOT / "notebooks" / "labs"


def load(path: Path) -> ModuleType:
    """A file that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_labs() -> ModuleType:
    """scripts/make_labs.py."""
    pytest.importorskip("nbformat")
    return load(ROOT / "scripts" / "make_labs.py")


@pytest.fixture(scope="session")
def held_back() -> dict[str, Callable]:
    """The held-back tests by label."""
    sys.path.insert(0, str(LABS / "source"))
    try:
        return load(LABS / "source" / "marking.py").HELD_BACK
    finally:
        sys.path.remove(str(LABS / "source"))


@pytest.fixture(scope="session")
def answers(make_labs: ModuleType) -> Callable[[int, str], dict[str, Any]]:
    """answers(lab, version): what the check cells pass, by label; version: student or solutions.

    The set-up cell and the solution cells are run, nothing else: a check cell may name only what
    these define.
    """
    import nbformat

    found: dict[tuple[int, str], dict[str, Any]] = {}

    def of(lab: int, version: str) -> dict[str, Any]:
        if (lab, version) not in found:
            (path,) = (LABS / version).glob(f"lab{lab}_*.ipynb")
            space: dict[str, Any] = {}
            before = torch.get_default_dtype(), torch.get_num_threads()  # set-up cells set them
            values: dict[str, Any] = {}
            for cell in nbformat.read(path, as_version=4).cells:
                if cell.id == "setup" or cell.id.startswith("exercise-"):
                    try:
                        exec(compile(cell.source, cell.id, "exec"), space)
                    except NotImplementedError:
                        assert version == "student"  # an empty cell's stub
                elif cell.id.startswith("check-"):
                    call = ast.parse(cell.source).body[0].value
                    assert ast.unparse(call.func) == "check.exercise"
                    label, value = map(ast.unparse, call.args)
                    values[ast.literal_eval(label)] = eval(value, space)
            torch.set_default_dtype(before[0])
            torch.set_num_threads(before[1])
            found[lab, version] = values
        return found[lab, version]

    return of


@pytest.fixture(scope="session")
def verdict() -> Callable[..., Verdict]:
    """verdict(label, answer): what the check says, or with test=... what a held-back test does."""

    def of(label: str, answer: Any, *, test: Callable | None = None, seed: int = 0) -> Verdict:
        known = check.exercises_of(label.split(".")[0])[label]
        return check.judge(Exercise(label, test) if test else known, answer, seed=seed)

    return of
