"""README's table of the course against the notebooks' own headers."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def numbers(text: str) -> set[int]:
    """The numbers in a text; "02 to 04" are three."""
    found = {int(n) for n in re.findall(r"\b\d{1,2}\b", text)}
    for first, last in re.findall(r"\b(\d{1,2}) to (\d{1,2})\b", text):
        found |= set(range(int(first), int(last) + 1))
    return found


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
def test_time_and_needs_are_those_of_the_header(path, rows):
    header = nbformat.read(path, as_version=4).cells[0].source
    row = rows[int(path.name[:2])]
    minutes = re.search(r"\*\*Time\*\*\D*(\d+) minutes", header)
    assert minutes is not None and row["core"] == f"{minutes[1]} min"
    sentence = re.split(r"[.;\n]", header.partition("**You need**")[2])[0]
    assert numbers(row["needs"]) == (numbers(sentence) if "notebook" in sentence else set())


@EVERY
def test_running_time_is_that_of_the_last_timed_run(path, rows):
    """Of `scripts/execute_notebooks.py --times`, to 10 seconds."""
    with (ROOT / "notebooks" / "results" / "running_times.csv").open(newline="") as file:
        times = {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(file)}
    assert rows[int(path.name[:2])]["run"] == f"{max(10, 10 * round(times[path.stem] / 10))} s"
