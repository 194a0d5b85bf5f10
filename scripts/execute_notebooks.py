"""Run notebooks and store their outputs in place: with pictures, without widget state and timings.

    python scripts/execute_notebooks.py                     all, and the labs' solutions
    python scripts/execute_notebooks.py notebooks/02*.ipynb
    python scripts/execute_notebooks.py --times             also note how long each took
    python scripts/execute_notebooks.py --no-run            only fold and draw, from what is stored

Every figure gets a static picture (scripts/pictures.py; needs Chromium). The outputs of cells that
are tagged `answer`, which answer a "Predict", are folded: a reader opens them after predicting.
`--times` is for a second run: the first also computes the features that later ones find kept.

Afterwards `pytest --nbval notebooks/` compares every later run with what was stored.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from pictures import add_pictures

ROOT = Path(__file__).resolve().parents[1]
# A FigureWidget's stored state is the figure as it was made: later changes travel as messages of
# their own. Run last, so that an explorer's picture shows what its controls say.
SYNCHRONISE = """
import copy, sys
if "ipywidgets" in sys.modules:
    every = list(sys.modules["ipywidgets"].widgets.widget._instances.values())
    for widget in every:
        if type(widget).__name__ == "LiveLoss":
            widget.clear()
    for widget in every:
        if hasattr(widget, "_widget_data"):
            widget._widget_data = copy.deepcopy(widget._data)
            widget._widget_layout = copy.deepcopy(widget._layout)
"""
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
    notebook.cells.append(nbformat.v4.new_code_cell(SYNCHRONISE))
    try:
        client.execute()
    finally:
        notebook.cells.pop()
    return time.perf_counter() - start


def fold_answers(notebook: NotebookNode) -> None:
    """Hide the outputs of the cells tagged `answer`, and of no other."""
    for cell in notebook.cells:
        folded = dict(cell.metadata.get("jupyter", {}))
        folded.pop("outputs_hidden", None)
        if cell.cell_type == "code" and "answer" in cell.metadata.get("tags", ()):
            folded["outputs_hidden"] = True
        cell.metadata.pop("jupyter", None)
        if folded:
            cell.metadata["jupyter"] = folded


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--times", action="store_true", help=f"write {TIMES.name}")
    parser.add_argument("--no-run", action="store_true", help="keep the stored outputs")
    arguments = parser.parse_args()
    if arguments.times and arguments.no_run:
        parser.error("--times needs a run: leave --no-run out")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    folders = ROOT / "notebooks", ROOT / "notebooks" / "labs" / "solutions"
    every = [notebook for folder in folders for notebook in sorted(folder.glob("*.ipynb"))]
    for path in arguments.notebooks or every:
        notebook = nbformat.read(path, as_version=4)
        seconds = 0.0 if arguments.no_run else execute(notebook, path.resolve().parent)
        fold_answers(notebook)
        pictures = add_pictures(notebook)
        nbformat.write(notebook, path)  # whole or not at all: nothing is written before this
        if arguments.times:
            note_time(path.stem, seconds)
        size = path.stat().st_size / 1000
        print(f"{path.name}: {seconds:.0f} s, {pictures} pictures, {size:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
