"""Speed beside the reference protocol, in one run: medians of interleaved repeats.

    python benchmarks/speed.py [--category FOLDER] [--repeats 3] [--out results/speed.json]

The reference is the published protocol, written here from its description: every view is decoded,
resized, rotated and normalised by Pillow and NumPy in the main process; the trunk runs in float32,
NCHW, in every epoch, and keeps gradients of its frozen weights; the log-determinant takes a second
pass through every subnet; 172 million parameters, 96 views a step.
Its time for a whole category is extrapolated from measured steps; ours is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from differnet_course import make_sample_category
from differnet_lite import DifferNet, Transformations, load_category
from differnet_lite.cache import FeatureCache
from differnet_lite.features import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    MultiScaleExtractor,
    fast_dtype,
    load_trunk,
)
from differnet_lite.flow import build_flow
from differnet_lite.images import decode
from differnet_lite.loss import nll
from differnet_lite.sampling import view_sampler
from differnet_lite.settings import DEFAULT, PAPER
from differnet_lite.side_by_side import Place, side_by_side
from differnet_lite.training import add_noise, build_optimiser, set_products, train_step

TRAIN, TEST = 209, 83  # the category bottle
STEPS = PAPER.epochs * math.ceil(TRAIN / PAPER.batch_images)


class Reference:
    """The published protocol, view by view."""

    def __init__(self) -> None:
        # Nobody uses these gradients, but the published code computes them.
        self.trunk = load_trunk().requires_grad_(True)
        self.flow = build_flow(768, hidden=PAPER.hidden, seed=0)
        self.optimiser = torch.optim.Adam(
            self.flow.trainable(), lr=2e-4, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5
        )

    def view(self, path: Path, angle: float) -> Tensor:
        image = (
            Image.open(path)
            .convert("RGB")
            .resize((448, 448), Image.Resampling.BILINEAR)
            .rotate(angle)
        )
        array = (np.asarray(image, dtype=np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1).contiguous()

    def features(self, batch: Tensor) -> Tensor:
        scaled = [batch, F.interpolate(batch, size=224), F.interpolate(batch, size=112)]
        return torch.cat([self.trunk(x).mean((2, 3)) for x in scaled], 1)

    def extract(self, paths: list[Path], angles: list[float]) -> None:
        with torch.no_grad():
            for path in paths:
                self.features(torch.stack([self.view(path, a) for a in angles]))

    def step(self, paths: list[Path]) -> None:
        batch = torch.stack([self.view(p, 360 * np.random.rand()) for p in paths for _ in range(4)])
        y = self.features(batch)
        z, _ = self.flow(y)
        _, log_det = self.flow(y)  # the second pass
        loss = nll(z, log_det)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def score(self, path: Path) -> None:
        with torch.no_grad():
            batch = torch.stack([self.view(path, 360 * np.random.rand()) for _ in range(64)])
            self.flow(self.features(batch))[0].square().mean()


def seconds(*functions: Callable[[], object], repeats: int) -> list[float]:
    """Median seconds of each function, interleaved, after one warm-up of each."""
    synchronise = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 1):
        for record, function in zip(times, functions, strict=True):
            synchronise()
            start = time.perf_counter()
            function()
            synchronise()
            if turn:
                record.append(time.perf_counter() - start)
    return [statistics.median(record) for record in times]


def measure(category: Path, repeats: int) -> dict[str, float]:
    found = load_category(category)
    paths = list(found.train[:8])
    many = [found.train[i % len(found.train)] for i in range(24)]
    reference, figures = Reference(), {}
    extractor = MultiScaleExtractor()
    grid = Transformations.grid(16)
    kept = FeatureCache(extractor, grid, folder=None, progress=False)
    ready = torch.rand(16, 3, 448, 448, device=extractor.device).to(
        extractor.dtype, memory_format=torch.channels_last
    )
    scaled = [ready, F.avg_pool2d(ready, 2), F.avg_pool2d(ready, 4)]

    def floor() -> None:
        with torch.inference_mode():
            for _ in range(8):
                for x in scaled:
                    extractor.trunk(x)

    slow, ours, least = seconds(
        lambda: reference.extract(paths, [360 * k / 16 for k in range(4)]),
        lambda: kept.features(paths, grid.angles),
        floor,
        repeats=repeats,
    )
    figures["extraction, reference, views/s"] = 8 * 4 / slow
    figures["extraction, ours, views/s"] = 8 * 16 / ours
    figures["extraction, the trunk alone on ready tensors, views/s"] = 8 * 16 / least
    figures["RATIO extraction, ours / reference (target >= 4)"] = (8 * 16 / ours) / (8 * 4 / slow)
    figures["RATIO extraction time, ours / the trunk alone (target <= 1.35)"] = ours / least

    features64 = torch.randn(TRAIN, 64, 768).relu() * 0.3
    wide = build_flow(768, hidden=PAPER.hidden, seed=0).to(extractor.device)
    white = (torch.zeros(768), torch.eye(768))
    narrow = [
        build_flow(768, whitening=white, **DEFAULT.of_flow(), seed=k).to(extractor.device)
        for k in range(1 + DEFAULT.folds)
    ]
    bfloat16 = torch.bfloat16 if fast_dtype(extractor.device) == torch.bfloat16 else None

    def stepper(flow, settings, products):  # type: ignore[no-untyped-def]
        optimiser = build_optimiser(flow.train(), settings)
        set_products(flow, products)
        draw = view_sampler(features64, views_per_image=4, pool_views=settings.pool_views)
        generator = torch.Generator().manual_seed(0)

        def step() -> None:
            y = draw(torch.randperm(TRAIN, generator=generator)[:24], generator).flatten(0, 1)
            y = add_noise(y, settings.noise, generator)
            train_step(flow, optimiser, y.to(extractor.device))

        return step

    folds = [stepper(flow, DEFAULT, None) for flow in narrow[1:]]
    on_cpu = extractor.device.type == "cpu"

    def ten_steps_each() -> None:
        def ten(step: Callable[[], None], place: Place) -> None:
            for _ in range(10):
                step()

        tasks = [partial(ten, step) for step in folds]
        side_by_side(tasks, epochs=1, at_once=on_cpu, progress=False)

    slow, kept_step, default_step, fifty = seconds(
        lambda: reference.step(many),
        stepper(wide, PAPER, bfloat16),  # the default where the hardware has it
        stepper(narrow[0], DEFAULT, None),
        ten_steps_each,
        repeats=repeats,
    )
    figures["training step of 96 views, reference, s"] = slow
    figures["training step of 96 views, width 2048 from kept features, s"] = kept_step
    figures["training step of 96 views, default, s"] = default_step
    figures["the same, five flows side by side, s a step of one"] = fifty / (10 * len(folds))

    model = DifferNet(cache=None, progress=False, epochs=1).fit(found.train[:20])
    slow_score, one, drawn = seconds(
        lambda: reference.score(paths[0]),
        lambda: model.anomaly_scores(paths[:1]),
        lambda: model.anomaly_maps(paths[:1]),
        repeats=repeats,
    )
    figures["one image, 64 rotations, reference, s"] = slow_score
    figures["one image, 16 rotations, ours, s (target < 0.5)"] = one
    figures["one anomaly map, 16 rotations, ours, s (target <= 0.15)"] = drawn

    whole = STEPS * slow + TEST * slow_score
    figures["whole category, reference, extrapolated, s"] = whole
    from_kept = (TRAIN + TEST) * 64 / figures["extraction, ours, views/s"] + STEPS * kept_step
    figures["the paper's width, epochs and 64 rotations from kept features, extrapolated, s"] = (
        from_kept
    )
    figures["RATIO the same, reference / ours (target >= 20)"] = whole / from_kept
    train = [found.train[i % len(found.train)] for i in range(TRAIN)]
    test = [found.test[i % len(found.test)] for i in range(TEST)]
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        pixels = [decode(p).permute(1, 2, 0).numpy() for p in train]
        # A repeated file would be extracted once.
        distinct = [np.roll(p, i, axis=1) for i, p in enumerate(pixels)]
        copies = [decode(p).permute(1, 2, 0).numpy() for p in test]
        prepared = time.perf_counter()
        fitted = DifferNet(cache=cache, progress=False).fit(distinct)
        fitted.anomaly_scores([np.roll(p, i + 1, axis=0) for i, p in enumerate(copies)])
        total = time.perf_counter() - prepared + (prepared - start)
        start = time.perf_counter()
        fitted.features(distinct)
        again = time.perf_counter() - start
    figures["whole category of bottle's size, default preset, measured, s"] = total
    figures["RATIO whole category, reference / ours (target >= 400)"] = whole / total
    figures["feature cache, second run, share of the extraction time (target < 0.03)"] = again / (
        TRAIN * 16 / figures["extraction, ours, views/s"]
    )
    figures["import differnet_lite beyond torch and torchvision, s (target < 0.2)"] = (
        import_seconds()
    )
    figures["peak memory of this process, GB"] = (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    return figures


def import_seconds() -> float:
    """Time of the import in a fresh interpreter that has torch and torchvision loaded."""
    code = (
        "import torch, torchvision, time; t = time.perf_counter(); import differnet_lite;"
        " differnet_lite.DifferNet; print(time.perf_counter() - t)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(done.stdout) for done in runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--category",
        type=Path,
        help="a category in the MVTec layout (default: the built-in flange)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    figures = measure(args.category or make_sample_category("flange"), args.repeats)
    for name, value in figures.items():
        print(f"{name:<80}{value:>12.3f}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        machine = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cpu": platform.processor(),
            "cuda": torch.cuda.is_available(),
        }
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        args.out.write_text(
            json.dumps({"when": when, "machine": machine, "figures": figures}, indent=1)
        )


if __name__ == "__main__":
    main()
