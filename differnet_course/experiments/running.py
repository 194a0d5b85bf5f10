"""Doing it: the cells of a grid in parallel, each result on disk as soon as it is there.

The calling process hands cells to joblib's workers and writes what comes back, so that workers
need the images, at the same path, and this package, but no shared folder for results. Local
processes are the default; under `joblib.parallel_config(backend="dask")` the same call runs on
a Dask cluster:

    with Client("tcp://127.0.0.1:8786"), joblib.parallel_config(backend="dask"):
        table = run(grid, "results")

Features are extracted once where the workers share the folder that keeps them
($DIFFERNET_LITE_CACHE), as processes of one machine do; otherwise each machine extracts those
of its cells. Dask's workers keep the number of threads that they were started with (one, by
default).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from differnet_course.experiments.grid import Cell, Grid
from differnet_course.experiments.measuring import COLUMNS, Row, brief, extract, measure, row_of
from differnet_course.experiments.storing import read_row, write_row, write_table
from differnet_course.experiments.workers import in_workers, n_processes, threads_each
from differnet_lite.oldchecks import checked
from differnet_lite.files import made_folder

__all__ = ["FEATURE_OPTIONS", "run"]

FEATURE_OPTIONS = (
    "transformations",
    "backbone",
    "weights",
    "size",
    "n_scales",
    "downscale",
    "dtype",
)


@checked
def run(
    grid: Grid,
    folder: str | os.PathLike[str],
    *,
    name: str = "table",
    n_jobs: int | None = None,
    device: str = "auto",
    cache: str | os.PathLike[str] | None = "auto",
    make: Callable[..., Any] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Run the cells of a grid that are not done yet, and return the table of all.

    A finished cell is a small file in `folder/cells`, written whole or not at all, so that an
    interrupted run (Ctrl-C, a lost power supply) is resumed by the same call. A cell that failed
    is a row with its error; it is tried again in the next run. Several grids may share a folder,
    and then share cells too.

    The test set of a cell is scored once, by the model of the last epoch; nothing is selected on
    its labels.

    Args:
        grid: what to run.
        folder: for `cells/`, `name.csv` and, where pyarrow is installed, `name.parquet`; made if
            need be.
        name: of the table.
        n_jobs: number of local processes, -1 for one a core; None is joblib's own default: 1, or
            what `joblib.parallel_config` says. Cores are shared evenly among the processes.
        device: of the detectors.
        cache: folder that keeps features on the workers; "auto" or None as for `DifferNet`.
        make: makes a detector, None takes `baselines.make_detector`.
        progress: whether to show progress bars.

    Returns:
        One row a cell, in the order of `grid.cells()`, with the columns `COLUMNS`: AUROC and
        average precision (0 to 1; `auroc_by_kind` is JSON), seconds of fitting and scoring (kept
        features were computed before, and are no part of it), and the last lines of the error,
        if any.

    Raises:
        FileNotFoundError, DatasetError, ImageError: a category cannot be used.
        RuntimeError: a local process was killed, for want of memory perhaps. What was finished
            is kept.
    """
    cells, store = grid.cells(), made_folder(Path(folder) / "cells")
    rows: dict[Cell, Row] = {}
    for cell in cells:
        if (row := read_row(store / f"{cell.key}.json", cell)) is not None:
            rows[cell] = row
    pending = [cell for cell in cells if cell not in rows or rows[cell]["error"] is not None]
    arguments = {
        "make": _make_detector() if make is None else make,
        "device": device,
        "cache": cache,
        "progress": progress,
    }
    if cache is not None:
        _extract_all(pending, n_jobs, arguments)
    for cell, row in _measured(pending, n_jobs, arguments):
        write_row(store / f"{cell.key}.json", row)
        rows[cell] = row
    table = pd.DataFrame([rows[cell] for cell in cells], columns=COLUMNS)
    write_table(table, Path(folder) / name)
    return table


def _make_detector() -> Callable[..., Any]:
    from differnet_course.baselines import make_detector

    return make_detector


def _extract_all(cells: list[Cell], n_jobs: int | None, arguments: dict[str, Any]) -> None:
    """Extract the features that cells share, so that no two cells do it at the same time."""
    groups = _same_features(cells)
    if n_jobs is not None:  # one group: this process, all cores
        n_jobs = min(n_processes(n_jobs), max(1, len(groups)))
    for _ in in_workers(
        extract,
        groups,
        if_lost=lambda group, error: None,  # its cells extract them, or have the error
        n_jobs=n_jobs,
        label="features",
        threads=threads_each(n_jobs),
        **arguments,
    ):
        pass


def _measured(
    cells: list[Cell], n_jobs: int | None, arguments: dict[str, Any]
) -> Iterator[tuple[Cell, Row]]:
    """Each cell with its row, as soon as it is there.

    Dask gives up a cell that kills its workers, and with it cells that only waited on them: their
    error is "KilledWorker: ...", and each is tried again alone, where it shows whose fault it was.
    """
    killed: list[Cell] = []

    def given_up(cell: Cell, error: BaseException) -> tuple[Cell, Row]:
        if type(error).__name__ == "KilledWorker":
            killed.append(cell)
        return cell, row_of(cell, error=brief(error))

    def measured(batch: list[Cell]) -> Iterator[tuple[Cell, Row]]:
        return in_workers(
            measure,
            batch,
            if_lost=given_up,
            n_jobs=n_jobs,
            label="cells",
            threads=threads_each(n_jobs),
            **arguments,
        )

    yield from measured(cells)
    for cell in tuple(killed):
        yield from measured([cell])


def _same_features(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that look at the same features of the same images, one for each method.

    Random angles are a seed's own: their features are shared by none.
    """
    groups: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        options = json.loads(cell.options)
        if (options.get("transformations") or {}).get("angles", ()) is not None:
            chosen = {option: options[option] for option in FEATURE_OPTIONS if option in options}
            groups.setdefault((cell.folder, json.dumps(chosen)), {}).setdefault(cell.method, cell)
    return [list(group.values()) for group in groups.values()]
