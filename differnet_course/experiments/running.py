"""Cells of a comparison: each is one fit and one scoring of a test set, kept when it is done.

joblib does the work: `Parallel` runs the cells, `Memory` keeps each result in a folder, so the
same call goes on after an interruption. Under `joblib.parallel_config(backend="dask")` the cells
run on a Dask cluster, whose workers need the images and the results at the same paths:

    with Client("tcp://127.0.0.1:8786"), joblib.parallel_config(backend="dask"):
        table = run(cells(...), "results")
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import joblib
import pandas as pd
import torch
from tqdm.auto import tqdm

import differnet_lite
from differnet_course import metrics
from differnet_course.baselines import make_detector
from differnet_lite.files import replacing
from differnet_lite.folders import Category, load_category
from differnet_lite.images import digest, in_parallel

__all__ = ["cells", "content", "made_here", "options_json", "run", "subset", "write_table"]

Cell = dict[str, Any]
T = TypeVar("T")

COLUMNS = [
    *("method", "category", "seed", "n_train", "options", "auroc", "n_test", "fit_s", "score_s"),
    *("error", "when", "version", "machine", "threads"),
]
FACTOR = ["factor", "level", "default"]  # of ablations
ON_FEATURES = ("differnet", "ocsvm", "1-nn", "mahalanobis")


def cells(
    *,
    methods: Sequence[str] | Mapping[str, Mapping[str, Any]],
    categories: Sequence[str | os.PathLike[str]],
    seeds: Sequence[int] = (0,),
    settings: Sequence[Mapping[str, Any]] = ({},),
    n_train: Sequence[int | None] = (None,),
) -> list[Cell]:
    """Every method on every category with every seed, setting and number of training images.

    Args:
        methods: names, or a mapping from each name to options of that method alone.
        categories: folders in the MVTec layout, with labelled test images, of different names.
        seeds: one or more.
        settings: options for every method; they win over a method's own.
        n_train: numbers of training images, see `subset`; None takes all.

    Example:
        >>> [cell["seed"] for cell in cells(methods=["ocsvm"], categories=["a"], seeds=[0, 1])]
        [0, 1]
    """
    by_method = methods if isinstance(methods, Mapping) else {name: {} for name in methods}
    return [
        {
            "method": method,
            "category": os.path.abspath(folder),
            "seed": seed,
            "options": {**options, **setting},
            "n_train": n,
        }
        for seed in seeds
        for folder in categories
        for setting in settings
        for n in n_train
        for method, options in by_method.items()
    ]


def run(
    cells: Sequence[Cell],
    folder: str | os.PathLike[str],
    *,
    name: str = "table",
    n_jobs: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """Run the cells that are not done yet, and return the table of all.

    The test set of a cell is scored once, by the model of the last epoch; nothing is selected on
    its labels. A cell that failed is a row with its error, and is tried again in the next run.

    Args:
        cells: what to run.
        folder: for `cells/` (finished cells; several runs may share it) and `name.csv`.
        name: of the table.
        n_jobs: number of local processes, -1 for one a core; None is joblib's default.
        device: of the detectors.
        progress: whether to show progress bars.

    Returns:
        One row a cell, in their order, with AUROC from 0 to 1, seconds of fitting and scoring
        (without the trunk's features, which are kept), and the error, if any.

    Raises:
        FileNotFoundError, DatasetError, ImageError: a category cannot be used.
    """
    contents = {path: content(load_category(path)) for path in {c["category"] for c in cells}}
    memory = joblib.Memory(Path(folder) / "cells", verbose=0)
    measured = memory.cache(_measured, ignore=["folder", "device"])
    calls = (joblib.delayed(_row)(measured, c, contents[c["category"]], device) for c in cells)
    parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as="generator")
    rows = list(tqdm(parallel(calls), "cells", len(cells), disable=not progress))
    columns = [*(name for name in FACTOR if rows and name in rows[0]), *COLUMNS]
    table = pd.DataFrame(rows, columns=columns)
    write_table(table, Path(folder) / f"{name}.csv")
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file, whole or not at all."""
    with replacing(path) as file:
        file.write(table.to_csv(index=False).encode())


def options_json(options: Mapping[str, Any]) -> str:
    """Options as JSON with sorted keys."""
    return json.dumps(options, sort_keys=True, default=dataclasses.asdict)


def subset(images: Sequence[T], n: int | None, seed: int) -> list[T]:
    """The first n of the images in an order drawn from the seed; None gives all, as they are.

    Example:
        >>> subset(range(6), 3, seed=0)[:2] == subset(range(6), 2, seed=0)
        True
    """
    if n is None:
        return list(images)
    if not 1 <= n <= len(images):
        raise ValueError(f"n_train: expected 1 to {len(images)} training images, got {n}")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return [images[i] for i in order[:n].tolist()]


def made_here() -> dict[str, str]:
    """When, by which version and on what machine a row is made."""
    cores = f"{joblib.cpu_count()} cores"
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": differnet_lite.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {cores}, torch {torch.__version__}",
    }


def content(category: Category) -> str:
    """Tells two sets of images apart by the names and the content of their files."""
    paths = [*category.train, *category.test]
    names = [path.relative_to(category.root).as_posix() for path in paths]
    return joblib.hash([names, list(in_parallel(digest, paths))])


def _row(measured: Any, cell: Cell, images: str, device: str) -> dict[str, Any]:
    """The stored row of a cell, a new one, or one with an error, which is not stored."""
    names = cell | {"category": Path(cell["category"]).name}
    key = {name: value for name, value in names.items() if name not in FACTOR}
    try:
        figures = measured(key, images, differnet_lite.__version__, cell["category"], device)
    except Exception as error:
        figures = made_here() | {"error": f"{type(error).__name__}: {error}"}
    return names | figures | {"options": options_json(cell["options"])}


def _measured(cell: Cell, images: str, version: str, folder: str, device: str) -> dict[str, Any]:
    """Fit, score the test set once, and compare with its labels.

    `cell`, `images` and `version` are all that a result depends on, but for its last digits.
    """
    category = load_category(folder)
    train = subset(category.train, cell["n_train"], cell["seed"])
    detector = make_detector(
        cell["method"], seed=cell["seed"], device=device, progress=False, **cell["options"]
    )
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
