"""A camera or a service: milliseconds for a frame, memory, and whether threads agree.

    python benchmarks/service.py [MODEL] [--frames 30]

Without a model it fits the built-in flange. Frames are arrays of 480 x 640 pixels, scored one at a
time without a cache; then the same frames from four threads at once.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from differnet_course.samples import make_sample_category
from differnet_lite import DifferNet, Transformations

VIEWS = {"default, 16 views": None, "one view": Transformations.none()}


def measure(name: str, model: DifferNet, frames: list[np.ndarray]) -> None:
    """Print one line."""
    model.cache = None
    model.anomaly_scores(frames[0])  # loads what is loaded once
    scores = []
    times = []
    for frame in frames:
        start = time.perf_counter()
        scores.append(model.anomaly_scores(frame)[0])
        times.append(time.perf_counter() - start)
    with ThreadPoolExecutor(4) as pool:
        threaded = [row[0] for row in pool.map(model.anomaly_scores, frames)]
    middle, late = 1000 * np.quantile(times, [0.5, 0.95])
    apart = np.abs(np.divide(threaded, scores) - 1).max()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kB, on Linux
    print(f"{name:<20}{middle:>10.0f}{late:>10.0f}{peak:>10.2f}{apart:>14.1e}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", help="file that fit wrote")
    parser.add_argument("--frames", type=int, default=30)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (480, 640, 3)).astype(np.uint8) for _ in range(args.frames)]
    print(f"{torch.get_num_threads()} threads")
    print(f"{'':<20}{'median ms':>10}{'95 % ms':>10}{'peak GB':>10}{'threads apart':>14}")
    if args.model:
        measure(args.model, DifferNet.load(args.model, progress=False), frames)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = make_sample_category("flange", made, n_train=30, progress=False)
        for name, views in VIEWS.items():
            model = DifferNet(transformations=views, epochs=4, progress=False).fit(folder)
            measure(name, model, frames)


if __name__ == "__main__":
    main()
