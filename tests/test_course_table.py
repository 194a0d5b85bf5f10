"""README's table of the course against the notebooks' own headers."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture
def course(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("course_table")


@pytest.fixture
def rows() -> dict[int, dict[str, str]]:
    """README's table: a row for each notebook, by its number."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"^(\| stage .*(?:\n\|.*)+)", text, re.MULTILINE)
    assert table is not None
    head, _, *lines = [
        [field.strip() for field in line.strip("|").split("|")] for line in table[1].splitlines()
    ]
    return {int(line[0][:2]): dict(zip(head, line, strict=True)) for line in lines}


def test_the_table_names_every_notebook(rows):
    named = [f"{row['stage'][:2]}_" for row in rows.values()]
    assert named == [path.name[:3] for path in NOTEBOOKS]


@EVERY
def test_time_and_needs_are_those_of_the_header(path, course, rows):
    notebook, row = nbformat.read(path, as_version=4), rows[int(path.name[:2])]
    assert row["core"] == f"{course.core_minutes(notebook)} min"
    assert course.numbers(row["needs"]) == course.needs(notebook)


@EVERY
def test_running_time_is_that_of_the_last_timed_run(path, course, rows):
    seconds = course.running_seconds(path.stem)
    if seconds is None:
        pytest.skip("no timed run is stored: scripts/execute_notebooks.py --times makes one")
    assert rows[int(path.name[:2])]["run"] == f"{seconds} s"


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ("notebooks 01 to 03.", {1, 2, 3}),
        ("notebooks 02 (flow), 03 (features), 05 (scores).", {2, 3, 5}),
        ("notebook 00. Notebooks 06 and 07 say why.", {0}),
        ("30 minutes, and nothing but Python.", set()),
    ],
)
def test_needs_are_read_from_the_header(course, line, before):
    cell = nbformat.v4.new_markdown_cell(f"# 1\n**You need** {line}\n**Time** short")
    assert course.needs(nbformat.v4.new_notebook(cells=[cell])) == before
