"""What a GPU does, in one command of less than ten minutes: the table of figures, and equality.

    python benchmarks/gpu.py [--category FOLDER] [--device cuda] [--out results/gpu.json]
    python benchmarks/gpu.py --device cpu --tiny        # tries the code, measures nothing

| what | target |
|---|---|
| the paper's preset in full: 209 images, 192 epochs of fresh views, 64 views of 83 images | 30 s |
| extraction from files, views a second, beside the trunk's own rate on ready tensors | 0.7 |
| default fit and score of as many images | 5 s |
| scores of one model here and on the CPU | within 1 %, no decision differs |

Without a category images are made up: 448 px, JPEG, a third of the test images with a spot. Nothing
is kept from run to run. If the paper's 192 epochs would take more than --limit seconds, a few are
measured and the line says that the rest is extrapolated. These figures are still to be taken: no
machine with a GPU has run this yet. What choosing the epoch on the test set is worth is another
command, which goes on where it was stopped:

    python -m differnet_course.experiments epochs --categories bottle toothbrush tiles --device cuda
"""

from __future__ import annotations

import argparse
import dataclasses
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

from differnet_lite import DifferNet, load_category
from differnet_lite.cache import FeatureCache
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import build_flow
from differnet_lite.images import decode
from differnet_lite.sampling import view_sampler
from differnet_lite.settings import DEFAULT, PAPER, Settings
from differnet_lite.training import add_noise, build_optimiser, train_step
from differnet_lite.trunk import resolve_device

TRAIN, TEST = 209, 83  # the category bottle


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is done: in full, or just enough to pass every line."""

    train: int = TRAIN
    test: int = TEST
    compared: int = TEST  # test images scored on the CPU by the default model
    compared_paper: int = 8  # and by the paper's: 64 rotations each
    extracted: int = 64
    steps: int = 50
    side: int = 448
    paper: Settings = PAPER
    default: Settings = DEFAULT


def tiny() -> Sizes:
    small: dict[str, Any] = {
        "size": 64,
        "n_scales": 1,
        "dtype": "float32",
        "n_blocks": 2,
        "hidden": 8,
        "epochs": 1,
    }
    few = dataclasses.replace(PAPER.transformations, n_train=2, n_test=3)
    paper = dataclasses.replace(PAPER, transformations=few, **small)
    grid = dataclasses.replace(DEFAULT.transformations, angles=(0.0, 45.0, 90.0))
    default = dataclasses.replace(
        DEFAULT, transformations=grid, reference_images=3, folds=2, **small
    )
    return Sizes(6, 3, 3, 2, 2, 2, 64, paper, default)


def refuse_without_device(name: str, is_tiny: bool) -> torch.device:
    """The device to measure.

    Raises:
        RuntimeError: there is none, or it is the CPU and more than its code is to be tried.
    """
    device = resolve_device(name)
    if device.type == "cpu" and not is_tiny:
        raise RuntimeError(
            "expected a GPU, found none that torch can use; run this where "
            "torch.cuda.is_available(), or try its code alone: --device cpu --tiny"
        )
    return device


def seconds(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds until the device has done it, and what it gave."""
    wait(device)
    start = time.perf_counter()
    value = function()
    wait(device)
    return time.perf_counter() - start, value


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def make_images(folder: Path, sizes: Sizes) -> tuple[list[Path], list[Path]]:
    """Training and test images; every third test image has a dark spot."""
    n = sizes.side
    base = np.linspace(60, 180, n)[None, :, None] + np.zeros((n, n, 3))
    paths = [folder / f"{i:04d}.jpg" for i in range(sizes.train + sizes.test)]
    for i, path in enumerate(paths):
        coarse = np.random.default_rng(i).normal(0, 12, (n // 4, n // 4, 3))
        pixels = base + coarse.repeat(4, 0).repeat(4, 1)
        if i >= sizes.train and i % 3 == 0:
            pixels[n // 3 : n // 2, n // 3 : n // 2] = 10
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths[: sizes.train], paths[sizes.train :]


def repeated(paths: Sequence[Path], n: int) -> list[Path]:
    """n of them, from the start again where there are fewer."""
    return [paths[i % len(paths)] for i in range(n)]


def extraction(paths: list[Path], sizes: Sizes, device: torch.device) -> dict[str, float]:
    """Views a second: from files, from decoded images, and of the trunk alone."""
    some, settings = repeated(paths, sizes.extracted), sizes.default
    extractor = MultiScaleExtractor(device=device, **settings.of_extractor())
    grid = settings.transformations
    angles = grid.test_angles()
    cache = FeatureCache(extractor, grid, folder=None, progress=False)
    pixels = torch.stack([decode(path, settings.size) for path in some])
    batch = cache.batch_size
    ready = torch.rand(batch, 3, settings.size, settings.size, device=device)
    levels = [ready, F.avg_pool2d(ready, 2), F.avg_pool2d(ready, 4)][: settings.n_scales]
    scaled = [x.to(extractor.dtype, memory_format=torch.channels_last) for x in levels]

    @torch.inference_mode()
    def trunk_alone() -> None:
        for _ in range(-(-len(some) // batch) * len(angles)):
            for x in scaled:
                extractor.trunk(x)

    def decoded() -> None:
        for part in pixels.split(batch):
            extractor.views(part, angles, grid)

    found: dict[str, float] = {}
    views = len(some) * len(angles)
    ready_views = -(-len(some) // batch) * batch * len(angles)
    for name, function, n in (
        ("from files", lambda: cache.features(some, angles), views),
        ("from decoded images", decoded, views),
        ("the trunk alone on ready tensors", trunk_alone, ready_views),
    ):
        function()  # the first call chooses algorithms
        found[f"extraction, {name}, views/s"] = n / seconds(function, device)[0]
    ours = found["extraction, from files, views/s"]
    least = found["extraction, the trunk alone on ready tensors, views/s"]
    found["RATIO extraction, from files / the trunk alone (target >= 0.7)"] = ours / least
    return found


def paper_in_full(
    train: list[Path], test: list[Path], sizes: Sizes, device: torch.device, limit: float
) -> tuple[dict[str, float], DifferNet]:
    """Seconds of the published protocol, and its model; extrapolated if it would take too long."""
    few = min(4, sizes.paper.epochs)

    def fitted(epochs: int) -> DifferNet:
        settings = dataclasses.replace(sizes.paper, epochs=epochs)
        return DifferNet(settings, device=device, cache=None, progress=False).fit(train)

    fitted(1)  # the first call chooses algorithms
    once, _ = seconds(lambda: fitted(1), device)
    more, model = seconds(lambda: fitted(1 + few), device)
    expected = once + (more - once) / few * (sizes.paper.epochs - 1)
    name = "paper preset, fit, s"
    if expected <= limit:
        expected, model = seconds(lambda: fitted(sizes.paper.epochs), device)
    else:
        name += f" (EXTRAPOLATED from {1 + few} epochs)"
    scoring, _ = seconds(lambda: model.anomaly_scores(test), device)
    total = expected + scoring
    figures = {name: expected, "paper preset, 64 rotations of the test images, s": scoring}
    return figures | {"paper preset in full, s (target <= 30)": total}, model


def default_in_full(
    train: list[Path], test: list[Path], sizes: Sizes, device: torch.device
) -> tuple[dict[str, float], DifferNet]:
    """Seconds of the default preset, a training step, a map."""

    def fitted() -> DifferNet:
        return DifferNet(sizes.default, device=device, cache=None, progress=False).fit(train)

    fit, model = seconds(fitted, device)
    score, _ = seconds(lambda: model.anomaly_scores(test), device)
    model.anomaly_maps(test[:1])
    drawn, _ = seconds(lambda: model.anomaly_maps(test[: sizes.compared_paper]), device)
    s = sizes.default
    features = torch.randn(TRAIN, len(s.transformations.test_angles()), 768).relu() * 0.3
    whitening = (torch.zeros(768), torch.eye(768))
    flow = build_flow(768, whitening=whitening, seed=0, **s.of_flow()).to(device).train()
    optimiser, generator = build_optimiser(flow, s), torch.Generator().manual_seed(0)
    draw = view_sampler(features, views_per_image=s.views_per_image, pool_views=s.pool_views)

    def steps() -> None:
        for _ in range(sizes.steps):
            chosen = torch.randperm(TRAIN, generator=generator)[: s.batch_images]
            y = add_noise(draw(chosen, generator).flatten(0, 1), s.noise, generator)
            train_step(flow, optimiser, y.to(device))

    steps()
    stepping, _ = seconds(steps, device)
    return {
        "default preset, fit, s": fit,
        "default preset, scores of the test images, s": score,
        "default preset, fit and score, s (target <= 5)": fit + score,
        "default preset, a training step, ms (target <= 10)": 1000 * stepping / sizes.steps,
        "default preset, one map, s (target <= 0.15)": drawn / min(sizes.compared_paper, len(test)),
    }, model


def against_cpu(model: DifferNet, test: list[Path], folder: Path, name: str) -> dict[str, float]:
    """The same model file, here and on the CPU: how far scores differ, and how many decisions."""
    path = model.save(folder / "model.safetensors")
    common: dict[str, Any] = {"cache": None, "progress": False}
    here, there = (
        DifferNet.load(path, device=device, **common).anomaly_scores(test)
        for device in (model.device, "cpu")
    )
    figures = {f"{name}, GPU and CPU, largest relative difference": abs(here / there - 1).max()}
    if len(model.calibration_scores_):
        theta = model.threshold(0.05, if_too_few="fallback").value
        differ = float(((here >= theta) != (there >= theta)).sum())
        figures[f"{name}, GPU and CPU, decisions that differ, of {len(test)}"] = differ
    return figures


def measure(
    category: Path | None, device: torch.device, sizes: Sizes, limit: float
) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if category is None:
            train, test = make_images(folder, sizes)
        else:
            found = load_category(category)
            train, test = list(found.train), list(found.test) or list(found.train)
        figures = extraction(train, sizes, device)
        timed, paper = paper_in_full(train, test, sizes, device, limit)
        figures |= timed
        timed, default = default_in_full(train, test, sizes, device)
        figures |= timed
        figures |= against_cpu(default, test[: sizes.compared], folder, "default")
        figures |= against_cpu(paper, test[: sizes.compared_paper], folder, "paper")
        if device.type == "cuda":
            figures["peak memory on the device, GB"] = torch.cuda.max_memory_allocated() / 2**30
    return {label: float(value) for label, value in figures.items()}


def kept(figures: dict[str, float]) -> bool:
    """Whether scores here are those of the CPU: within 1 %, no decision differs."""
    near = [v for k, v in figures.items() if "largest relative difference" in k]
    differ = [v for k, v in figures.items() if "decisions that differ" in k]
    return max(near) <= 0.01 and sum(differ) == 0


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
    try:
        device = refuse_without_device(args.device, args.tiny)
    except (RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    figures = measure(args.category, device, tiny() if args.tiny else Sizes(), args.limit)
    figures["all of this, s"] = time.perf_counter() - start
    for name, value in figures.items():
        print(f"{name:<80}{value:>12.4g}")
    if args.tiny:
        print("tiny: no figure above means anything")
    if args.out:
        named = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
        about = {"device": named, "torch": torch.__version__, "tiny": args.tiny}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(about | {"figures": figures}, indent=1))
    if not kept(figures):
        print(
            "error: scores on the device differ from the CPU's by more than 1 %, or decide "
            "otherwise",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
