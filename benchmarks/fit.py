"""Seconds of `fit` on 50 photographs, beside another checkout of this project, in one run.

    python benchmarks/fit.py OTHER_CHECKOUT [PHOTOGRAPHS] [--repeats 3]

Both checkouts fit the same 50 photographs (default: the built-in flange) in turn, each in a process
of its own: first with an empty feature cache, so that the features are computed, and then with the
features stored. Reported are medians over the repeats, without the seconds of the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
FIT = """
import json, sys, time
from pathlib import Path
from differnet_lite import DifferNet
paths = [Path(name) for name in json.loads(sys.argv[1])]
for _ in ("features computed", "features stored"):
    start = time.perf_counter()
    model = DifferNet(cache=sys.argv[2], progress=False).fit(paths)
    print(time.perf_counter() - start)
path = model.save(Path(sys.argv[2]) / "model.safetensors")
print(path.stat().st_size / 1e6)
"""
FIGURES = ("features computed, s", "features stored, s", "model file, MB")


def fit(checkout: Path, photographs: list[str]) -> list[float]:
    """The figures of one run of a checkout's package."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", FIT, json.dumps(photographs), cache],
            cwd=cache,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [float(line) for line in done.stdout.splitlines()[-len(FIGURES) :]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="folder of another checkout")
    parser.add_argument("photographs", type=Path, nargs="?", help="folder of photographs")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    other = args.other.resolve()
    if not (other / "differnet_lite" / "__init__.py").is_file():
        parser.error(f"{args.other}: expected a checkout with a folder differnet_lite")
    folder = args.photographs
    if folder is None:
        from differnet_course.samples import make_sample_category

        folder = make_sample_category("flange") / "train" / "good"
    photographs = [str(path.resolve()) for path in sorted(folder.iterdir())][:50]
    runs: dict[Path, list[list[float]]] = {other: [], HERE: []}
    for _ in range(args.repeats):
        for checkout, figures in runs.items():  # in turn, so that both meet the same load
            figures.append(fit(checkout, photographs))
    print(f"{len(photographs)} photographs of {folder}")
    print(f"{'':<24}{'other':>10}{'this':>10}{'this / other':>16}")
    for k, name in enumerate(FIGURES):
        before = statistics.median(run[k] for run in runs[other])
        after = statistics.median(run[k] for run in runs[HERE])
        print(f"{name:<24}{before:>10.1f}{after:>10.1f}{after / before:>16.2f}")


if __name__ == "__main__":
    main()
