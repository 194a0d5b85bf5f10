"""What the commands write: rows of photographs, tables, maps; and files that they refuse to."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from differnet_lite.files import replacing

__all__ = ["MapFolder", "Row", "check_output", "escaped", "print_table", "row_writer"]

INDEX = "differnet-lite-maps.txt"  # in a folder of maps: which files the last run has written


@dataclasses.dataclass
class Row:
    """One photograph: its fields are the columns of the CSV file and the keys of --json, in order.

    docs/command.md says what each is. A value that there is not is None, or empty.
    """

    path: str
    score: float | None = None
    score_over_threshold: float | None = None
    p_value: float | None = None
    flagged: bool | None = None
    rule: str = ""
    map: str = ""
    regions: Sequence[dict[str, object]] = ()
    error: str = ""

    def cells(self) -> list[object]:
        """For a CSV file: a truth value is 0 or 1, regions are JSON, what is missing is empty."""
        flagged = None if self.flagged is None else int(self.flagged)
        regions = json.dumps(self.regions) if self.regions else ""
        return list((dataclasses.asdict(self) | {"flagged": flagged, "regions": regions}).values())


@contextmanager
def row_writer(table: str | None, as_json: bool) -> Iterator[Callable[[Row], None]]:
    """A function that writes each row at once; a table that is a file appears whole at the end.

    Args:
        table: CSV file, "-" for standard output, or None.
        as_json: whether to print a JSON object a line, too.
    """
    opened: AbstractContextManager[IO[str]] = nullcontext(sys.stdout)
    if table and table != "-":  # a name of bytes that are no UTF-8 is no error
        opened = replacing(table, "x", encoding="utf-8", errors="backslashreplace", newline="")
    with opened as file:
        writer = csv.writer(file, lineterminator="\n")
        if table:
            writer.writerow(field.name for field in dataclasses.fields(Row))

        def write(row: Row) -> None:
            if table:
                writer.writerow(row.cells())
                file.flush()
            if as_json:
                print(json.dumps(dataclasses.asdict(row)), flush=True)

        yield write


class MapFolder:
    """The folder of --maps, which mirrors the folders of the photographs; see docs/command.md."""

    def __init__(self, folder: str, sources: Sequence[str]) -> None:
        self.folder = Path(folder)
        folders = [path if os.path.isdir(path) else os.path.dirname(path) for path in sources]
        self.root = os.path.commonpath([os.path.abspath(path) for path in folders])
        if any(self.folder.resolve().is_relative_to(Path(path).resolve()) for path in sources):
            raise ValueError(
                f"--maps {folder}: the folder lies among the photographs, where a map would be "
                "taken for one; name a folder elsewhere"
            )
        index = self.folder / INDEX
        if self.folder.is_dir() and not index.exists() and any(self.folder.iterdir()):
            raise FileExistsError(
                f"--maps {folder}: the folder holds other files than maps of this command; name a "
                "new or an empty folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if index.exists():  # then these are maps of an earlier run
            for line in index.read_text().splitlines():
                (self.folder / json.loads(line)).unlink(missing_ok=True)
        self.index = index.open("w", buffering=1)

    def path(self, photograph: Path) -> Path:
        """The file for a photograph's map, in a folder that is there; for a.jpg it is a.jpg.png."""
        name = os.path.relpath(photograph, self.root) + ".png"
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link
        print(json.dumps(name), file=self.index)
        return path


def escaped(text: object) -> str:
    r"""A text on one line that moves no cursor: what is not printable is shown as in Python.

    Example:
        >>> print(escaped("a\nb\x1b[2J"))
        a\nb\x1b[2J
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def print_table(rows: Sequence[tuple[str, str]], file: IO[str] | None = None) -> None:
    """Rows (label, value), the values below one another."""
    width = max(len(label) for label, _ in rows)
    print(file=file)
    for label, value in rows:
        print(f"  {label:<{width}}  {escaped(value)}", file=file)


def check_output(option: str, name: str | None, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that cannot be written, or that is one of the inputs; None is no file."""
    if name is None:
        return
    path = Path(name)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} {name}: there is no folder {path.parent}; create it")
    if path.exists() and not path.is_file():
        raise OSError(f"{option} {name}: expected the name of a file, got a folder or a device")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{option} {name}: {path.parent} cannot be written to")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"{option} {name}: this would overwrite an input; name another file")
