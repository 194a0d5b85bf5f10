"""Scoring on a Dask cluster beside plain processes: time and memory, and a worker killed.

    python benchmarks/cluster.py [--images 20000] [--workers 2]

Images are made up (JPEG, 64 px) and the model is small, so that what the cluster costs shows: a
real image takes a hundred times as long. In turn:
  plain     as many processes as workers, each with its share of the list and one thread
  cluster   `scored_on_cluster` with workers that run already
  killed    the same on a fresh cluster, one worker killed when half is done
Plain processes load torch within their time. CPU seconds are those of the children, memory is the
largest of a worker and of this process, with the scheduler in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from distributed import Client, LocalCluster
from PIL import Image

from differnet_course.cluster import PART, scored_on_cluster
from differnet_lite import DifferNet, Transformations

GB = 2**30
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}


def make_images(folder: Path, n: int) -> list[Path]:
    """n different JPEG files of 64 px."""
    folder.mkdir()
    base = np.linspace(60, 180, 64)[None, :, None] + np.zeros((64, 64, 3))
    paths = [folder / f"{i:06d}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        coarse = np.random.default_rng(i).normal(0, 12, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
        Image.fromarray((base + coarse).clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return paths


def make_model(paths: list[Path], file: Path) -> Path:
    model = DifferNet(
        transformations=Transformations.grid(4),
        size=64,
        n_scales=1,
        n_blocks=2,
        hidden=32,
        epochs=2,
        dtype="float32",
        map_images=0,
        calibration="split",
        cache=None,
        progress=False,
    )
    return model.fit(paths[:100]).save(file)


def plain(model: str, names: str, out: str) -> None:
    """What one of the plain processes does."""
    paths = Path(names).read_text().splitlines()
    detector = DifferNet.load(model, cache=None, progress=False)
    np.save(out, detector.anomaly_scores([Path(path) for path in paths]))


def in_processes(model: Path, paths: list[Path], workers: int, folder: Path) -> np.ndarray:
    processes = []
    for k, share in enumerate(np.array_split(np.array(paths, object), workers)):
        (folder / f"{k}.txt").write_text("\n".join(map(str, share)))
        command = [sys.executable, __file__, "--plain", model, folder / f"{k}.txt"]
        command += [folder / f"{k}.npy"]
        processes.append(subprocess.Popen([*map(str, command)], env=ONE_THREAD))
    if any(process.wait() for process in processes):
        raise RuntimeError("a plain process failed")
    return np.concatenate([np.load(folder / f"{k}.npy") for k in range(workers)])


def on_cluster(model: Path, paths: list[Path], workers: int, out: Path, kill: bool) -> np.ndarray:
    os.environ["MALLOC_TRIM_THRESHOLD_"] = ONE_THREAD["MALLOC_TRIM_THRESHOLD_"]
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        with Client(cluster) as client:
            pids = sorted(client.run(os.getpid).values())

        def kill_one() -> None:
            while len(list(out.glob("part-*"))) < len(paths) / PART / 2:
                time.sleep(0.1)
            os.kill(pids[0], signal.SIGKILL)

        if kill:
            threading.Thread(target=kill_one, daemon=True).start()
        start = time.perf_counter()
        address = cluster.scheduler_address
        rows = list(scored_on_cluster(model, paths, out, scheduler=address))
        print(f"  without the start of the workers  {time.perf_counter() - start:.1f} s")
        memory = [process.memory_info().rss for process in psutil.Process().children()]
        here = psutil.Process().memory_info().rss
        print(f"  memory, worker and client         {max(memory) / GB:.2f}, {here / GB:.2f} GB")
    if [path for path, _, _ in rows] != paths:
        raise RuntimeError("expected each image once and in order")
    return np.array([score for _, score, _ in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain(*args.plain)
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary).resolve()
        paths = make_images(root / "images", args.images)
        model = make_model(paths, root / "model.safetensors")
        expected = np.zeros(0)
        for name in ("plain", "cluster", "killed"):
            print(name)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            if name == "plain":
                scores = expected = in_processes(model, paths, args.workers, root)
            else:
                scores = on_cluster(model, paths, args.workers, root / name, name == "killed")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"  seconds, and of CPU               {time.perf_counter() - start:.1f}, {cpu:.1f}"
            )
            print(f"  largest relative difference       {np.abs(scores / expected - 1).max():.1e}")


if __name__ == "__main__":
    main()
