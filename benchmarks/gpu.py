"""What a GPU does, in one command of less than ten minutes: seconds, and scores equal to the CPU's.

    python benchmarks/gpu.py [--category FOLDER] [--device cuda]
    python benchmarks/gpu.py --device cpu --tiny        # tries the code, measures nothing

Without a category images are made up: 448 px, JPEG, as many as bottle has, a third of the test
images with a spot. `benchmarks/speed.py` measures the extraction.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from differnet_course.folders import load_category
from differnet_lite import DifferNet, Transformations
from differnet_lite.trunk import resolve_device

TRAIN, TEST = 209, 83  # the category bottle
COMPARED = 8  # images that are scored on the CPU as well
SILENT: dict[str, Any] = {"cache": None, "progress": False}
TINY: dict[str, Any] = {"size": 64, "n_scales": 1, "dtype": "float32", "n_blocks": 2, "hidden": 8}
TARGETS = {"paper": 30, "default": 5}  # seconds of fit and score


def make_images(folder: Path, n: int, side: int, *, spots: bool) -> list[Path]:
    """Images of a ramp with noise; every third may have a dark spot."""
    paths = [folder / f"{spots}{i:04d}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        coarse = np.random.default_rng([i, spots]).normal(0, 12, (side // 4, side // 4, 3))
        pixels = np.linspace(60, 180, side)[None, :, None] + coarse.repeat(4, 0).repeat(4, 1)
        if spots and i % 3 == 0:
            pixels[side // 3 : side // 2, side // 3 : side // 2] = 10
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def measure(
    preset: str, train: list[Path], test: list[Path], device: torch.device, **changes: Any
) -> bool:
    """Print the figures of a preset; whether scores here are those of the CPU, within 1 %."""
    DifferNet(preset, **changes | {"epochs": 1}, device=device, **SILENT).fit(train)  # warms up
    start = time.perf_counter()
    model = DifferNet(preset, **changes, device=device, **SILENT).fit(train)
    fitted = time.perf_counter()
    scores = model.anomaly_scores(test)  # NumPy's: the device has done it
    scored = time.perf_counter()
    print(f"{preset}: fit {fitted - start:.1f} s, scores of {len(test)} {scored - fitted:.1f} s,")
    print(f"    together {scored - start:.1f} s (target {TARGETS[preset]})")
    if preset == "default":
        model.anomaly_maps(test)
        print(f"    one map {(time.perf_counter() - scored) / len(test):.3f} s (target 0.15)")
    with tempfile.TemporaryDirectory() as folder:
        saved = model.save(Path(folder) / "model.safetensors")
        on_cpu = DifferNet.load(saved, device="cpu", **SILENT).anomaly_scores(test[:COMPARED])
    apart = np.abs(scores[:COMPARED] / on_cpu - 1).max()
    print(f"    largest relative difference from the CPU's scores {apart:.1e} (target 0.01)")
    return bool(apart <= 0.01)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--category", type=Path, help="in the MVTec layout (default: made up)")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1 or mps")
    parser.add_argument("--tiny", action="store_true", help="try the code, measure nothing")
    args = parser.parse_args(arguments)
    device = resolve_device(args.device)
    if device.type == "cpu" and not args.tiny:
        print("error: no GPU that torch can use", file=sys.stderr)
        return 2
    paper: dict[str, Any] = {}
    default: dict[str, Any] = {}
    if args.tiny:
        views = Transformations(angles=None, n_train=2, n_test=3, fill="black")
        paper = TINY | {"transformations": views, "epochs": 1}
        default = TINY | {"transformations": Transformations.grid(3), "epochs": 1, "folds": 2}
    with tempfile.TemporaryDirectory() as temporary:
        if args.category is None:
            n_train, n_test, side = (6, 3, 64) if args.tiny else (TRAIN, TEST, 448)
            train = make_images(Path(temporary), n_train, side, spots=False)
            test = make_images(Path(temporary), n_test, side, spots=True)
        else:
            category = load_category(args.category)
            train, test = list(category.train), list(category.test)
        equal = measure("paper", train, test, device, **paper)
        equal = measure("default", train, test, device, **default) and equal
    if device.type == "cuda":
        print(f"peak memory on the device {torch.cuda.max_memory_allocated() / 2**30:.1f} GB")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
