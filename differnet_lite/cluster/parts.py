"""Scores on disk: a folder that is one Parquet data set, a file for each partition.

A part is written whole or not at all. Names that are no UTF-8 are written with backslashes.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from differnet_lite.files import check_writable, regular, replacing
from differnet_lite.thresholds import Threshold, p_values

__all__ = [
    "SCHEMA",
    "Judge",
    "check_folder",
    "kept_scores",
    "read_parts",
    "remove_stale",
    "write_part",
]

SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("anomalous", pa.bool_()),
        ("threshold", pa.float64()),
    ]
)  # the last three are null where the model has no calibration


@dataclasses.dataclass(frozen=True)
class Judge:
    """What turns scores into decisions.

    Attributes:
        calibration: (n,) scores; may be empty.
        threshold: the rule; None without calibration.
    """

    calibration: np.ndarray
    threshold: Threshold | None


def check_folder(folder: Path, images: Path) -> None:
    """Refuse a place for a data set that is a file, cannot be made, or is mixed up with images.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError, ValueError: as the message says.
    """
    check_writable("--out", folder, "a folder for the parts")
    strangers = [p.name for p in _files(folder) if not p.name.startswith("part-")]
    if strangers:
        raise ValueError(
            f"--out {folder}: expected an empty or a new folder, or parts of an earlier run, found "
            f"{strangers[0]}; name another one"
        )
    if images.is_dir() and os.path.realpath(folder) == os.path.realpath(images):
        raise ValueError(f"--out {folder}: this is the folder of the images; name another one")


def _files(folder: Path) -> list[Path]:
    """What is in the folder, in order, without what is hidden."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def write_part(path: Path, names: Sequence[str], scores: np.ndarray, judge: Judge) -> None:
    """Write the rows of a partition."""
    n, rule = len(scores), judge.threshold
    columns = {
        "image": [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names],
        "score": scores,
        "p_value": [None] * n if rule is None else p_values(judge.calibration, scores),
        "anomalous": [None] * n if rule is None else scores >= rule.value,
        "threshold": [None if rule is None else rule.value] * n,
    }
    with replacing(path, ours=True) as file:
        pq.write_table(pa.table(columns, schema=SCHEMA), file)


def kept_scores(path: Path, names: Sequence[str], judge: Judge) -> bool:
    """Whether a part of these images is there; by another threshold it is judged anew."""
    try:
        with regular(path).open("rb") as file:
            table = pq.read_table(file, schema=SCHEMA)
        scores = table["score"].to_numpy()
        if len(scores) != len(names) or not np.isfinite(scores).all():
            raise ValueError(f"expected {len(names)} scores, got {len(scores)}")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, pa.ArrowException) as error:
        warnings.warn(
            f"{path}: the kept part is damaged ({error}); it is scored again", stacklevel=2
        )
        return False
    value = None if judge.threshold is None else judge.threshold.value
    if table["threshold"][0].as_py() != value:
        write_part(path, names, scores, judge)
    return True


def remove_stale(folder: Path, current: set[str]) -> int:
    """Remove parts that are none of the current ones: some of their images changed.

    Returns:
        How many there were.

    Raises:
        ValueError: there are parts, and none is current: they are of something else altogether.
    """
    found = _files(folder)
    stale = [path for path in found if path.name not in current]
    if stale and len(stale) == len(found):
        raise ValueError(
            f"--out {folder}: it holds {len(found)} part(s) of another model or of other images; "
            "name another folder, or delete this one"
        )
    for path in stale:
        path.unlink()
    return len(stale)


def read_parts(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """The tables of parts, one by one, in constant memory."""
    for path in paths:
        yield pq.read_table(path, schema=SCHEMA)
