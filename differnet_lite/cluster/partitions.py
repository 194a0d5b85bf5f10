"""Names of files, cut into partitions; each has a name that says what its scores depend on."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from differnet_lite.oldchecks import checked, whole

__all__ = ["PARTITION", "Partition", "check_local", "digest_of", "partitions"]

PARTITION = 128  # images: half a minute of a core, and what a lost worker costs at most


@dataclasses.dataclass(frozen=True)
class Partition:
    """Some images that one worker scores together.

    Attributes:
        names: absolute paths.
        file: of the part that keeps their scores; its name changes with the model and the files.
    """

    names: tuple[str, ...]
    file: str


@checked(size=whole(1))
def partitions(paths: Sequence[Path], *, of: str, size: int = PARTITION) -> Iterator[Partition]:
    """Consecutive images, `size` together.

    Args:
        paths: of the images, in order.
        of: what the scores depend on besides the images.
        size: images of a partition.

    Raises:
        FileNotFoundError: a file is gone.
    """
    for k, start in enumerate(range(0, len(paths), size)):
        names = tuple(os.path.abspath(path) for path in paths[start : start + size])
        yield Partition(names, f"part-{k:06d}-{digest_of(names, of)}.parquet")


def digest_of(names: Iterable[str], of: str) -> str:
    """A name for files by their paths, sizes and times of change, and for `of`: 16 digits."""
    found = hashlib.sha256(of.encode())
    for name in names:
        state = os.stat(name)
        found.update(b"\0" + os.fsencode(name) + f"\0{state.st_size}/{state.st_mtime_ns}".encode())
    return found.hexdigest()[:16]


def check_local(*sources: str | os.PathLike[str]) -> None:
    """Refuse addresses of object stores, which nothing here opens.

    Raises:
        ValueError: it is one.
    """
    for source in sources:
        if "://" in str(source):
            raise ValueError(
                f"{source}: expected a folder that all machines see at the same path, got an "
                "address; mount the store (as s3fs, gcsfuse or blobfuse2 do), see docs/cluster.md"
            )
