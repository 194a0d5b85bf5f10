"""A fitted detector as one file: tensors in safetensors, all else as JSON in its header, no pickle.

A digest over header and tensors is kept beside them: one flipped bit is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from differnet_lite.oldchecks import checked
from differnet_lite.files import regular, replacing

__all__ = ["CheckpointError", "read_checkpoint", "rebuilding", "tensors_of", "write_checkpoint"]

FORMAT = 3


class CheckpointError(ValueError):
    """A file that is no model of this version of the package."""


@checked
def write_checkpoint(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    kind: str,
) -> Path:
    """Write one safetensors file, whole or not at all.

    Args:
        path: where to.
        tensors: by name, on any device.
        header: what JSON can hold.
        kind: the method that it is a model of.

    Returns:
        The path.

    Raises:
        FileNotFoundError: the folder to write into does not exist.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected a file to save the model in, got a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent}: there is no such folder to save the model in; create it first"
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole = {"format": FORMAT, "kind": kind, **header}
    text = json.dumps(whole | {"sha256": _digest(whole, plain)}, allow_nan=False)
    with replacing(path) as file:  # one entry: safetensors writes several in any order
        file.write(save(plain, metadata={"differnet_lite": text}))
    return path


@checked
def read_checkpoint(
    path: str | os.PathLike[str], *, kind: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_checkpoint` wrote.

    Args:
        path: of the file.
        kind: the method that it must be a model of; None takes any.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, no model of this package, or of another version or method.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such model file")
    regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            text = metadata.get("differnet_lite", "null")
            header = json.loads(text)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged, cut short, or no safetensors file ({error})"
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: a safetensors file, but no model of differnet_lite")
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected model format {FORMAT}, got {header.get('format')!r}; "
            "fit again, or install the version that wrote it"
        )
    digest = header.pop("sha256", None)
    same = text == json.dumps(header | {"sha256": digest})
    if not same or digest != _digest(header, tensors):
        raise CheckpointError(f"{path}: damaged: its digest does not fit; copy it again")
    if odd := [
        name for name, x in tensors.items() if x.is_floating_point() and not x.isfinite().all()
    ]:
        raise CheckpointError(f"{path}: expected finite numbers, got others in {odd[:3]}")
    if kind is not None and header.get("kind") != kind:
        raise CheckpointError(
            f"{path}: expected a {kind!r} model, got a {header.get('kind')!r} one; "
            "load it with the class of that method"
        )
    return header, tensors


@contextmanager
def rebuilding(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what goes wrong while a detector is built from a file into a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
    ) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(
            f"{path}: the file is incomplete or of another version: {said}"
        ) from error


def tensors_of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one part of a model: those named "part.name", by name."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():  # an empty one has no strides to view bytes by
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
