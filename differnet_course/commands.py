"""The commands demo and prepare of `differnet-lite`: what they do is the course's."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from differnet_course.evaluation import evaluate
from differnet_course.plots import evaluation_report
from differnet_course.prepare import prepare_mtd, prepare_mvtec
from differnet_course.samples import (
    SAMPLE_CATEGORIES,
    default_data_root,
    make_sample_category,
)
from differnet_lite.checks import rate
from differnet_lite.cli.output import check_output, escaped, print_table
from differnet_lite.detector import DifferNet
from differnet_lite.folders import load_category

__all__ = ["demo", "prepare"]


def demo(args: argparse.Namespace) -> int:
    """Train on a category, compare with its labels, write a report; the exit status 0."""
    start = time.perf_counter()
    alpha = 0.05 if args.alpha is None else rate("--alpha", args.alpha)
    check_output("--report", args.report)
    # a report has a threshold, so something calibrates it whatever the preset says
    rule = "split" if args.preset == "paper" else None
    model = DifferNet(
        args.preset, calibration=rule, seed=args.seed, device=args.device, progress=args.progress
    )
    folder = Path(args.category)
    if args.category in SAMPLE_CATEGORIES:
        folder = make_sample_category(args.category, progress=args.progress)
    category = load_category(folder)
    check_output("--report", args.report, [*category.train, *category.test])
    print(
        f"{escaped(folder)}: {len(category.train)} normal images to train on, "
        f"{len(category.test)} to test",
        flush=True,
    )
    model.fit(category.train)
    result = evaluate(model, category, alpha=alpha, maps=True)
    lines = [*result.table(), ("seconds", f"{time.perf_counter() - start:.0f}")]
    evaluation_report(args.report, model, result, lines)
    if not args.quiet:
        print_table(lines)
    print(f"report: {escaped(args.report)}")
    return 0


def prepare(args: argparse.Namespace) -> int:
    """Write the built-in categories, or a downloaded data set, as folders; the exit status 0.

    Raises:
        ValueError: the data set needs a file that was not named.
    """
    folders: Iterable[Path]
    if args.what == "samples":
        root = args.root or default_data_root()
        folders = (
            make_sample_category(name, root, progress=args.progress) for name in SAMPLE_CATEGORIES
        )
    elif args.source is None:
        raise ValueError(
            f"prepare {args.what} needs the downloaded archive or folder; see data/README.md"
        )
    elif args.what == "mvtec":
        folders = prepare_mvtec(args.source, args.root or "data")
    elif args.split is None:
        raise ValueError(
            "prepare mtd needs --split FILE, the authors' list of training images; see "
            "data/README.md"
        )
    else:
        folders = [prepare_mtd(args.source, args.split, args.root or "data")]
    for folder in folders:
        print(escaped(folder), flush=True)
    return 0
