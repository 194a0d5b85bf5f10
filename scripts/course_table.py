"""What README's table of the notebooks and the notebooks' headers have to say; a test compares.

    python scripts/course_table.py

Reading time: the words of text and code at 200 a minute, to 5 minutes. Running time: of the last
`scripts/execute_notebooks.py --times`, to 10 seconds. Needs: the notebooks that the first sentence
of a header's line "You need" names.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "notebooks" / "results" / "running_times.csv"
WORDS_A_MINUTE = 200


def reading_minutes(notebook: NotebookNode) -> int:
    """Minutes to read a notebook's text and code once, to 5."""
    words = re.findall(r"\S*\w\S*", " ".join(cell.source for cell in notebook.cells))
    return max(5, 5 * round(len(words) / WORDS_A_MINUTE / 5))


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
        minutes, seconds = reading_minutes(notebook), running_seconds(path.stem)
        print(f"{path.stem}: needs {before}; {minutes} minutes to read; CPU, about {seconds} s")


if __name__ == "__main__":
    main()
