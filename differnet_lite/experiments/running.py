"""Doing it: the cells of a grid in parallel, each result on disk as soon as it is there.

The calling process hands cells to joblib's workers and writes what comes back, so that workers need the
images, at the same path, and this package, but no shared folder for results. Local processes are the default;
under `joblib.parallel_config(backend="dask")` the same call runs on a Dask cluster:

    with Client("tcp://127.0.0.1:8786"), joblib.parallel_config(backend="dask"):
        table = run(grid, "results")

Features are extracted once where the workers share the bank's folder ($DIFFERNET_LITE_CACHE), as processes of one
machine do; otherwise each machine extracts those of its cells. Dask's workers keep the number of threads that they were
started with (one, by default).
"""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

from differnet_lite.data.files import replacing
from differnet_lite.experiments.grid import Cell, Grid
from differnet_lite.experiments.measuring import COLUMNS, Row, brief, extract, measure, row_of

__all__ = ["run", "write_atomically", "write_table"]

FEATURE_OPTIONS = (
    "transformations",
    "backbone",
    "weights",
    "size",
    "n_scales",
    "downscale",
    "dtype",
)


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

    A finished cell is a small file in `folder/cells`, written whole or not at all, so that an interrupted run
    (Ctrl-C, a lost power supply) is resumed by the same call. A cell that failed is a row with its error; it is
    tried again in the next run. Several grids may share a folder, and then share cells too.

    The test set of a cell is scored once, by the model of the last epoch; nothing is selected on its labels.

    Args:
        grid: what to run.
        folder: for `cells/`, `name.csv` and, where pyarrow is installed, `name.parquet`; made if need be.
        name: of the table.
        n_jobs: number of local processes, -1 for one a core; None is joblib's own default: 1, or what
            `joblib.parallel_config` says. Cores are shared evenly among the processes.
        device: of the detectors.
        cache: folder of the feature bank on the workers; "auto" or None, see `FeatureBank`.
        make: makes a detector, as `differnet_lite.baselines.make_detector` does, which None takes.
        progress: whether to show progress bars.

    Returns:
        One row a cell, in the order of `grid.cells()`, with the columns `COLUMNS`: AUROC and average precision
        (0 to 1; `auroc_by_kind` is JSON), seconds of fitting and scoring (features that are kept in the bank were
        computed before, and are no part of it), and the last lines of the error, if any.

    Raises:
        FileNotFoundError, DatasetError, ImageError: a category cannot be used.
        RuntimeError: a local process was killed, for want of memory perhaps. What was finished is kept.
    """
    cells, store = grid.cells(), Path(folder) / "cells"
    store.mkdir(parents=True, exist_ok=True)
    rows = {
        cell: row for cell in cells if (row := _read(store / f"{cell.key}.json", cell)) is not None
    }
    pending = [cell for cell in cells if cell not in rows or rows[cell]["error"] is not None]
    make = _make_detector() if make is None else make
    with _surviving_dask():
        if cache is not None:
            groups = _same_features(pending)
            jobs = (
                n_jobs
                if n_jobs is None
                else min(joblib.effective_n_jobs(n_jobs), max(1, len(groups)))
            )  # one group: this process, all cores
            for _ in _parallel(
                extract,
                groups,
                jobs,
                "features",
                progress,
                make=make,
                device=device,
                cache=cache,
                threads=_threads(jobs),
            ):
                pass
        # Dask also gives up cells that only waited on the worker that another cell killed: each is tried again alone
        for batch in _then_alone(
            pending, lambda cell: (rows[cell]["error"] or "").startswith("KilledWorker: ")
        ):
            for cell, row in _parallel(
                measure,
                batch,
                n_jobs,
                "cells",
                progress,
                make=make,
                device=device,
                cache=cache,
                threads=_threads(n_jobs),
            ):
                write_atomically(store / f"{cell.key}.json", json.dumps(row, indent=1).encode())
                rows[cell] = row
    table = pd.DataFrame([rows[cell] for cell in cells], columns=COLUMNS)
    write_table(table, Path(folder) / name)
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write `path`.csv and, where pyarrow is installed, `path`.parquet, each whole or not at all."""
    write_atomically(path.with_name(path.name + ".csv"), table.to_csv(index=False).encode())
    if importlib.util.find_spec("pyarrow") is not None:
        write_atomically(path.with_name(path.name + ".parquet"), table.to_parquet(index=False))


def write_atomically(path: Path, content: bytes) -> None:
    """A reader, and the next run, see the whole file or none."""
    with replacing(path) as file:
        file.write(content)


def _read(path: Path, cell: Cell) -> Row | None:
    """The kept row of a cell, None if there is none that can be used."""
    try:
        row = json.loads(path.read_bytes())
        if row["key"] != cell.key or set(row) != set(COLUMNS):
            raise ValueError("it is the row of another cell, or of another version")
        return row
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(
            f"{path}: the kept result is damaged ({error}); the cell runs again", stacklevel=3
        )
        return None


# ---------------------------------------------------------------- in the calling process


def _make_detector() -> Callable[..., Any]:
    from differnet_lite.baselines import make_detector

    return make_detector


def _parallel(
    function: Callable[..., Any],
    items: Sequence[Any],
    n_jobs: int | None,
    label: str,
    progress: bool,
    **arguments: Any,
) -> Iterator[Any]:
    """Results in the order in which they are ready. Closing the iterator, as an interruption does, cancels the rest."""
    if not items:
        return
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    results = parallel(joblib.delayed(function)(item, **arguments) for item in items)
    try:
        with (
            closing(results),
            tqdm(
                results, total=len(items), desc=label, unit=label[:-1], disable=not progress
            ) as bar,
        ):
            yield from bar
    except BrokenProcessPool as error:
        raise RuntimeError(
            "expected every local process to finish its cell, but one was killed, for want of memory perhaps; "
            "run the same again with fewer jobs: finished cells are kept"
        ) from error


def _threads(n_jobs: int | None) -> int:
    """Threads for each of so many processes."""
    return max(1, joblib.cpu_count() // joblib.effective_n_jobs(n_jobs))


def _then_alone(cells: list[Cell], lost: Callable[[Cell], bool]) -> Iterator[list[Cell]]:
    """All the cells together, then each of those that were lost by itself."""
    yield cells
    yield from ([cell] for cell in cells if lost(cell))


def _same_features(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that look at the same features of the same images, one for each method.

    Their features are extracted first, each group's by one worker, so that no two cells do it at the same time.
    """
    groups: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        options = json.loads(cell.options)
        if (options.get("transformations") or {}).get(
            "angles", ()
        ) is not None:  # random angles are a seed's own
            chosen = {option: options[option] for option in FEATURE_OPTIONS if option in options}
            groups.setdefault((cell.folder, json.dumps(chosen)), {}).setdefault(cell.method, cell)
    return [list(group.values()) for group in groups.values()]


@contextmanager
def _surviving_dask() -> Iterator[None]:
    """Under joblib's Dask backend, a cell that Dask gives up, its workers having died, is a failed cell: its error is "KilledWorker: ...".

    joblib's own collection of Dask's results waits for ever for a task that Dask gives up, and now and then for one whose
    result was lost with its worker. Here each result is fetched by a callback of its own, which asks again for what was lost.
    A worker that dies is no error yet: Dask gives its cells to the others, a few times.
    """
    active, _ = get_active_backend()
    if type(active).__name__ != "DaskDistributedBackend":
        yield
        return

    class Surviving(type(active)):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int | None) -> int:
            return max(
                2, sum(self.client.ncores().values())
            )  # joblib takes 1 for "in this process", and waits for 0

        def start_call(self) -> None:
            self.futures: set[Any] = set()

        def stop_call(self) -> None:
            self.abort_everything()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            waiting, self.futures = self.futures, set()
            if waiting:
                self.client.cancel(list(waiting))

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            function, (item,), arguments = func.items[0]
            future = self.client.submit(
                function, item, **arguments, pure=False, **self.submit_kwargs
            )
            self.futures.add(future)

            def ready(done: Any) -> None:
                try:
                    result = done.result()
                except BaseException as error:  # Dask's cancellation is no Exception
                    result = (
                        (item, row_of(item, error=brief(error))) if function is measure else None
                    )
                if done in self.futures:  # else the call was aborted
                    self.futures.discard(done)
                    callback([result])

            future.add_done_callback(ready)
            return future

    with joblib.parallel_config(backend=Surviving(client=active.client)):
        yield
