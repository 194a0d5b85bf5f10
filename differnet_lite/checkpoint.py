"""A fitted detector as one file: its tensors in safetensors, everything else as JSON in the header. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from differnet_lite.data.files import replacing

__all__ = ["CheckpointError", "NotFittedError", "read_checkpoint", "rebuilding", "write_checkpoint"]

FORMAT = 1
DIFFERNET = "differnet"


class NotFittedError(RuntimeError):
    """The detector has not been fitted yet."""


class CheckpointError(ValueError):
    """A file that is no model of this version of the package."""


def write_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> Path:
    """Write one safetensors file, whole or not at all.

    Args:
        path: where to.
        tensors: by name, on any device.
        header: what JSON can hold.

    Returns:
        The path.

    Raises:
        FileNotFoundError: the folder to write into does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent}: there is no such folder to save the model in; create it first"
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as file:
        file.write(
            save(plain, metadata={"differnet_lite": json.dumps({"format": FORMAT, **header})})
        )
    return path


def read_checkpoint(
    path: str | os.PathLike[str], *, kind: str = DIFFERNET
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_checkpoint` wrote.

    Args:
        path: of the file.
        kind: the method that it must hold: the header's "kind", or DifferNet where there is none.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, no model of this package, of another version, or of another method.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such model file")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("differnet_lite", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged, cut short, or no safetensors file ({error})"
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: a safetensors file, but no model of differnet_lite")
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected model format {FORMAT}, got {header.get('format')}; fit again, or install the version that wrote it"
        )
    if (found := header.get("kind", DIFFERNET)) != kind:
        raise CheckpointError(
            f"{path}: expected a {kind!r} model, got a {found!r} one; load it with the class of that method"
        )
    return header, tensors


@contextmanager
def rebuilding(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what goes wrong while a detector is built from a file into a `CheckpointError` that names the file."""
    try:
        yield
    except CheckpointError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: the file is incomplete or of another version: {error}"
        ) from error
