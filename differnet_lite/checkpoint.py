"""A fitted detector as one file: tensors in safetensors, all else as JSON in its header, no pickle.

A digest over header and tensors is stored beside them: one flipped bit is noticed.
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
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from differnet_lite.files import replacing

__all__ = ["CheckpointError", "read_checkpoint", "rebuilding", "tensors_of", "write_checkpoint"]

FORMAT = 4


class CheckpointError(ValueError):
    """A file that is no model of this version of the package."""


def write_checkpoint(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    kind: str,
) -> Path:
    """Write tensors and a header that JSON can hold as one safetensors file, whole or not at all.

    Raises:
        OSError: the folder does not exist, or cannot be written into.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent}: there is no such folder to save the model in; create it first"
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entries = {"format": FORMAT, "kind": kind, **header}
    text = json.dumps(entries | {"sha256": _digest(entries, plain)}, allow_nan=False)
    with replacing(path) as file:  # one entry: safetensors writes several in any order
        file.write(save(plain, metadata={"differnet_lite": text}))
    return path


def read_checkpoint(
    path: str | os.PathLike[str], *, kind: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_checkpoint` wrote.

    The file is read, and not mapped: rewritten meanwhile it is damaged, and the process lives on.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, no model of this package, or of another version or kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file")
    data = path.read_bytes()
    try:
        tensors = load(data)
        end = 8 + int.from_bytes(data[:8], "little")
        text = json.loads(data[8:end]).get("__metadata__", {}).get("differnet_lite", "null")
        header = json.loads(text)
    except (SafetensorError, ValueError, RecursionError) as error:
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
    if text != json.dumps(header | {"sha256": digest}) or digest != _digest(header, tensors):
        raise CheckpointError(f"{path}: damaged: its digest does not fit; copy it again")
    if kind is not None and header.get("kind") != kind:
        raise CheckpointError(
            f"{path}: expected a {kind!r} model, got a {header.get('kind')!r} one"
        )
    return header, tensors


@contextmanager
def rebuilding(path: str | os.PathLike[str]) -> Iterator[None]:
    """What goes wrong while a detector is built from a file becomes a `CheckpointError`.

    Too little memory, which torch tells as a RuntimeError, is no fault of the file.
    """
    try:
        yield
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise
        raise CheckpointError(
            f"{path}: the file is incomplete or of another version ({error!r})"
        ) from error


def tensors_of(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one part of a model: those named "part.name", by name."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():  # an empty one has no strides to view bytes by
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
