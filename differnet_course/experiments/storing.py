"""Results on disk: each file is written whole or not at all, and read back with suspicion."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from pathlib import Path

import pandas as pd

from differnet_course.experiments.grid import Cell
from differnet_course.experiments.measuring import COLUMNS, Row
from differnet_lite.files import regular, replacing

__all__ = ["read_row", "write_atomically", "write_row", "write_table"]


def read_row(path: Path, cell: Cell) -> Row | None:
    """The kept row of a cell, None if there is none that can be used."""
    try:
        row = json.loads(regular(path).read_bytes())
        if row.pop("sha256", None) != _digest(row):
            raise ValueError("its digest does not fit its content")
        if row["key"] != cell.key or set(row) != set(COLUMNS):
            raise ValueError("it is the row of another cell, or of another version")
        return row
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        warnings.warn(
            f"{path}: the kept result is damaged ({error}); the cell runs again", stacklevel=3
        )
        return None


def write_row(path: Path, row: Row) -> None:
    """Keep the row of a finished cell."""
    with replacing(path, ours=True) as file:
        file.write(json.dumps(row | {"sha256": _digest(row)}, indent=1).encode())


def _digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write `path`.csv and, where pyarrow is installed, `path`.parquet, each whole or not."""
    write_atomically(path.with_name(path.name + ".csv"), table.to_csv(index=False).encode())
    if importlib.util.find_spec("pyarrow") is not None:
        write_atomically(path.with_name(path.name + ".parquet"), table.to_parquet(index=False))


def write_atomically(path: Path, content: bytes) -> None:
    """A reader, and the next run, see the whole file or none."""
    with replacing(path) as file:
        file.write(content)
