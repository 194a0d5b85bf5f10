"""Speed beside the reference protocol, in one run: medians of interleaved repeats.

    python benchmarks/speed.py [--category FOLDER]

The reference is the published protocol, written here from its description: every view is decoded,
resized, rotated and normalised by Pillow and NumPy in the main process; the trunk runs in float32,
NCHW, in every epoch, and keeps gradients of its frozen weights; the log-determinant takes a second
pass through every subnet; 172 million parameters, 96 views a step. Its time for a whole category is
extrapolated from measured steps; ours is measured.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from differnet_course.folders import load_category
from differnet_course.samples import make_sample_category
from differnet_lite import DifferNet, Transformations, training
from differnet_lite.cache import FeatureCache
from differnet_lite.features import IMAGENET_MEAN, IMAGENET_STD, MultiScaleExtractor
from differnet_lite.flow import build_flow
from differnet_lite.images import decode
from differnet_lite.loss import nll
from differnet_lite.sampling import view_sampler
from differnet_lite.settings import DEFAULT, PAPER, Settings
from differnet_lite.trunk import load_trunk

TRAIN, TEST = 209, 83  # the category bottle
STEPS = PAPER.epochs * math.ceil(TRAIN / PAPER.batch_images)
GRID = Transformations.grid(16)
Figures = dict[str, float]


class Reference:
    """The published protocol, view by view."""

    def __init__(self) -> None:
        self.trunk = load_trunk().requires_grad_(True)  # gradients that nobody uses
        self.flow = build_flow(768, hidden=PAPER.hidden, seed=0)
        self.optimiser = torch.optim.Adam(
            self.flow.trainable(), lr=2e-4, betas=(0.8, 0.8), eps=1e-4, weight_decay=1e-5
        )

    def view(self, path: Path, angle: float) -> Tensor:
        image = Image.open(path).convert("RGB").resize((448, 448), Image.Resampling.BILINEAR)
        image = image.rotate(angle)
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


def seconds(*functions: Callable[[], object], repeats: int = 3) -> list[float]:
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


def extraction(reference: Reference, extractor: MultiScaleExtractor, paths: list[Path]) -> Figures:
    """Views a second of 8 images: the reference's, ours, and the trunk's alone on ready tensors."""
    cache = FeatureCache(extractor, GRID, folder=None, progress=False)
    ready = torch.rand(16, 3, 448, 448).to(extractor.device, extractor.dtype)
    large = ready.contiguous(memory_format=torch.channels_last)
    levels = [large, F.avg_pool2d(large, 2), F.avg_pool2d(large, 4)]

    @torch.inference_mode()
    def trunk_alone() -> None:
        for level in levels * len(paths):
            extractor.trunk(level)

    slow, ours, least = seconds(
        lambda: reference.extract(paths, [0.0, 22.5, 45.0, 67.5]),
        lambda: cache.features(paths, GRID.test_angles()),
        trunk_alone,
    )
    return {
        "extraction, reference, views/s": 8 * 4 / slow,
        "extraction, ours, views/s": 8 * 16 / ours,
        "extraction, the trunk alone on ready tensors, views/s": 8 * 16 / least,
        "RATIO extraction, ours / reference (target >= 4)": 4 * slow / ours,
        "RATIO extraction time, ours / the trunk alone (target <= 1.35)": ours / least,
    }


def stepper(settings: Settings, device: torch.device) -> Callable[[], object]:
    """A training step of 24 images with 4 views each, from stored features."""
    flow = training.empty_flow(settings, n_features=768).to(device).train()
    optimiser = training.build_optimiser(flow, settings)
    features = torch.randn(TRAIN, 64, 768).relu() * 0.3
    draw = view_sampler(features, views_per_image=4, pool_views=settings.pool_views)
    generator = torch.Generator().manual_seed(0)

    def step() -> Tensor:
        y = draw(torch.randperm(TRAIN, generator=generator)[:24], generator).flatten(0, 1)
        return training.train_step(
            flow, optimiser, training.add_noise(y, settings.noise, generator).to(device)
        )

    return step


def whole_category(train: Sequence[Path], test: Sequence[Path]) -> tuple[float, float]:
    """Seconds of a category of bottle's size by the default preset, and of its stored features."""
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        # A repeated file would be extracted once: shifted copies are different images.
        pixels = [decode(train[i % len(train)]).numpy() for i in range(TRAIN)]
        normal = [np.roll(p, i, axis=1).transpose(1, 2, 0) for i, p in enumerate(pixels)]
        others = [decode(test[i % len(test)]).numpy() for i in range(TEST)]
        unseen = [np.roll(p, i + 1, axis=2).transpose(1, 2, 0) for i, p in enumerate(others)]
        model = DifferNet(cache=cache, progress=False).fit(normal)
        model.anomaly_scores(unseen)
        total = time.perf_counter() - start
        start = time.perf_counter()
        model.features(normal)
        return total, time.perf_counter() - start


def measure(category: Path) -> Figures:
    """All figures of a category."""
    images = load_category(category)
    paths = list(images.train[:8])
    many = [images.train[i % len(images.train)] for i in range(24)]
    reference, extractor = Reference(), MultiScaleExtractor()
    figures = extraction(reference, extractor, paths)
    slow, wide, narrow = seconds(
        lambda: reference.step(many),
        stepper(PAPER, extractor.device),
        stepper(DEFAULT, extractor.device),
    )
    figures["training step of 96 views, reference, s"] = slow
    figures["training step of 96 views, width 2048 from stored features, s"] = wide
    figures["training step of 96 views, default, s"] = narrow
    model = DifferNet(cache=None, progress=False, epochs=1).fit(images.train[:20])
    slow_score, one, drawn = seconds(
        lambda: reference.score(paths[0]),
        lambda: model.anomaly_scores(paths[:1]),
        lambda: model.anomaly_maps(paths[:1]),
    )
    figures["one image, 64 rotations, reference, s"] = slow_score
    figures["one image, 16 views, ours, s (target < 0.5)"] = one
    figures["one anomaly map, ours, s (target <= 0.15)"] = drawn
    published = STEPS * slow + TEST * slow_score
    speed = figures["extraction, ours, views/s"]
    stored = (TRAIN + TEST) * 64 / speed + STEPS * wide
    total, again = whole_category(images.train, images.test)
    figures["whole category, reference, extrapolated, s"] = published
    figures["width 2048, 192 epochs, 64 rotations, stored features, extrapolated, s"] = stored
    figures["RATIO the same, reference / ours (target >= 20)"] = published / stored
    figures["whole category of bottle's size, default preset, measured, s"] = total
    figures["RATIO whole category, reference / ours (target >= 400)"] = published / total
    figures["stored features, share of the extraction time (target < 0.03)"] = (
        again * speed / (TRAIN * 16)
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--category", type=Path, help="MVTec layout (default: the built-in flange)")
    args = parser.parse_args()
    figures = measure(args.category or make_sample_category("flange"))
    for name, value in figures.items():
        print(f"{name:<80}{value:>12.3f}")


if __name__ == "__main__":
    main()
