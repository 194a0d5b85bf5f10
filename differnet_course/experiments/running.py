"""Cells of a comparison: each is one fit and one scoring of a test set, kept when it is done.

joblib does the work: `Parallel` runs the cells, `Memory` keeps each result in a folder, so the
same call goes on after an interruption. Under `joblib.parallel_config(backend="dask")` the cells
run on a Dask cluster, whose workers need the images and the results at the same paths.
"""

import dataclasses
import json
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from tqdm.auto import tqdm

import differnet_lite
from differnet_course import metrics
from differnet_course.baselines import make_detector
from differnet_course.folders import Category, load_category
from differnet_lite.images import in_parallel, read

Cell = dict[str, Any]

FACTOR = ["factor", "level", "default"]  # of ablations
COLUMNS = [
    *("method", "category", "seed", "n_train", "options", "auroc", "n_test", "fit_s", "score_s"),
    *("error", "when", "version", "machine", "threads"),
]
ON_FEATURES = ("differnet", "ocsvm", "1-nn", "mahalanobis")


def run(
    cells: Sequence[Cell], folder: str | Path, *, name: str = "table", n_jobs: int | None = None
) -> pd.DataFrame:
    """Run the cells of `Study.cells` that are not done yet; the table of all, as `name.csv`.

    The test set of a cell is scored once, by the model of the last epoch; nothing is selected on
    its labels. A cell that failed is a row with its error, and is tried again in the next run.

    Args:
        cells: of `Study.cells`.
        folder: for `cells/` (finished cells; several runs may share it) and the table.
        name: of the table.
        n_jobs: number of local processes, -1 for one a core; None is joblib's default.

    Returns:
        One row a cell, with AUROC from 0 to 1, seconds of fitting and scoring (without the trunk's
        features, which are kept), and the error, if any.
    """
    contents = {path: content(load_category(path)) for path in {c["category"] for c in cells}}
    measured = memory(folder).cache(_measured, ignore=["folder"])
    calls = (joblib.delayed(_row)(measured, c, contents[c["category"]]) for c in cells)
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator")
    rows = list(tqdm(parallel(calls), "cells", len(cells)))
    columns = [*FACTOR, *COLUMNS] if "factor" in cells[0] else COLUMNS
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(Path(folder) / f"{name}.csv", index=False)
    return table


def memory(folder: str | Path) -> joblib.Memory:
    """Keeps the results of a folder's studies."""
    return joblib.Memory(Path(folder) / "cells", verbose=0)


def made_here() -> dict[str, str]:
    """When, by which version and on what machine a row is made."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    machine = f"{platform.system()} {platform.machine()}, {joblib.cpu_count()} cores"
    machine += f", torch {torch.__version__}"
    return {"when": when, "version": differnet_lite.__version__, "machine": machine}


def content(category: Category) -> str:
    """Tells two sets of images apart by the names and the content of their files."""
    paths = [*category.train, *category.test]
    names = [path.relative_to(category.root).as_posix() for path in paths]
    return joblib.hash([names, [source.digest for source in in_parallel(read, paths)]])


def _row(measured: Any, cell: Cell, images: str) -> dict[str, Any]:
    """The stored row of a cell, a new one, or one with an error, which is not stored."""
    names = cell | {"category": Path(cell["category"]).name}
    key = {name: value for name, value in names.items() if name not in FACTOR}
    try:
        figures = measured(key, images, differnet_lite.__version__, cell["category"])
    except Exception as error:
        figures = made_here() | {"error": f"{type(error).__name__}: {error}"}
    options = json.dumps(cell["options"], sort_keys=True, default=dataclasses.asdict)
    return names | figures | {"options": options}


def _measured(cell: Cell, images: str, version: str, folder: str) -> dict[str, Any]:
    """Fit, score, compare with labels; depends on `cell`, `images` and `version` alone."""
    category = load_category(folder)
    train = list(category.train)
    detector = make_detector(cell["method"], seed=cell["seed"], progress=False, **cell["options"])
    if cell["method"] in ON_FEATURES:
        detector.features([*train, *category.test])  # kept, and no part of the seconds
    start = time.perf_counter()
    detector.fit(train)
    fitted = time.perf_counter()
    scores = detector.anomaly_scores(list(category.test))
    return made_here() | {
        "n_train": len(train),
        "n_test": len(category.test),
        "threads": torch.get_num_threads(),
        "fit_s": round(fitted - start, 3),
        "score_s": round(time.perf_counter() - fitted, 3),
        "auroc": metrics.auroc(category.labels, scores),
    }
