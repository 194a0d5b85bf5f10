"""One honest protocol on any category in the MVTec layout: several seeds, no test peeking.

    python benchmarks/real_data.py FOLDER [FOLDER ...] --seeds 5 --maps --out results/real_data.json

For each seed: train on the normals, take the last epoch, calibrate the threshold on normals, then
score the test set once. The first seed runs without kept features, so its seconds are those of
everything: features, training, scoring. With --maps the anomaly maps of the first seed are
measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from differnet_course import evaluate, load_category
from differnet_lite import DifferNet, __version__

FIGURES = ("auroc", "average_precision", "false_alarm_rate", "detection_rate")


def run(folder: Path, *, preset: str, seeds: int, maps: bool) -> dict:
    """All seeds on one category: a dict of plain numbers."""
    category = load_category(folder)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(seeds):
            start = time.perf_counter()
            model = DifferNet(preset, seed=seed, cache=cache).fit(folder)
            fitted = time.perf_counter()
            scores = model.anomaly_scores(category.test)
            scored = time.perf_counter()
            result = evaluate(model, category, scores=scores, maps=maps and seed == 0)
            row = {
                "seed": seed,
                "auroc": result.auroc.value,
                "auroc_interval": [result.auroc.low, result.auroc.high],
                "average_precision": result.average_precision.value,
                "threshold": str(result.threshold),
                "false_alarm_rate": result.false_alarm_rate,
                "detection_rate": result.detection_rate,
                "by_kind": result.by_kind,
                "pixel_auroc": result.pixel_auroc,
                "aupro": result.aupro,
                "fit_s": fitted - start,
                "score_s": scored - fitted,
            }
            rows.append(row)
            print(f"{category.name} seed {seed}: {result.auroc}, fit {row['fit_s']:.1f} s")
    return {
        "category": category.name,
        "preset": preset,
        "n_train": len(category.train),
        "n_test": len(category.test),
        "leaks": len(category.leaks()),
        "seeds": rows,
    }


def print_table(records: list[dict]) -> None:
    """Means over seeds; seconds and pixel figures of the first."""
    print(
        f"\n{'category':<16}{'AUROC':>8}{'+-':>8}{'AP':>8}{'FPR':>8}{'TPR':>8}{'s':>8}{'AUPRO':>8}"
    )
    for record in records:
        rows = record["seeds"]
        area, precision, *rates = (np.mean([row[name] for row in rows]) for name in FIGURES)
        spread = np.std([row["auroc"] for row in rows], ddof=1) if len(rows) > 1 else np.nan
        first = rows[0]
        aupro = np.nan if first["aupro"] is None else first["aupro"]
        print(
            f"{record['category']:<16}{area:>8.4f}{spread:>8.4f}{precision:>8.4f}{rates[0]:>8.3f}"
            f"{rates[1]:>8.3f}{first['fit_s'] + first['score_s']:>8.1f}{aupro:>8.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="categories in the MVTec layout")
    parser.add_argument("--preset", default="default", choices=["default", "paper"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--maps", action="store_true", help="measure maps where masks are (seed 0)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    records = [
        run(folder, preset=args.preset, seeds=args.seeds, maps=args.maps) for folder in args.folders
    ]
    print_table(records)
    if args.out:
        made = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "machine": f"{platform.machine()}, torch {torch.__version__}",
        }
        args.out.write_text(json.dumps(made | {"records": records}, indent=1))


if __name__ == "__main__":
    main()
