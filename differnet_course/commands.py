"""The commands demo, evaluate and prepare of `differnet-lite`: what they do is the course's."""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

from differnet_course import evaluation
from differnet_course.folders import load_category
from differnet_course.plots import evaluation_report
from differnet_course.prepare import prepare_mtd
from differnet_course.samples import SAMPLE_CATEGORIES, default_data_root, make_sample_category
from differnet_lite.checks import rate
from differnet_lite.cli.output import check_output, escaped, print_table
from differnet_lite.cli.scoring import UNREADABLE, scored
from differnet_lite.detector import DifferNet

__all__ = ["demo", "evaluate", "prepare"]


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
    result = evaluation.evaluate(model, category, alpha=alpha, maps=True)
    lines = [*result.table(), ("seconds", f"{time.perf_counter() - start:.0f}")]
    evaluation_report(args.report, model, result, lines)
    if not args.quiet:
        print_table(lines)
    print(f"report: {escaped(args.report)}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Compare a saved model with the labels of a folder; the exit status 0, or 3 as of score."""
    start = time.perf_counter()
    alpha = 0.05 if args.alpha is None else rate("--alpha", args.alpha)
    category = load_category(args.folder)
    evaluation.check_labels(category)
    check_output("--report", args.report, [Path(args.model), *category.test])
    model = DifferNet.load(args.model, device=args.device, progress=False)
    model.threshold(alpha, if_too_few="fallback")  # refuses before the work, not after it
    results = list(scored(model, category.test))
    readable = [i for i, (_, _, error) in enumerate(results) if not error]
    for path, _, error in results:
        if error:
            print(f"not scored: {escaped(path)}: {escaped(error)}", file=sys.stderr)
    category = dataclasses.replace(
        category,
        test=tuple(category.test[i] for i in readable),
        kinds=tuple(category.kinds[i] for i in readable),
        masks=tuple(category.masks[i] for i in readable),
    )
    scores = np.array([results[i][1] for i in readable], float)
    normal = [path for path, bad in zip(category.test, category.labels, strict=True) if not bad]
    of_normal = model.calibration_.judge(scores[~category.labels], alpha, if_too_few="fallback")
    for note in model.notes(normal, of_normal):
        print(f"note: {note}", file=sys.stderr)
    result = evaluation.evaluate(
        model, category, alpha=alpha, maps=bool(args.report), scores=scores
    )
    lines = [*result.table(), ("seconds", f"{time.perf_counter() - start:.0f}")]
    if args.report:
        evaluation_report(args.report, model, result, lines)
    if not args.quiet:
        print_table(lines)
    return 0 if len(readable) == len(results) else UNREADABLE


def prepare(args: argparse.Namespace) -> int:
    """Write the built-in categories, or the Magnetic Tile Defects, as folders; exit status 0.

    Raises:
        ValueError: the clone or the split was not named.
    """
    if args.what == "samples":
        root = args.root or default_data_root()
        for name in SAMPLE_CATEGORIES:
            print(escaped(make_sample_category(name, root, progress=args.progress)), flush=True)
        return 0
    if args.source is None or args.split is None:
        raise ValueError("prepare mtd needs a clone and --split FILE; see data/README.md")
    print(escaped(prepare_mtd(args.source, args.split, args.root or "data")))
    return 0
