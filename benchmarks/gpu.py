"""What a GPU does, in one command of less than ten minutes: the table of figures, and equality.

    python benchmarks/gpu.py [--category FOLDER] [--device cuda] [--out results/gpu.json]
    python benchmarks/gpu.py --device cpu --tiny        # tries the code, measures nothing

| what | target |
|---|---|
| the paper's preset in full: 209 images, 192 epochs of fresh views, 64 views of 83 images | 30 s |
| extraction from files, views a second, beside the trunk's own rate on ready tensors | 0.7 |
| default fit and score of as many images | 5 s |
| scores of one model here and on the CPU | within 1 %, no decision differs |

Without a category images are made up: 448 px, JPEG, a third of the test images with a spot. If the
paper's 192 epochs would take more than --limit seconds, a few are measured and the line says that
the rest is extrapolated.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from differnet_course.folders import load_category
from differnet_lite import DifferNet, Transformations
from differnet_lite.trunk import resolve_device

TRAIN, TEST = 209, 83  # the category bottle
EPOCHS = 192  # of the paper's preset
COMPARED = 8  # images that the paper's model scores on the CPU: 64 views each
SILENT: dict[str, Any] = {"cache": None, "progress": False}
SMALL: dict[str, Any] = {
    "size": 64,
    "n_scales": 1,
    "dtype": "float32",
    "n_blocks": 2,
    "hidden": 8,
}


def seconds(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds until the device has done it, and what it gave."""
    start = time.perf_counter()
    value = function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - start, value


def make_images(
    folder: Path, n_train: int, n_test: int, side: int
) -> tuple[list[Path], list[Path]]:
    """Training and test images; every third test image has a dark spot."""
    paths = [folder / f"{i:04d}.jpg" for i in range(n_train + n_test)]
    for i, path in enumerate(paths):
        coarse = np.random.default_rng(i).normal(0, 12, (side // 4, side // 4, 3))
        pixels = np.linspace(60, 180, side)[None, :, None] + coarse.repeat(4, 0).repeat(4, 1)
        if i >= n_train and i % 3 == 0:
            pixels[side // 3 : side // 2, side // 3 : side // 2] = 10
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths[:n_train], paths[n_train:]


def extraction(images: list[Path], model: DifferNet, device: torch.device) -> dict[str, float]:
    """Views a second: from files, and of the trunk alone on tensors that are ready."""
    settings = model.settings
    extractor = model.extractor
    n_views = len(settings.transformations.test_angles())
    ready = torch.rand(32, 3, settings.size, settings.size, device=device)
    levels = [ready, F.avg_pool2d(ready, 2), F.avg_pool2d(ready, 4)][: settings.n_scales]
    scaled = [x.to(extractor.dtype, memory_format=torch.channels_last) for x in levels]

    @torch.inference_mode()
    def trunk_alone() -> None:
        for _ in range(n_views):
            for x in scaled:
                extractor.trunk(x)

    rates = []
    for function, n in ((lambda: model.features(images), len(images)), (trunk_alone, len(ready))):
        function()  # the first call chooses algorithms
        rates.append(n * n_views / seconds(function, device)[0])
    return {
        "extraction, from files, views/s": rates[0],
        "the trunk alone on ready tensors, views/s": rates[1],
        "RATIO (target >= 0.7)": rates[0] / rates[1],
    }


def paper_in_full(
    train: list[Path], test: list[Path], changes: dict[str, Any], device: torch.device, limit: float
) -> tuple[dict[str, float], DifferNet]:
    """Seconds of the published protocol, and its model; extrapolated if it would take too long."""
    epochs = changes.get("epochs", EPOCHS)

    def fitted(n: int) -> DifferNet:
        return DifferNet("paper", **{**changes, "epochs": n}, device=device, **SILENT).fit(train)

    few = min(4, epochs)
    fitted(1)  # the first call chooses algorithms
    once, _ = seconds(lambda: fitted(1), device)
    more, model = seconds(lambda: fitted(1 + few), device)
    expected = once + (more - once) / few * (epochs - 1)
    name = "paper preset, fit, s"
    if expected <= limit:
        expected, model = seconds(lambda: fitted(epochs), device)
    else:
        name += f" (EXTRAPOLATED from {1 + few} epochs)"
    scoring, _ = seconds(lambda: model.anomaly_scores(test), device)
    figures = {name: expected, "paper preset, 64 rotations of the test images, s": scoring}
    return figures | {"paper preset in full, s (target <= 30)": expected + scoring}, model


def default_in_full(
    train: list[Path], test: list[Path], changes: dict[str, Any], device: torch.device
) -> tuple[dict[str, float], DifferNet]:
    """Seconds of the default preset and of a map."""
    fit, model = seconds(lambda: DifferNet(**changes, device=device, **SILENT).fit(train), device)
    score, _ = seconds(lambda: model.anomaly_scores(test), device)
    model.anomaly_maps(test[:1])
    drawn, _ = seconds(lambda: model.anomaly_maps(test), device)
    return {
        "default preset, fit, s": fit,
        "default preset, scores of the test images, s": score,
        "default preset, fit and score, s (target <= 5)": fit + score,
        "default preset, one map, s (target <= 0.15)": drawn / len(test),
    }, model


def against_cpu(model: DifferNet, test: list[Path], folder: Path, name: str) -> dict[str, float]:
    """The same model file, here and on the CPU: how far scores differ, and how many decisions."""
    path = model.save(folder / "model.safetensors")
    here, there = (
        DifferNet.load(path, device=device, **SILENT).anomaly_scores(test)
        for device in (model.device, "cpu")
    )
    figures = {f"{name}, GPU and CPU, largest relative difference": abs(here / there - 1).max()}
    if len(model.calibration_scores_):
        theta = model.threshold(0.05, if_too_few="fallback").value
        figures[f"{name}, GPU and CPU, decisions that differ"] = sum(
            (here >= theta) != (there >= theta)
        )
    return figures


def measure(
    category: Path | None, device: torch.device, tiny: bool, limit: float
) -> dict[str, float]:
    """All figures; tiny ones mean nothing."""
    paper: dict[str, Any] = {}
    default: dict[str, Any] = {}
    if tiny:
        views = Transformations(angles=None, n_train=2, n_test=3, fill="black")
        paper = {**SMALL, "transformations": views, "epochs": 1}
        default = {**SMALL, "transformations": Transformations.grid(3), "epochs": 1, "folds": 2}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if category is None:
            train, test = make_images(folder, *((6, 3, 64) if tiny else (TRAIN, TEST, 448)))
        else:
            images = load_category(category)
            train, test = list(images.train), list(images.test)
        figures = extraction(train, DifferNet(**default, device=device, **SILENT), device)
        timed, model = paper_in_full(train, test, paper, device, limit)
        figures |= timed
        figures |= against_cpu(model, test[:COMPARED], folder, "paper")
        timed, model = default_in_full(train, test, default, device)
        figures |= timed
        figures |= against_cpu(model, test, folder, "default")
        if device.type == "cuda":
            figures["peak memory on the device, GB"] = torch.cuda.max_memory_allocated() / 2**30
    return {label: float(value) for label, value in figures.items()}


def equal(figures: dict[str, float]) -> bool:
    """Whether scores here are those of the CPU: within 1 %, no decision differs."""
    differences = [v for k, v in figures.items() if "largest relative difference" in k]
    decisions = [v for k, v in figures.items() if "decisions that differ" in k]
    return max(differences) <= 0.01 and sum(decisions) == 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--category", type=Path, help="in the MVTec layout (default: made up)")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1 or mps")
    parser.add_argument("--limit", type=float, default=240, help="seconds for the paper's fit")
    parser.add_argument("--tiny", action="store_true", help="try the code, measure nothing")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(arguments)
    device = resolve_device(args.device)
    if device.type == "cpu" and not args.tiny:
        print(
            "error: no GPU that torch can use; --device cpu --tiny tries the code", file=sys.stderr
        )
        return 2
    figures = measure(args.category, device, args.tiny, args.limit)
    for name, value in figures.items():
        print(f"{name:<80}{value:>12.4g}")
    if args.out:
        named = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        about = {"device": named, "torch": torch.__version__, "tiny": args.tiny}
        args.out.write_text(json.dumps(about | {"figures": figures}, indent=1))
    if not equal(figures):
        print(
            "error: scores differ from the CPU's by more than 1 %, or decide otherwise",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
