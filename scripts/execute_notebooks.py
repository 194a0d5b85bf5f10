"""Run notebooks and store their outputs in place: with pictures, without widget state and timings.

    python scripts/execute_notebooks.py                     all, and the labs' solutions
    python scripts/execute_notebooks.py notebooks/02*.ipynb
    python scripts/execute_notebooks.py --times             also note how long each took

Every figure gets a static picture (scripts/pictures.py; needs Chromium). `--times` is for a second
run: the first also computes the features that later ones find stored.

Afterwards `pytest --nbval notebooks/` compares every later run with what was stored.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from pictures import add_pictures

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "notebooks" / "results" / "running_times.csv"


def execute(notebook: NotebookNode, folder: Path) -> float:
    """Run all cells in a folder; seconds it took, kernel start included.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message says which.
    """
    start = time.perf_counter()
    client = NotebookClient(
        notebook,
        timeout=600,
        store_widget_state=True,  # for the explorers' pictures, which take it out again
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return time.perf_counter() - start


def note_time(name: str, seconds: float) -> None:
    """Store how long a notebook took, in whole seconds, beside the others' times."""
    times: dict[str, str] = {}
    if TIMES.exists():
        with TIMES.open(encoding="utf-8", newline="") as file:
            times = {row["notebook"]: row["seconds"] for row in csv.DictReader(file)}
    times[name] = f"{seconds:.0f}"
    with TIMES.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerows([("notebook", "seconds"), *sorted(times.items())])


def main() -> None:
    names = [name for name in sys.argv[1:] if name != "--times"]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    folders = ROOT / "notebooks", ROOT / "notebooks" / "labs" / "solutions"
    every = [notebook for folder in folders for notebook in sorted(folder.glob("*.ipynb"))]
    for path in [Path(name) for name in names] or every:
        notebook = nbformat.read(path, as_version=4)
        seconds = execute(notebook, path.resolve().parent)
        pictures = add_pictures(notebook)
        nbformat.write(notebook, path)  # whole or not at all: nothing is written before this
        if "--times" in sys.argv:
            note_time(path.stem, seconds)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {seconds:.0f} s, {pictures} pictures, {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
