"""Files that are written whole or not at all, and read only if they are files."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from differnet_lite.oldchecks import checked

__all__ = ["at_home", "check_writable", "made_folder", "regular", "replacing"]

DRAFT, DAY = re.compile(r"\.[0-9a-f]{32}\.tmp"), 86_400  # names, and seconds
SWEPT: set[Path] = set()  # folders that this process has looked through


@checked
def regular(path: str | os.PathLike[str]) -> Path:
    """The path, if a regular file is there: a pipe or a device may never end, or never begin.

    Raises:
        FileNotFoundError: there is nothing of that name.
        IsADirectoryError, OSError: it is a folder, or a pipe, a socket or a device.
    """
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file, got a folder")
    if path.exists():
        raise OSError(f"{path}: expected a regular file, got a pipe, a socket or a device")
    raise FileNotFoundError(f"{path}: there is no such file")


def at_home(path: str) -> Path:
    """The path, with the user's folder for a leading ~.

    Raises:
        OSError: this user has none, as in some containers.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise OSError(
            f"{path}: {error} Set HOME, or DIFFERNET_LITE_CACHE to a folder for features; or keep "
            "none: cache=None"
        ) from None


def made_folder(path: str | os.PathLike[str]) -> Path:
    """A folder, made with those above it if need be.

    Raises:
        NotADirectoryError: a file is in its place, or in that of one above.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"{path}: expected a folder, or a place for one; {error}"
        ) from error
    return path


def check_writable(option: str, folder: Path, what: str = "a folder") -> None:
    """Refuse a folder that cannot be written into, nor made.

    Args:
        option: that names it, for messages: "--maps".
        folder: it, or where it is to be.
        what: is expected.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: as the message says.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{option} {folder}: expected {what}, got a file")
    place = folder if folder.is_dir() else folder.parent
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: there is no such folder to write into; create it first")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f"{option} {folder}: {place} cannot be written to")


@contextmanager
@checked
def replacing(
    path: str | os.PathLike[str], mode: str = "xb", *, ours: bool = False, **options: Any
) -> Iterator[IO[Any]]:
    """A new file to write into, which takes the place of `path` once everything is written.

    After an error, a full disk or an interruption `path` is as it was, and nothing else is left
    behind. Its permissions are those of any new file, so that what one person saves others can read
    (a file of `tempfile` would be private). A symbolic link stays, and its target is replaced. What
    is no regular file, such as a pipe or a device, is opened and written straight, and so is a
    descriptor such as /dev/stdout that leads to a file: others go on writing there. What a killed
    process left behind is removed a day later, when something is written into the same folder.

    Args:
        path: where to; its folder must exist.
        ours: the place is our own: what is there and no regular file, a link or a pipe, is removed.
        mode, **options: of `open`; "x" with an encoding for text, "xb" for bytes.

    Raises:
        OSError: as `open` does.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt", "x") as file:
        ...     _ = file.write("all of it")
        >>> [file.read_text() for file in folder.iterdir()]
        ['all of it']
    """
    path = Path(path)
    if ours and (path.is_symlink() or not path.is_file()):
        path.unlink(missing_ok=True)
    if (number := _descriptor(path)) is not None:
        with open(os.dup(number), mode.replace("x", "w"), **options) as file:
            yield file
        return
    if path.exists() and not path.is_file():
        with open(path, mode.replace("x", "w"), **options) as file:
            yield file
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    # in the same folder, so that the rename is atomic
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(draft, mode, **options) as file:
            _sweep(draft.parent, os.fstat(file.fileno()).st_mtime)
            yield file
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _sweep(folder: Path, now: float) -> None:
    """Remove the drafts that killed processes have left behind, a day ago by the file's clock."""
    if folder in SWEPT:
        return
    SWEPT.add(folder)
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if DRAFT.fullmatch(path.name) and path.lstat().st_mtime < now - DAY:
                path.unlink()


def _descriptor(path: Path) -> int | None:
    """The open descriptor that a path leads to, link by link: 1 for /dev/stdout."""
    for _ in range(40):  # as many links as Linux follows
        # /proc/self/fd is a folder of links: the last one but the file it leads to is a descriptor
        if path.name.isdecimal() and os.path.realpath(path.parent) in _open_descriptors():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / os.readlink(path)
    return None


def _open_descriptors() -> set[str]:
    return {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")}
