"""How the cost grows with images, rotations and the flow's width: seconds, memory, power law.

    python benchmarks/growth.py [--images 50 200 800 3200] [--out results/growth.json]

Images are made up (noise over a gradient, JPEG, 448 px). Every point runs in a process of its own,
so that its peak memory is its own; "beyond torch" is the peak less what the imports alone take.
The power law is the slope of log seconds over log size between the two largest points, where fixed
costs matter least.
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
from differnet_lite.loss import nll


def make_images(folder: Path, n: int) -> None:
    """n different JPEG files of 448 px."""
    rng = np.random.default_rng(0)
    base = np.linspace(60, 180, 448)[None, :, None] + np.zeros((448, 448, 3))
    for i in tqdm(range(n), desc="made-up images", leave=False):
        coarse = rng.normal(0, 12, (56, 56, 3)).repeat(8, 0).repeat(8, 1)
        Image.fromarray((base + coarse).clip(0, 255).astype(np.uint8)).save(
            folder / f"{i:05d}.jpg", quality=90
        )


def memory() -> float:
    """Peak resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**30 if sys.platform == "darwin" else 2**20
    )


def score(folder: Path, n: int, rotations: int, cache: Path | None) -> dict[str, float]:
    """Score n images as a stream, with a flow that was not trained on anything worth having."""
    paths = sorted(folder.iterdir())[:n]
    model = DifferNet(
        transformations=Transformations.grid(rotations),
        epochs=1,
        reference_images=0,
        cache=cache,
        progress=False,
    )
    model.fit(paths[:4], calibration=paths[:2])
    before = memory()
    start = time.perf_counter()
    for scores in model.iter_anomaly_scores(paths):
        assert np.isfinite(scores).all()
    return {
        "seconds": time.perf_counter() - start,
        "memory_GB": memory(),
        "memory_when_fitted_GB": before,
    }


def train(width: int, steps: int = 10) -> dict[str, float]:
    """Seconds of a training step of 96 rows."""
    flow = build_flow(768, hidden=width, seed=0)
    optimiser = torch.optim.Adam(flow.trainable(), lr=2e-4, fused=True)
    y = torch.randn(96, 768)
    times = []
    for _ in range(steps if width < 1024 else 4):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        nll(*flow(y)).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    return {"seconds": float(np.median(times[1:])), "memory_GB": memory()}


def point(task: str, *arguments: object) -> dict[str, float]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--point", task, *map(str, arguments)]
    return json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    )


def print_curve(title: str, unit: str, points: dict[int, dict[str, float]], floor: float) -> None:
    print(f"\n{title}")
    for size, p in points.items():
        beyond = p["memory_GB"] - floor
        print(f"  {size:>6} {unit:<12}{p['seconds']:>10.2f} s{beyond:>10.2f} GB beyond torch")
    (a, first), (b, last) = list(points.items())[-2:]
    slope = math.log(last["seconds"] / first["seconds"]) / math.log(b / a)
    each = 1000 * last["seconds"] / b
    print(f"  seconds grow as {unit}^{slope:.2f}; at {b} {unit}: {each:.1f} ms each")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200, 800, 3200])
    parser.add_argument("--rotations", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--point", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        task, *rest = args.point
        if task == "score":
            folder, n, rotations, kept = rest
            cache = None if kept == "none" else Path(kept)
            print(json.dumps(score(Path(folder), int(n), int(rotations), cache)))
        else:
            print(json.dumps(train(int(rest[0])) if task == "train" else {"memory_GB": memory()}))
        return
    floor = point("imports")["memory_GB"]
    print(f"the imports alone take {floor:.2f} GB; {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary, "images"), Path(temporary, "cache")
        folder.mkdir()
        make_images(folder, max(*args.images, 16))
        images = {
            n: point("score", folder, n, 4, cache / str(n))
            for n in tqdm(args.images, desc="images", leave=False)
        }
        rotations = {
            t: point("score", folder, 16, t, "none")
            for t in tqdm(args.rotations, desc="rotations", leave=False)
        }
    widths = {w: point("train", w) for w in tqdm(args.widths, desc="widths", leave=False)}
    print_curve(
        "images, scored as a stream at 4 rotations, features kept on disk", "images", images, floor
    )
    print_curve("rotations, 16 images scored", "rotations", rotations, floor)
    print_curve("width of the subnets, one training step of 96 rows", "width", widths, floor)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            json.dumps(
                {"imports_GB": floor, "images": images, "rotations": rotations, "widths": widths},
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
