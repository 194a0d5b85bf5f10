"""The share of fit's time that its checks take: listing, one look at each file, groups, notes.

    python benchmarks/checks.py [--images 500 1000 2000 4000]

The photographs are made up: parts of one kind in a regular set, JPEG of 256 px. The checks run on
all of them, and are timed. The features, which are nearly all of the rest, are timed on 24 images
and multiplied: fit's time is taken as features and checks, without training and maps, so the share
is an upper bound.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from differnet_lite import DifferNet
from differnet_lite.groups import group_labels, sequence_note
from differnet_lite.listing import training_set
from differnet_lite.shown import summary_of, survey, white_in

SAMPLE = 24  # images whose features are timed
SIDE = 256


def make_photographs(folder: Path, n: int) -> None:
    """n photographs of a part that varies, is lit differently and has grain."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for i in range(n):
        radius = rng.normal(80, 3)
        part = 90 * (np.hypot(rows - rng.normal(0, 4), columns - rng.normal(0, 4)) < radius)
        coarse = rng.normal(0, 12, (16, 16)).repeat(16, 0).repeat(16, 1)
        grey = (70 + part + coarse) * rng.normal(1, 0.03) + rng.normal(0, 3, (SIDE, SIDE))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05d}.jpg")


def seconds_of_checks(folder: Path) -> dict[str, float]:
    """Seconds of each step that fit does besides features and training."""
    marks = [time.perf_counter()]
    images = training_set(folder).images
    marks.append(time.perf_counter())
    looks = survey(images)
    white_in(looks)
    marks.append(time.perf_counter())
    group_labels(looks)
    marks.append(time.perf_counter())
    sequence_note(torch.randn(len(looks), 768))
    summary_of(looks)
    marks.append(time.perf_counter())
    names = ("listing", "looking", "groups", "notes")
    return dict(zip(names, np.diff(marks).tolist(), strict=True))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[500, 1000, 2000, 4000])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    model = DifferNet(cache=None, progress=False)
    print(
        f"{'images':>7}{'listing':>9}{'looking':>9}{'groups':>9}{'notes':>9}{'features':>10}  share"
    )
    for n in args.images:
        with tempfile.TemporaryDirectory() as made:
            make_photographs(Path(made), n)
            sample = sorted(Path(made).iterdir())[:SAMPLE]
            model.features(sample[:2])  # loads the trunk
            start = time.perf_counter()
            model.features(sample)
            features = (time.perf_counter() - start) * n / len(sample)
            checks = seconds_of_checks(Path(made))
        total = sum(checks.values())
        cells = "".join(f"{seconds:>9.2f}" for seconds in checks.values())
        print(f"{n:>7}{cells}{features:>10.0f}{total / (total + features):>7.2%}", flush=True)


if __name__ == "__main__":
    main()
