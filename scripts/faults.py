"""SIGKILL at chosen moments of extraction, training, saving and a grid: is anything lost or half?

    python scripts/faults.py --kills 50

Each job runs once undisturbed. Then it is started again and again in an empty folder, in a process
of its own, and killed at another share of its time each. What lies in the folder is compared with
the undisturbed run's, or read back: a file that is neither is half-written. Then the job runs to
its end there, and the result must be the undisturbed one, bit for bit (but for the seconds and the
date in the rows of a grid). The exit status is 1 if a file was half-written, a rerun differed, or
fewer than four fifths of the kills struck before the job's end.

Needs a system with fork and SIGKILL. Sizes are small: a minute or two on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from differnet_course.experiments import Grid, run
from differnet_course.samples import make_sample_category
from differnet_lite.cache import FeatureCache
from differnet_lite.checkpoint import read_checkpoint
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.model import DifferNet
from differnet_lite.transforms import Transformations

FORK = multiprocessing.get_context("fork")  # PyTorch is imported once, and not 100 times
TURNS = Transformations.grid(4)
SMALL: dict[str, Any] = {"size": 64, "n_scales": 1, "dtype": "float32", "reference_images": 2}
FIT: dict[str, Any] = {"transformations": TURNS, "n_blocks": 4, "hidden": 64, "epochs": 40}
QUIET: dict[str, Any] = {"device": "cpu", "progress": False}
SHOWN = "{:10} {:6} {:7} {:11} {:13} {:19} {:8.0f}"
VOLATILE = ("fit_s", "score_s", "when", "threads", "sha256")  # of a grid's row


class Ground(NamedTuple):
    """What all runs share and none changes."""

    images: list[Path]
    category: Path
    cache: Path
    models: tuple[Path, Path]


Job = Callable[[Ground, Path], None]


def extraction(ground: Ground, folder: Path) -> None:
    """Features of 24 images at 4 angles, into an empty cache."""
    extractor = MultiScaleExtractor(size=256, n_scales=1, dtype="float32", device="cpu")
    cache = FeatureCache(extractor, TURNS, folder=folder / "cache", batch_size=2, progress=False)
    cache.features(ground.images, TURNS.test_angles(0))


def training(ground: Ground, folder: Path) -> None:
    """Three flows, one after another, with a checkpoint; then the model is saved."""
    model = DifferNet(calibration="cross", folds=2, cache=ground.cache, **SMALL, **FIT, **QUIET)
    model.fit(ground.images, checkpoint=folder / "training").save(folder / "model.safetensors")


def saving(ground: Ground, folder: Path) -> None:
    """Two models in turn, over each other."""
    models = [DifferNet.load(path, **QUIET) for path in ground.models]
    for _ in range(20):
        for model in models:
            model.save(folder / "model.safetensors")


def grid(ground: Ground, folder: Path) -> None:
    """Six cells and their table."""
    run(_cells(ground), folder, device="cpu", cache=ground.cache, progress=False)


def _cells(ground: Ground) -> Grid:
    flow = SMALL | FIT | {"epochs": 20, "calibration": "split"}
    return Grid(
        methods={"differnet": flow, "mahalanobis": SMALL, "1-nn": SMALL},
        categories=[ground.category],
        seeds=[0, 1],
    )


JOBS: tuple[Job, ...] = (extraction, training, saving, grid)


def prepared(root: Path) -> Ground:
    """Images, a category, kept features and two models."""
    images, generator = [], np.random.default_rng(0)
    for k in range(24):
        images.append(root / "images" / f"{k}.png")
        images[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (96, 96, 3), np.uint8)).save(images[-1])
    counts: Any = {"n_train": 12, "n_test_good": 4, "n_per_defect": 1}
    category = make_sample_category("flange", root, **counts, progress=False)
    ground = Ground(images, category, root / "cache", (root / "a", root / "b"))
    small = SMALL | FIT | {"epochs": 1, "hidden": 128, "calibration": "none"}
    for seed, path in enumerate(ground.models):
        DifferNet(seed=seed, cache=ground.cache, **small, **QUIET).fit(images).save(path)
    run(_cells(ground), root / "once", device="cpu", cache=ground.cache, progress=False)
    return ground


def files(folder: Path) -> dict[str, Path]:
    """All files by their place, but for drafts, which end in .tmp and are never read."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp"]
    return {path.relative_to(folder).as_posix(): path for path in found}


def result(folder: Path) -> dict[str, str]:
    """A digest of each file; of a grid's rows without what changes from run to run."""
    found = {}
    for name, path in files(folder).items():
        content = path.read_bytes()
        if path.suffix == ".json" and path.parent.name == "cells":
            row = json.loads(content)
            content = json.dumps({k: v for k, v in row.items() if k not in VOLATILE}).encode()
        if path.suffix not in (".csv", ".parquet", ".training"):  # tables hold the same rows
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def half_written(folder: Path, whole: dict[str, str], models: Sequence[bytes]) -> list[str]:
    """Places of files that are neither the undisturbed run's nor can be read back."""
    bad = []
    for name, path in files(folder).items():
        try:
            if path.suffix == ".training":
                read_checkpoint(path, kind="training")  # checks its digest
            elif path.suffix == ".safetensors":
                fine = path.read_bytes() in models or result(folder)[name] == whole[name]
                bad += [] if fine else [name]
            elif path.suffix in (".csv", ".parquet"):
                bad += [] if path.stat().st_size else [name]
            elif result(path.parent)[path.name] != whole[name]:
                bad.append(name)
        except (ValueError, KeyError, OSError) as error:
            bad.append(f"{name} ({error})")
    return bad


def start(job: Job, ground: Ground, folder: Path) -> tuple[Any, float]:
    """Start a job in a process of its own; the process, and when its work began."""
    reader, writer = FORK.Pipe(duplex=False)

    def work() -> None:
        warnings.simplefilter("ignore")
        writer.send_bytes(b"begun")
        job(ground, folder)
        os._exit(0)  # nothing else that a process does at its end

    process = FORK.Process(target=work)
    process.start()
    reader.recv_bytes()
    return process, time.monotonic()


def to_the_end(job: Job, ground: Ground, folder: Path) -> float:
    """Run a job undisturbed; its seconds."""
    process, begun = start(job, ground, folder)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{job.__name__}: the undisturbed run failed")
    return time.monotonic() - begun


class Row(NamedTuple):
    """What became of the kills of one job."""

    job: str
    kills: int
    struck: int
    went_on: int
    half: int
    differ: int
    seconds: float


def attack(job: Job, ground: Ground, root: Path, kills: int) -> Row:
    """Kill a job so many times, at moments spread over its time, and look."""
    began = time.monotonic()
    undisturbed = root / job.__name__
    undisturbed.mkdir()
    lasts = to_the_end(job, ground, undisturbed)
    whole, models = result(undisturbed), [path.read_bytes() for path in ground.models]
    struck = went_on = half = differ = 0
    for k in range(kills):
        folder = root / f"{job.__name__}_{k}"
        folder.mkdir()
        process, begun = start(job, ground, folder)
        process.join((k + 0.5) / kills * 0.9 * lasts)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            struck += 1
        else:  # this machine is faster than it was
            lasts = min(lasts, time.monotonic() - begun)
        went_on += bool(files(folder))
        if bad := half_written(folder, whole, models):
            half += 1
            print(f"{job.__name__}, kill {k}: half-written: {bad}", file=sys.stderr)
        to_the_end(job, ground, folder)
        again = result(folder)
        if again != whole:
            differ += 1
            names = sorted(n for n in again | whole if again.get(n) != whole.get(n))
            print(f"{job.__name__}, kill {k}: the rerun differs: {names}", file=sys.stderr)
    return Row(job.__name__, kills, struck, went_on, half, differ, time.monotonic() - began)


def main() -> int:
    """Attack all jobs and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="over all jobs (default 50)")
    kills = parser.parse_args().kills
    if kills < len(JOBS):
        parser.error(f"--kills: expected at least {len(JOBS)}, one a job, got {kills}")
    print("job         kills  struck  files left  half-written  reruns that differ  seconds")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        ground = _in_a_fork(root)
        for k, job in enumerate(JOBS):
            share = kills // len(JOBS) + (k < kills % len(JOBS))
            rows.append(attack(job, ground, root, share))
            print(SHOWN.format(*rows[-1]), flush=True)
    total = Row("all", *map(sum, zip(*(row[1:] for row in rows), strict=True)))
    print(SHOWN.format(*total))
    return int(total.half > 0 or total.differ > 0 or total.struck < 0.8 * kills)


def _in_a_fork(root: Path) -> Ground:
    """`prepared`, elsewhere: threads that PyTorch has started do not survive a fork."""
    with FORK.Pool(1) as pool:
        return pool.apply(prepared, (root,))


if __name__ == "__main__":
    sys.exit(main())
