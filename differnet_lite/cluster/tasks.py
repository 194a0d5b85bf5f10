"""Many tasks on a cluster, a few at a time: memory stays flat here, on the scheduler and there."""

from __future__ import annotations

import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

__all__ = ["completed"]

Item = TypeVar("Item")

AHEAD = 2  # tasks for each thread of a worker: one in work, one that waits
RETRIES = 2  # of a task that failed by an error, such as a hiccup of the storage
COUNTED = 10.0  # seconds after which the workers are counted again: they come and go


def completed(
    client: Any, function: Callable[..., Any], items: Iterable[Item], **arguments: Any
) -> Iterator[tuple[Item, Any]]:
    """Each item with `function(item, **arguments)`, in the order in which they are ready.

    A worker that dies is no error: Dask gives its tasks to the others. Closing the iterator, as an
    interruption does, cancels the rest.

    Args:
        client: of the cluster.
        function: what the workers do.
        items: whatever can be pickled; taken one by one, as there is room.
        **arguments: for every call.

    Yields:
        The item and its result; or the error, if it failed three times or killed three workers.

    Raises:
        RuntimeError: the scheduler is gone.
    """
    from distributed import as_completed

    futures: dict[Any, Item] = {}
    waiting, ready = iter(items), as_completed()
    room, counted = 0, -COUNTED
    try:
        while True:
            if time.monotonic() - counted >= COUNTED:
                room, counted = AHEAD * max(1, sum(client.ncores().values())), time.monotonic()
            for item in islice(waiting, max(0, room - len(futures))):
                future = client.submit(function, item, pure=False, retries=RETRIES, **arguments)
                futures[future] = item
                ready.add(future)
            if not futures:
                return
            future = next(ready)
            try:
                result = future.result()
            except (Exception, CancelledError) as error:  # CancelledError is no Exception
                result = error
            if client.status != "running":
                raise RuntimeError(
                    "the scheduler is gone; what is finished is kept, the same command goes on"
                )
            yield futures.pop(future), result
    finally:
        client.cancel(list(futures))
