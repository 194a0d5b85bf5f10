"""One honest protocol on any category in the MVTec layout: several seeds, no test peeking.

    python benchmarks/real_data.py FOLDER [FOLDER ...] --seeds 5 --maps --out results/real_data.json

For each seed: hold out normals, train on the rest, take the last epoch, calibrate the threshold on
the held-out normals, then score the test set once. Labels meet the scores in the final metrics
only. The first seed runs without kept features, so its seconds are those of everything: features,
training, scoring. With --maps the anomaly maps of the first seed are measured, and all methods of
drawing are compared on some images.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from differnet_lite import Category, DifferNet, __version__, evaluate, load_category
from differnet_lite.localizer import METHODS


def run(folder: Path, *, preset: str, seeds: int, maps: bool, gradient_every: int) -> dict:
    """All seeds on one category: a dict of plain numbers."""
    category = load_category(folder)
    record: dict = {
        "category": category.name,
        "preset": preset,
        "n_train": len(category.train),
        "n_test": len(category.test),
        "seeds": [],
    }
    leaks = category.leaks()
    if leaks:
        print(
            f"{category.name}: {len(leaks)} test image(s) are also in the training set,"
            f" e.g. {leaks[0][0]}"
        )
    record["leaks"] = len(leaks)
    with tempfile.TemporaryDirectory() as cache:
        for seed in range(seeds):
            start = time.perf_counter()
            model = DifferNet(preset, seed=seed, cache=cache).fit(folder)
            fitted = time.perf_counter()
            model.anomaly_scores(category.test)
            scored = time.perf_counter()
            result = evaluate(model, category, alpha=0.05)
            entry = {
                "seed": seed,
                "auroc": result.auroc.value,
                "auroc_interval": [result.auroc.low, result.auroc.high],
                "average_precision": result.average_precision.value,
                "theta": result.threshold.value,
                "alpha": result.threshold.alpha,
                "guaranteed": result.threshold.guaranteed,
                "n_calibration": result.threshold.n,
                "false_alarm_rate": result.false_alarm_rate,
                "detection_rate": result.detection_rate,
                "by_kind": result.by_kind,
                "fit_s": fitted - start,
                "score_s": scored - fitted,
                "features_were_kept": seed > 0,
            }
            if maps and seed == 0 and category.has_masks:
                start = time.perf_counter()
                drawn = evaluate(model, category, maps=True)
                entry |= {
                    "pixel_auroc": drawn.pixel_auroc,
                    "aupro": drawn.aupro,
                    "map_s_per_image": (time.perf_counter() - start) / len(category.test),
                }
                some = every_nth(category, gradient_every)
                for method in METHODS:
                    part = evaluate(model, some, maps=True, method=method)
                    entry[f"{method}_every_{gradient_every}"] = {
                        "pixel_auroc": part.pixel_auroc,
                        "aupro": part.aupro,
                        "images": len(some.test),
                    }
            record["seeds"].append(entry)
            print(
                f"{category.name} seed {seed}: AUROC {entry['auroc']:.4f}"
                f"  fit {entry['fit_s']:.1f} s  scoring {entry['score_s']:.1f} s",
                flush=True,
            )
    values = [entry["auroc"] for entry in record["seeds"]]
    record["auroc_mean"], record["auroc_std"] = (
        float(np.mean(values)),
        float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )
    return record


def every_nth(category: Category, every: int) -> Category:
    """Every n-th test image of a category."""
    return dataclasses.replace(
        category,
        test=category.test[::every],
        kinds=category.kinds[::every],
        masks=category.masks[::every],
    )


def print_table(records: list[dict]) -> None:
    print(
        f"\n{'category':<16}{'AUROC mean':>11}{'std':>8}{'min':>8}{'max':>8}"
        f"{'FPR @5%':>9}{'TPR':>7}{'all in, s':>11}{'pix AUROC':>11}{'AUPRO':>8}"
    )
    for r in records:
        values = [e["auroc"] for e in r["seeds"]]
        first = r["seeds"][0]
        std = f"{r['auroc_std']:.4f}" if r["auroc_std"] is not None else "-"
        pixel = [
            f"{first[k]:.3f}" if first.get(k) is not None else "-" for k in ("pixel_auroc", "aupro")
        ]
        false_alarms, detections = (
            np.mean([e[k] for e in r["seeds"]]) for k in ("false_alarm_rate", "detection_rate")
        )
        print(
            f"{r['category']:<16}{r['auroc_mean']:>11.4f}{std:>8}{min(values):>8.4f}"
            f"{max(values):>8.4f}{false_alarms:>9.3f}{detections:>7.3f}"
            f"{first['fit_s'] + first['score_s']:>11.1f}{pixel[0]:>11}{pixel[1]:>8}"
        )
        for key in [k for k in first if "_every_" in k]:
            print(
                f"    maps by {key}: pixel AUROC {first[key]['pixel_auroc']:.3f},"
                f" AUPRO {first[key]['aupro']:.3f} ({first[key]['images']} images)"
            )
        print(
            "    by kind: "
            + ", ".join(
                f"{k} {np.mean([e['by_kind'][k] for e in r['seeds']]):.3f}"
                for k in first["by_kind"]
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="categories in the MVTec layout")
    parser.add_argument("--preset", default="default", choices=["default", "paper"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--maps", action="store_true", help="draw and measure maps where masks are (seed 0)"
    )
    parser.add_argument(
        "--gradient-every",
        type=int,
        default=4,
        help="compare the methods of drawing on every n-th test image",
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    records = [
        run(
            f,
            preset=args.preset,
            seeds=args.seeds,
            maps=args.maps,
            gradient_every=args.gradient_every,
        )
        for f in args.folders
    ]
    print_table(records)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        machine = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cpu": platform.machine(),
            "cuda": torch.cuda.is_available(),
        }
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        args.out.write_text(
            json.dumps(
                {"when": when, "version": __version__, "machine": machine, "records": records},
                indent=1,
            )
        )
        print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
