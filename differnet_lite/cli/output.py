"""What the commands print and write, and the places that they refuse to write to."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from differnet_lite.files import check_writable, replacing

__all__ = [
    "check_file",
    "check_maps_folder",
    "escaped",
    "print_table",
    "silence",
    "write_csv",
]

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


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


def write_csv(path: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose first column is a file name, byte for byte; "-" is the standard output.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(header)
    for name, *cells in rows:
        writer.writerow(["'" + name if name.startswith(FORMULA) else name, *cells])
    content = table.getvalue().encode("utf-8", "surrogateescape")
    if path == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    sys.stdout.flush()  # which may be the same file, by another name
    try:
        with replacing(path) as file:
            file.write(content)
    except BrokenPipeError as error:
        raise OSError(f"{path}: its reader has gone") from error


def check_file(option: str, path: str | os.PathLike[str], inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that cannot be written, or that is one of the inputs.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, ValueError: as the message says.
    """
    path = Path(path)
    if not path.parent.is_dir():
        what = "to save the model in" if option == "--out" else "to write into"
        raise FileNotFoundError(f"{path.parent}: there is no such folder {what}; create it first")
    if path.is_dir():
        raise IsADirectoryError(f"{option} {path}: expected a file to write, got a folder")
    target = Path(os.path.realpath(path))
    special = path.exists() and not path.is_file()
    place, needed = (path, os.W_OK) if special else (target.parent, os.W_OK | os.X_OK)
    if not os.access(place, needed):
        raise PermissionError(f"{option} {path}: {place} cannot be written to")
    for given in inputs:
        if os.path.realpath(given) == str(target):
            raise ValueError(f"{option} {path}: this would overwrite an input; name another file")


def check_maps_folder(folder: str | os.PathLike[str], images: str | os.PathLike[str]) -> None:
    """Refuse a folder of maps that would be mixed up with the images.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError, ValueError: as the message says.
    """
    folder, source = Path(folder), Path(images)
    check_writable("--maps", folder)
    ours = Path(os.path.realpath(folder))
    theirs = Path(os.path.realpath(source if source.is_dir() else source.parent))
    nested = source.is_dir() and (ours in theirs.parents or theirs in ours.parents)
    if ours == theirs or nested:
        raise ValueError(
            f"--maps {folder}: expected a folder apart from the images in {theirs}, so that maps "
            "are never taken for images; name another one"
        )


def silence(stream: Any) -> None:
    """Send what is left in a stream nowhere, so that the interpreter's end does not complain."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
