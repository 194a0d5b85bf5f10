"""A client of a scheduler that answers, and workers that can do what they will be asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import differnet_lite
from differnet_lite.cache import code_version
from differnet_lite.oldchecks import checked, positive

__all__ = ["check_device_name", "check_workers", "connected"]


@contextmanager
@checked(seconds=positive)
def connected(address: str, *, seconds: float = 10.0) -> Iterator[Any]:
    """A client of the Dask scheduler at this address, closed at the end.

    Args:
        address: such as "tcp://127.0.0.1:8786".
        seconds: how long to wait for an answer.

    Raises:
        ValueError: Dask is not installed.
        OSError: no scheduler answers there.
    """
    if importlib.util.find_spec("distributed") is None:
        raise ValueError(
            "--scheduler needs Dask; install it with: pip install 'differnet_lite[cluster]'"
        )
    from distributed import Client

    try:
        client = Client(address, timeout=seconds)
    except (OSError, ValueError) as error:
        raise OSError(
            f"--scheduler: expected a Dask scheduler at {address}, got none ({error});"
            " start one with `dask scheduler`"
        ) from error
    with client:
        yield client


def check_device_name(device: str) -> None:
    """Refuse what is the name of no device anywhere; whether workers have it, they say.

    Raises:
        ValueError: it is no device of the kinds "cpu", "cuda" and "mps".
    """
    try:
        kind = "cpu" if device == "auto" else torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(
            f"device: expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps', got {device!r}"
        )


def check_workers(client: Any, image: Path, device: str, *, seconds: float = 10.0) -> None:
    """Refuse a cluster whose workers have another package, not the images, or not the device.

    Args:
        client: of the cluster.
        image: one of the images; the others are taken to lie where it does.
        device: that the workers shall use.
        seconds: how long to wait for the first worker.

    Raises:
        RuntimeError: there is no worker, or one cannot do it; the message names it.
    """
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        address = client.scheduler.address
        raise RuntimeError(
            f"--scheduler: expected workers at {address}, found none in {seconds:g} s; "
            f"start some with `dask worker {address}`"
        ) from None
    from differnet_lite.cluster.workers import look  # needs Dask

    expected = differnet_lite.__version__, code_version()
    for worker, found in client.run(look, str(image), device, on_error="return").items():
        if isinstance(found, BaseException):
            raise RuntimeError(f"worker {worker}: it cannot do this: {found}")
        version, code, there = found
        if (version, code) != expected:
            raise RuntimeError(
                f"worker {worker}: expected differnet_lite {expected[0]} with the same code as "
                f"here ({expected[1]}), got {version} ({code}); install the same on all machines"
            )
        if not there:
            raise RuntimeError(
                f"worker {worker}: it has no file {image}; put the images on storage that all "
                "machines see at the same path"
            )
