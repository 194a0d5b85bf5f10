"""One cell, in a worker: fit, score, compare with the labels; and the features that cells share."""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import joblib
import torch

import differnet_lite
from differnet_course.experiments.grid import Cell, subset
from differnet_lite import metrics
from differnet_lite.folders import load_category
from differnet_lite.switches import torch_threads

__all__ = ["COLUMNS", "Row", "brief", "extract", "made_here", "measure", "row_of"]

Row: TypeAlias = "dict[str, Any]"
COLUMNS = [
    "method",
    "category",
    "seed",
    "n_train",
    "options",
    "auroc",
    "average_precision",
    "auroc_by_kind",
    "n_test",
    "fit_s",
    "score_s",
    "error",
    "when",
    "version",
    "machine",
    "threads",
    "key",
]


def extract(cells: list[Cell], *, threads: int, **arguments: Any) -> None:
    """Keep the features for the first of these cells whose method looks at features.

    Errors are left to the cells themselves.
    """
    with _at_most(threads):
        for cell in cells:
            try:
                detector = _detector(cell, **arguments)
                kept = getattr(detector, "feature_cache", None)
                if kept is not None:
                    category = load_category(cell.folder)
                    for _ in kept.iter_features(
                        category.train + category.test, detector.scoring_angles()
                    ):
                        pass
                    return
            except Exception:
                continue


def measure(cell: Cell, *, threads: int, **arguments: Any) -> tuple[Cell, Row]:
    """Fit, score the test set once, and compare with its labels."""
    row: Row = {}
    with _at_most(threads):
        try:
            category = load_category(cell.folder)
            train = subset(category.train, cell.n_train, cell.seed)
            row = {
                "n_train": len(train),
                "n_test": len(category.test),
                "threads": torch.get_num_threads(),
            }
            start = time.perf_counter()
            detector = _detector(cell, **arguments)
            detector.fit(train)
            fitted = time.perf_counter()
            scores = detector.anomaly_scores(list(category.test))
            row |= {
                "fit_s": round(fitted - start, 3),
                "score_s": round(time.perf_counter() - fitted, 3),
            }
            row |= {
                "auroc": metrics.auroc(category.labels, scores),
                "average_precision": metrics.average_precision(category.labels, scores),
                "auroc_by_kind": json.dumps(metrics.auroc_by_kind(category.kinds, scores)),
            }
        except Exception as error:
            row["error"] = brief(error)
    return cell, row_of(cell, **row)


def _detector(
    cell: Cell, *, make: Callable[..., Any], device: str, cache: str | os.PathLike[str] | None
) -> Any:
    return make(
        cell.method,
        seed=cell.seed,
        device=device,
        cache=cache,
        progress=False,
        **json.loads(cell.options),
    )


def row_of(cell: Cell, **values: Any) -> Row:
    """The row of a cell: what is known of it and of this machine, and these values."""
    known = {
        "method": cell.method,
        "category": cell.category,
        "seed": cell.seed,
        "n_train": cell.n_train,
        "options": cell.options,
    }
    return dict.fromkeys(COLUMNS) | known | {"key": cell.key} | made_here() | values


def made_here() -> Row:
    """When, by which version and on what machine a row is made: now, by this one, here."""
    cores = f"{joblib.cpu_count()} cores"
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": differnet_lite.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {cores}, torch {torch.__version__}",
    }


def brief(error: BaseException) -> str:
    """The error and where it arose, innermost first, without the folders of this machine."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return "\n".join(
        [
            f"{type(error).__name__}: {error}",
            *(f"  in {f.name}, {Path(f.filename).name}:{f.lineno}" for f in reversed(frames)),
        ]
    )


def _at_most(threads: int) -> AbstractContextManager[None]:
    """Never more threads for PyTorch than the worker was started with."""
    return torch_threads(min(threads, torch.get_num_threads()))
