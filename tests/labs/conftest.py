"""The labs: their notebooks' answers, the script that derives them, the checks."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from differnet_course import check
from differnet_course.labs.exercises import Draw, Verdict

collect_ignore_glob = ["answers_*.py"]  # they are read by test_answers, and have no doctests
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
def answers() -> Callable[[int, str], dict[str, Any]]:
    """answers(lab, version): what a notebook's set-up and exercise cells define, and no more."""
    import nbformat

    @functools.cache
    def defined(lab: int, version: str) -> dict[str, Any]:
        (path,) = (LABS / version).glob(f"lab{lab}_*.ipynb")
        space: dict[str, Any] = {}
        dtype = torch.get_default_dtype()  # set-up cells set them
        threads = torch.get_num_threads()
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.id in ("setup", "pieces") or cell.id.startswith("exercise-"):
                try:
                    exec(compile(cell.source, cell.id, "exec"), space)
                except NotImplementedError:
                    assert version == "student"  # an empty cell's stub
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        return space

    return defined


@pytest.fixture(scope="session")
def verdict() -> Callable[..., Verdict]:
    """verdict(label, answer): what the check says, or the held-back test."""

    def judged(label: str, answer: Any, *, held_back: bool = False, seed: int = 0) -> Verdict:
        draw = Draw(seed, larger=held_back)
        return check.judge(check.exercises_of(label[0])[label], answer, label=label, draw=draw)

    return judged
