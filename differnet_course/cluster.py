"""Scores from a Dask cluster: a part for each 128 photographs, kept in a folder, resumed from it.

Names of files travel to the workers and scores come back. The model and the photographs lie at the
same paths on all machines. A worker that dies loses nothing: Dask gives its part to another one.
"""

import csv
import functools
import hashlib
import io
import os
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from pathlib import Path

from distributed import Client, as_completed

import differnet_lite
from differnet_lite.cache import code_version
from differnet_lite.cli.scoring import scored
from differnet_lite.detector import DifferNet
from differnet_lite.files import replacing

__all__ = ["PART", "read_part", "score_part", "scored_on_cluster"]

PART = 128  # photographs: half a minute of a core, and what a killed worker costs at most
RETRIES = 2  # of a part, after an error such as a hiccup of the storage
Scored = tuple[Path, float | None, str]  # photograph, score or None, why there is none


def scored_on_cluster(
    model: str | os.PathLike[str],
    photographs: Sequence[Path],
    out: str | os.PathLike[str],
    *,
    scheduler: str,
    device: str = "auto",
    part: int = PART,
) -> Iterator[Scored]:
    """Scores in the order of the photographs; parts that are in the folder are not scored again.

    Args:
        model: file that `DifferNet.save` wrote.
        photographs: paths, which the workers see as this process does.
        out: folder for the parts, CSV files with the columns path, score and error.
        scheduler: its address, such as "tcp://127.0.0.1:8786".
        device: of the workers' models; "auto" takes what each has.
        part: photographs in a part.

    Raises:
        OSError: no scheduler with a worker answers there.
        ValueError: the folder holds parts of another model or of other photographs alone.
        RuntimeError: a part failed three times; all others are kept.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    version = _version(model)
    parts: dict[Path, Sequence[Path]] = {}
    for k, start in enumerate(range(0, len(photographs), part)):
        some = [path.absolute() for path in photographs[start : start + part]]
        parts[folder / f"part-{k:06d}-{_digest(some, version)}.csv"] = some
    missing = [file for file in parts if not file.exists()]
    stale = set(folder.glob("part-*.csv")) - parts.keys()
    if stale and len(missing) == len(parts):
        raise ValueError(
            f"--out {folder}: it holds scores by another model or of other photographs; name "
            "another folder, or delete this one"
        )
    for file in stale:  # of photographs that have changed since
        file.unlink()
    failed: dict[Path, str] = {}
    with _client(scheduler) as client:
        task = functools.partial(score_part, os.path.abspath(model), version, device)
        tasks = [parts[file] for file in missing]
        futures = client.map(task, tasks, pure=False, retries=RETRIES, batch_size=100)
        file_of = dict(zip(futures, missing, strict=True))
        ready = as_completed(futures)
        for file in parts:
            while not file.exists() and file not in failed:
                future = next(ready)
                try:
                    _write_part(file_of[future], future.result())
                except (Exception, CancelledError) as error:  # CancelledError is no Exception
                    if client.status != "running":
                        raise RuntimeError(
                            "the scheduler is gone; the same command resumes the scoring"
                        ) from error
                    failed[file_of[future]] = f"{type(error).__name__}: {error}"
            if file not in failed:
                yield from read_part(file)
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(parts)} parts failed, and the same command tries them again; "
            f"the first: {next(iter(failed.values()))}"
        )


def score_part(model: str, version: str, device: str, photographs: Sequence[Path]) -> list[Scored]:
    """What a worker does: the scores of one part; the model is loaded once."""
    if _version(model) != version:
        raise RuntimeError(f"expected the client's {model} and differnet_lite, got another version")
    return list(scored(_loaded(model, version, device), photographs))


def read_part(file: Path) -> list[Scored]:
    """The rows of a part in the folder, in the order of the photographs."""
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [(Path(r["path"]), float(r["score"]) if r["score"] else None, r["error"]) for r in rows]


def _write_part(file: Path, rows: Sequence[Scored]) -> None:
    table = io.StringIO(newline="")
    csv.writer(table).writerows([("path", "score", "error"), *rows])
    with replacing(file) as stream:
        stream.write(table.getvalue().encode("utf-8", "surrogateescape"))


@functools.lru_cache(maxsize=1)
def _loaded(model: str, version: str, device: str) -> DifferNet:
    return DifferNet.load(model, device=device, cache=None, progress=False)


def _version(model: str | os.PathLike[str]) -> str:
    """What scores depend on besides the photographs."""
    content = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return f"{content} {differnet_lite.__version__} {code_version()}"


def _digest(photographs: Sequence[Path], version: str) -> str:
    states = [(path, path.stat()) for path in photographs]
    names = [f"{path}\0{state.st_size}\0{state.st_mtime_ns}" for path, state in states]
    return hashlib.sha256(os.fsencode("\0".join([version, *names]))).hexdigest()[:16]


def _client(address: str) -> Client:
    """A client of a scheduler that answers and has a worker."""
    try:
        client = Client(address, timeout=10)
        client.wait_for_workers(1, timeout=10)
    except (OSError, ValueError) as error:
        raise OSError(
            f"--scheduler: expected a Dask scheduler with a worker at {address}, got none "
            f"({error}); start them with `dask scheduler` and `dask worker {address}`"
        ) from error
    return client
