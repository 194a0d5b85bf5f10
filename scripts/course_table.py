"""What README's table of the course has to say of each notebook; a test compares.

    python scripts/course_table.py

Core: the minutes that the notebook's line "Time" names first. Needs: the notebooks that the first
sentence of its line "You need" names. Run: the seconds of the last timed run
(`scripts/execute_notebooks.py --times`), to 10.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "notebooks" / "results" / "running_times.csv"


def core_minutes(notebook: NotebookNode) -> int:
    """Minutes for the core of a notebook, by its own header.

    Raises:
        ValueError: the header has no line on time.
    """
    found = re.search(r"\*\*Time\*\*\D*(\d+) minutes", notebook.cells[0].source)
    if found is None:
        raise ValueError("expected a first cell with '**Time** 20 minutes for the core'")
    return int(found[1])


def running_seconds(stem: str) -> int | None:
    """Seconds that the notebook's last timed run took, to 10; None if none was noted."""
    if not TIMES.exists():
        return None
    with TIMES.open(encoding="utf-8", newline="") as file:
        times = {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(file)}
    return max(10, 10 * round(times[stem] / 10)) if stem in times else None


def needs(notebook: NotebookNode) -> set[int]:
    """The notebooks that have to come before, by the notebook's own header."""
    line = notebook.cells[0].source.partition("**You need**")[2]
    sentence = re.split(r"[.;\n]", line)[0]
    return numbers(sentence) if "notebook" in sentence else set()


def numbers(text: str) -> set[int]:
    """The numbers in a text; "02 to 04" are three."""
    found = {int(n) for n in re.findall(r"\b\d{1,2}\b", text)}
    for first, last in re.findall(r"\b(\d{1,2}) to (\d{1,2})\b", text):
        found |= set(range(int(first), int(last) + 1))
    return found


def main() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        before = ", ".join(f"{n:02d}" for n in sorted(needs(notebook))) or "none"
        minutes, seconds = core_minutes(notebook), running_seconds(path.stem)
        print(f"{path.stem}: needs {before}; core {minutes} min; run {seconds} s")


if __name__ == "__main__":
    main()
