"""How the cost grows with images, views and the flow's width: seconds, memory, power law.

    python benchmarks/growth.py [--images 50 200 800 3200]

Images are made up (noise over a gradient, JPEG, 448 px). Every point runs in a process of its own,
so that its peak memory is its own, less what the imports alone take. The power law is the slope
between the two largest points, where fixed costs matter least.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from differnet_lite import DifferNet, Transformations
from differnet_lite.flow import build_flow
from differnet_lite.settings import DEFAULT
from differnet_lite.training import build_optimiser, train_step

SIZES = {"views": [4, 8, 16, 32, 64], "width": [128, 256, 512, 1024, 2048]}


def make_images(folder: Path, n: int) -> None:
    """n different JPEG files of 448 px."""
    rng = np.random.default_rng(0)
    base = np.linspace(60, 180, 448)[None, :, None] + np.zeros((448, 448, 3))
    for i in range(n):
        coarse = rng.normal(0, 12, (56, 56, 3)).repeat(8, 0).repeat(8, 1)
        pixels = (base + coarse).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}.jpg", quality=90)


def score(folder: Path, n_images: int, n_views: int) -> float:
    """Seconds to score images as a stream, with a flow that was hardly trained."""
    paths = sorted(folder.iterdir())[:n_images]
    views = Transformations.grid(n_views)
    model = DifferNet(transformations=views, epochs=1, cache=None, progress=False)
    model.fit(paths[:4], calibration=paths[4:6])
    start = time.perf_counter()
    for _ in model.iter_anomaly_scores(paths):
        pass
    return time.perf_counter() - start


def train(width: int) -> float:
    """Median seconds of a training step of 96 rows."""
    flow = build_flow(768, hidden=width, seed=0)
    optimiser = build_optimiser(flow, DEFAULT)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        train_step(flow, optimiser, torch.randn(96, 768))
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def point(task: str, folder: Path, size: int) -> dict[str, float]:
    """One measurement, in this process: seconds, and peak memory in GB."""
    seconds = 0.0  # of "imports"
    if task == "width":
        seconds = train(size)
    elif task != "imports":
        seconds = score(folder, size, 4) if task == "images" else score(folder, 16, size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB, on Linux
    return {"seconds": seconds, "memory_GB": peak / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200, 800, 3200])
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        task, folder, size = args.point
        print(json.dumps(point(task, Path(folder), int(size))))
        return
    curves: dict[str, dict[int, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), max(*args.images, 16))
        for task, sizes in ({"imports": [0], "images": args.images} | SIZES).items():
            curves[task] = {}
            for size in tqdm(sizes, desc=task, leave=False):
                command = [sys.executable, __file__, "--point", task, folder, str(size)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                curves[task][size] = json.loads(done.stdout.splitlines()[-1])
    floor = curves.pop("imports")[0]["memory_GB"]
    print(f"the imports alone take {floor:.2f} GB; {torch.get_num_threads()} threads")
    for task, points in curves.items():
        for size, p in points.items():
            more = p["memory_GB"] - floor
            print(f"{size:>6} {task:<8}{p['seconds']:>9.2f} s{more:>9.2f} GB more")
        (a, first), (b, last) = list(points.items())[-2:]
        slope = math.log(last["seconds"] / first["seconds"]) / math.log(b / a)
        print(f"seconds grow as {task}^{slope:.2f}\n")


if __name__ == "__main__":
    main()
