"""What the command line prints and writes, and which outputs it refuses before any work."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from differnet_lite.calibration.thresholding import Judgement
from differnet_lite.data.files import replacing

__all__ = ["check_output", "print_table", "shown", "write_csv"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def print_table(rows: Sequence[tuple[str, str]], file: IO[str] | None = None) -> None:
    """Labels and values in two columns."""
    width = max(len(label) for label, _ in rows)
    print(file=file)
    for label, value in rows:
        print(f"  {label:<{width}}  {value}", file=file)


def shown(path: object) -> str:
    """A file name as a terminal may show it: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))


def write_csv(target: str, paths: Sequence[Path], judged: Judgement) -> None:
    """A row for each image; file names byte for byte, but for a ' before what looks a formula."""
    parts = zip(paths, judged.scores, judged.p_values, judged.anomalous, strict=True)
    theta = f"{judged.threshold.value:.9g}"
    rows = [[_cell(p), f"{s:.9g}", f"{q:.6g}", int(f), theta] for p, s, q, f in parts]
    head = ["image", "score", "p_value", "anomalous", "threshold"]
    if target == "-":
        csv.writer(sys.stdout).writerows([head, *rows])
        return
    options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replacing(target, "x", **options) as file:
        csv.writer(file).writerows([head, *rows])


def _cell(path: Path) -> str:
    text = str(path)
    return f"'{text}" if text.startswith(FORMULA) else text


def check_output(option: str, target: str | None, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse an output that cannot be written, or that is an input.

    Args:
        option: the name of the option, for the message.
        target: where it is to be written; None and "-" are always fine.
        inputs: files and folders that are read.

    Raises:
        OSError: the folder is missing or not writable, or the target is a folder.
        ValueError: the target is an input, or lies in the folder of inputs as one of them.
    """
    if target is None or target == "-":
        return
    path = Path(target)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{option}: {path.parent}: there is no such folder to write into; create it first"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{option}: {path}: expected the name of a file, got a folder")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"{option}: {path}: cannot be written here; choose another folder")
    for given in inputs:
        if path.exists() and Path(given).exists() and path.samefile(given):
            raise ValueError(f"{option}: {path} is an input; choose another name")
