"""Scoring on a Dask cluster beside plain processes: time, memory, bytes, and a worker killed.

    python benchmarks/cluster.py [--images 20000] [--workers 2] [--folder FOLDER] [--out FILE]

Images are made up (JPEG, 64 px), the model is small (64 px, one scale, 4 rotations), so that what
the cluster costs shows: a real image takes a hundred times as long. In turn:
  plain     as many processes as workers, each with its share of the list and one thread, as Dask
            gives its workers; no cluster
  cluster   `score_on_cluster` with workers that run already
  killed    the same on a fresh cluster, one worker killed when half is done
Plain processes load torch within their time; "scoring alone" is without that. CPU seconds are those
of all processes that take part, without the start of the workers. Memory is resident, of the client
(with the scheduler) and of the largest worker: after a quarter, at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from distributed import Client, LocalCluster
from distributed.comm import tcp
from PIL import Image

from differnet_course.baselines.registry import load_detector
from differnet_lite import DifferNet, Transformations
from differnet_lite.cluster import read_parts, score_on_cluster
from differnet_lite.cluster.partitions import PARTITION
from differnet_lite.cluster.tasks import completed

SENT = {"bytes": 0}


def count_bytes() -> None:
    """Count what this process, client and scheduler in one, writes to its connections."""
    real = tcp.TCP.write

    async def write(self: Any, *args: Any, **options: Any) -> int:
        n = await real(self, *args, **options)
        SENT["bytes"] += n
        return n

    tcp.TCP.write = write


def make_images(folder: Path, n: int) -> list[Path]:
    """n different JPEG files of 64 px, 1000 a folder."""
    base = np.linspace(60, 180, 64)[None, :, None] + np.zeros((64, 64, 3))
    paths = [folder / f"{i // 1000:03d}" / f"{i:06d}.jpg" for i in range(n)]
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            coarse = np.random.default_rng(i).normal(0, 12, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
            pixels = (base + coarse).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path, quality=90)
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
        reference_images=0,
        calibration="split",
        cache=None,
        progress=False,
    )
    return model.fit(paths[:100]).save(file)


def plain(model: str, names: str, out: str) -> None:
    """What one of the plain processes does."""
    paths = [Path(name) for name in Path(names).read_text().splitlines()]
    detector = load_detector(model, cache=None, progress=False)
    start = time.perf_counter()
    scores = detector.anomaly_scores(paths)
    np.save(out, np.append(scores, time.perf_counter() - start))


def in_processes(model: Path, paths: list[Path], workers: int, folder: Path) -> dict[str, Any]:
    names, scores = [], [folder / f"{k}.npy" for k in range(workers)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    for k, share in enumerate(np.array_split(np.array(paths, object), workers)):
        names.append(folder / f"{k}.txt")
        names[-1].write_text("\n".join(map(str, share)))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    running = [
        subprocess.Popen([sys.executable, __file__, "--plain", model, *pair], env=one_thread)
        for pair in zip(names, scores, strict=True)
    ]
    if any(process.wait() for process in running):
        raise RuntimeError("a plain process failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - start
    found = [np.load(path) for path in scores]
    return {
        "seconds": seconds,
        "seconds_of_scoring": float(max(each[-1] for each in found)),
        "cpu_seconds": cpu,
        "scores": np.concatenate([each[:-1] for each in found]),
    }


class Watch(threading.Thread):
    """Memory and CPU time of processes, every 2 s; kills a worker when half is done.

    What looking costs is no part of the client's CPU time.
    """

    def __init__(self, pids: list[int], out: Path, total: int, kill: bool) -> None:
        super().__init__(daemon=True)
        self.pids, self.out, self.total, self.kill = pids, out, total, kill
        self.memory: list[tuple[float, float, float]] = []  # share done, GB client, GB worker
        self.cpu: dict[int, float] = {}
        self.alive, self.client = 0, 0.0
        self.over = threading.Event()

    def run(self) -> None:
        here = psutil.Process()
        first: dict[int, float] = {}
        started = time.process_time()
        while not self.over.is_set():
            done = len(list(self.out.glob("part-*"))) / self.total
            if self.kill and done > 0.5:
                self.kill = False
                os.kill(self.pids[0], signal.SIGKILL)
            later = bool(self.cpu)  # then a process that is new was started within the time
            below = [p for p in here.children() if "resource_tracker" not in _line(p)]
            largest = 0.0
            for process in below:
                try:
                    used = sum(process.cpu_times()[:2])
                    new = first.setdefault(process.pid, 0.0 if later else used)
                    self.cpu[process.pid] = used - new
                    largest = max(largest, process.memory_info().rss / 2**30)
                except psutil.Error:
                    continue
            self.alive = len(below)
            self.memory.append((done, here.memory_info().rss / 2**30, largest))
            self.over.wait(2.0)
        self.client = time.process_time() - started - time.thread_time()

    def at(self, share: float) -> tuple[float, float]:
        """Memory of the client and of the largest worker when this share was done."""
        return next((row[1:] for row in self.memory if row[0] >= share), self.memory[-1][1:])


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def on_cluster(model: Path, folder: Path, n: int, workers: int, out: Path, kill: bool) -> dict:
    options = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1"}
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with LocalCluster(**options, **quiet) as cluster:
        with Client(cluster) as client:
            pids = sorted(client.run(os.getpid).values())
        watch = Watch(pids, out, -(-n // PARTITION), kill)
        watch.start()
        SENT["bytes"], start = 0, time.perf_counter()
        parts = score_on_cluster(
            model, folder, out, scheduler=cluster.scheduler_address, progress=False
        )
        seconds = time.perf_counter() - start
        sent = SENT["bytes"]
        watch.over.set()
        watch.join()
    tables = [table.select(["image", "score"]).to_pydict() for table in read_parts(parts)]
    names = [name for table in tables for name in table["image"]]
    quarter, end = watch.at(0.25), watch.memory[-1][1:]
    return {
        "seconds": seconds,
        "cpu_seconds": sum(watch.cpu.values()) + watch.client,
        "cpu_seconds_of_the_client": watch.client,
        "workers_at_the_end": watch.alive,
        "bytes_an_image": sent / n,
        "client_GB": (round(quarter[0], 3), round(end[0], 3)),
        "worker_GB": (round(quarter[1], 3), round(end[1], 3)),
        "scored_once": len(names) == len(set(names)) == n,
        "scores": np.array([score for table in tables for score in table["score"]]),
    }


def _nothing(names: tuple[str, ...]) -> np.ndarray:
    return np.zeros(len(names))


def cost_of_a_task(workers: int, n: int = 2000) -> float:
    """CPU seconds of client and scheduler for a task that does nothing, of 128 names."""
    options = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1"}
    names = tuple(f"/storage/camera-3/2026-11-24/{i:012d}.jpg" for i in range(PARTITION))
    with LocalCluster(**options, dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as c:
        list(completed(c, _nothing, [names] * 100))
        start = time.process_time()
        list(completed(c, _nothing, [names] * n))
        return (time.process_time() - start) / n


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the images, which are then kept")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain(*args.plain)
        return
    count_bytes()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        images = (args.folder or place / "images").resolve()
        paths = make_images(images, args.images)
        model = make_model(paths, place / "model.safetensors")
        cases: dict[str, dict[str, Any]] = {
            "plain": in_processes(model, paths, args.workers, place)
        }
        for name, kill in (("cluster", False), ("killed", True)):
            where = (model, images, args.images, args.workers, place / name, kill)
            cases[name] = on_cluster(*where)
        size = model.stat().st_size
    expected = cases["plain"]["scores"]
    for name, case in cases.items():
        same = np.abs(case.pop("scores") / expected - 1).max()
        case["largest_relative_difference"] = float(same)
        case["ms_an_image"] = 1000 * case["seconds"] / args.images
        case["overhead"] = case["seconds"] / cases["plain"]["seconds"] - 1
        bare = cases["plain"]["seconds_of_scoring"]
        case["overhead_over_scoring_alone"] = case["seconds"] / bare - 1
        case["overhead_in_cpu"] = case["cpu_seconds"] / cases["plain"]["cpu_seconds"] - 1
        print(name)
        for label, value in case.items():
            print(f"  {label:<30}{value if not isinstance(value, float) else f'{value:.4g}'}")
    cost = cost_of_a_task(args.workers)
    print(f"client and scheduler, a task of {PARTITION} names: {1000 * cost:.2f} ms of a core")
    print(f"the model file: {size / 1e6:.2f} MB")
    if args.out:
        found = {
            "images": args.images,
            "cpu_seconds_a_task": cost,
            "model_bytes": size,
            "cases": cases,
        }
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
