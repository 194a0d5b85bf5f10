"""One honest protocol on any category in the MVTec layout: several seeds, no test peeking.

    python benchmarks/real_data.py FOLDER [FOLDER ...] --seeds 5 --maps

For each seed: train on the normals, take the last epoch, calibrate the threshold on normals, then
score the test set once. The first seed runs without kept features, so its seconds are those of
everything: features, training, scoring. With --maps the anomaly maps of the first seed are
measured, and three ways to decide: by the score, by the highest place of the map, each at 5 %, or
by either of them, each at 2.5 % (or the smallest rate that can be promised).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np

from differnet_course import evaluate, load_category
from differnet_lite import DifferNet

HEADS = ("AUROC", "+-", "AP", "FPR", "TPR", "s", "pixel", "AUPRO", "AUPIMO")


def figures(folder: Path, *, preset: str, seeds: int, maps: bool) -> list[float]:
    """The figures of a category: means over seeds; seconds and those of maps are the first's."""
    category = load_category(folder)
    results = []
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(seeds):
            start = time.perf_counter()
            model = DifferNet(preset, seed=seed, cache=cache).fit(folder)
            scores = model.anomaly_scores(category.test)
            seconds.append(time.perf_counter() - start)
            result = evaluate(model, category, scores=scores, maps=maps and seed == 0)
            results.append(result)
            print(f"{category.name} seed {seed}: {result.auroc}, {seconds[-1]:.1f} s", flush=True)
            if result.maps is not None:
                print_decisions(model, scores, result.maps.max(axis=(1, 2)), category.labels)
    areas = [result.auroc.value for result in results]
    first = results[0]
    return [
        float(np.mean(areas)),
        float(np.std(areas, ddof=1)) if seeds > 1 else math.nan,
        float(np.mean([result.average_precision.value for result in results])),
        float(np.mean([result.false_alarm_rate for result in results])),
        float(np.mean([result.detection_rate for result in results])),
        seconds[0],
        *(value or math.nan for value in (first.pixel_auroc, first.aupro, first.aupimo)),
    ]


def print_decisions(
    model: DifferNet, scores: np.ndarray, peaks: np.ndarray, labels: np.ndarray
) -> None:
    """Flagged images by score, by the highest value of the map, and by either at half the rate."""

    def flagged(alpha: float) -> tuple[np.ndarray, np.ndarray]:
        level = model.map_levels(alpha, if_too_few="fallback").level
        return scores >= model.threshold(alpha, if_too_few="fallback").value, peaks >= level

    by_score, by_map = flagged(0.05)
    either = np.logical_or(*flagged(0.025))
    for name, flags in (("score", by_score), ("map", by_map), ("either", either)):
        defects = f"{flags[labels].sum()} of {labels.sum()} defects"
        print(f"  by {name}: {defects}, {flags[~labels].sum()} of {(~labels).sum()} good")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="categories in the MVTec layout")
    parser.add_argument("--preset", default="default", choices=["default", "paper"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--maps", action="store_true", help="measure maps where masks are (seed 0)")
    args = parser.parse_args()
    table = {
        folder.name: figures(folder, preset=args.preset, seeds=args.seeds, maps=args.maps)
        for folder in args.folders
    }
    print(f"\n{'category':<16}" + "".join(f"{head:>8}" for head in HEADS))
    for name, values in table.items():
        print(f"{name:<16}" + "".join(f"{value:>8.3f}" for value in values))


if __name__ == "__main__":
    main()
