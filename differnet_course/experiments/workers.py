"""Many calls of one function at a time: in joblib's local processes, or on a Dask cluster."""

from __future__ import annotations

import functools
import os
import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import Any, TypeAlias

import joblib
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

__all__ = ["in_workers", "n_processes", "threads_each"]

IfLost: TypeAlias = Callable[[Any, BaseException], Any]


def in_workers(
    function: Callable[..., Any],
    items: Sequence[Any],
    *,
    if_lost: IfLost,
    n_jobs: int | None,
    label: str,
    progress: bool,
    **arguments: Any,
) -> Iterator[Any]:
    """`function(item, **arguments)` of every item, in the order in which they are ready.

    Closing the iterator, as an interruption does, cancels the rest.

    Args:
        function: what the workers do.
        items: N of them.
        if_lost: called with an item and an error; gives the result of an item that Dask gives up.
        n_jobs: number of local processes, see `n_processes`.
        label: plural, of the progress bar.
        progress: whether to show one.
        **arguments: for every call.

    Raises:
        RuntimeError: a local process was killed, for want of memory perhaps.
    """
    if not items:
        return
    backend = _dask()
    results: Any
    if backend is not None:
        results = _on_dask(backend, function, items, arguments, if_lost)
    else:
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
        call = joblib.delayed(_watched)
        results = parallel(call(function, os.getpid(), item, **arguments) for item in items)
    shown = {"desc": label, "unit": label[:-1], "disable": not progress}
    try:
        with closing(results), tqdm(results, total=len(items), **shown) as bar:
            yield from bar
    except BrokenProcessPool as error:
        raise RuntimeError(
            "expected every local process to finish its cell, but one was killed, for want of"
            " memory perhaps; run the same again with fewer jobs: finished cells are kept"
        ) from error


def _watched(function: Callable[..., Any], parent: int, item: Any, **arguments: Any) -> Any:
    """In a local process: a call that ends with the process that asked for it, if that is killed.

    joblib's processes would finish their cells first, and then wait for more for minutes.
    """
    if os.getppid() == parent:  # it is no thread of the same process, nor behind a server
        _end_with(parent)
    return function(item, **arguments)


@functools.cache
def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def n_processes(n_jobs: int | None) -> int:
    """Number of processes that work at a time: those of the cluster, or as joblib counts."""
    backend = _dask()
    if backend is None:
        return joblib.effective_n_jobs(n_jobs)
    return max(1, sum(backend.client.ncores().values()))


def threads_each(n_jobs: int | None) -> int:
    """Threads for each of so many processes of one machine."""
    return max(1, joblib.cpu_count() // n_processes(n_jobs))


def _dask() -> Any | None:
    """joblib's Dask backend if `joblib.parallel_config(backend="dask")` has chosen it."""
    backend, _ = get_active_backend()
    return backend if hasattr(backend, "client") else None


def _on_dask(
    backend: Any,
    function: Callable[..., Any],
    items: Sequence[Any],
    arguments: dict[str, Any],
    if_lost: IfLost,
) -> Iterator[Any]:
    """Results of Dask's own futures.

    A worker that dies is no error yet: Dask gives its items to the others, a few times, and
    `result` asks again for what was lost with it. joblib's collection of Dask's results waits
    for ever for an item that Dask gives up.
    """
    from distributed import as_completed

    client, options = backend.client, backend.submit_kwargs
    futures = {
        client.submit(function, item, **arguments, pure=False, **options): item for item in items
    }
    try:
        for future in as_completed(futures):
            try:
                result = future.result()
            except (Exception, CancelledError) as error:  # CancelledError is no Exception
                result = if_lost(futures[future], error)
            yield result
    finally:
        client.cancel(list(futures))
