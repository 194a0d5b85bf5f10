"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "xb", **options: Any) -> Iterator[IO[Any]]:
    """A new file to write into, which takes the place of `path` once everything is written.

    After an error, a full disk or an interruption `path` is as it was. A symbolic link stays, and
    its target is replaced. Mode and options are those of `open`: "x" for text.

    Raises:
        OSError: as `open` does; or a folder, a pipe or a device has this name.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: expected a file to write, got a folder, a pipe or a device")
    # in the same folder, so that the rename is atomic
    draft = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with draft.open(mode, **options) as file:
            yield file
        draft.replace(target)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # of a full disk it names no file
            error.filename = os.fspath(path)
        raise
    finally:
        draft.unlink(missing_ok=True)
