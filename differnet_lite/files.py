"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["made_folder", "replacing"]


@contextmanager
def replacing(
    path: str | os.PathLike[str],
    mode: str = "xb",
    *,
    encoding: str | None = None,
    newline: str | None = None,
) -> Iterator[IO[Any]]:
    """A new file to write into, which takes the place of `path` once everything is written.

    After an error, a full disk or an interruption `path` is as it was. A symbolic link stays, and
    its target is replaced. Mode, encoding and newline are those of `open`: "x" for text.

    Raises:
        OSError: as `open` does; or a folder, a pipe or a device has this name.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: expected a file to write, got a folder, a pipe or a device")
    # in the same folder, so that the rename is atomic
    draft = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(draft, mode, encoding=encoding, newline=newline) as file:
            yield file
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def made_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made with those above it; `NotADirectoryError` where a file is in the way."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path}: expected a folder, got a file") from error
    return Path(path)
