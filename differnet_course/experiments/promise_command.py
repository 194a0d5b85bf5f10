"""The command `promise`: false-alarm rates of every rule, stored after each number of images."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import Any

from differnet_course.experiments.normals import feature_pool
from differnet_course.experiments.promise import SIZES, keep_cells, simulated_cell
from differnet_course.experiments.repetitions import DETECTORS
from differnet_course.plots import plot_promise, write_report
from differnet_course.samples import SAMPLE_CATEGORIES
from differnet_lite.settings import DEFAULT

__all__ = ["add_promise", "run_promise"]

QUESTION = (
    "Is the promise kept? n normal images are drawn from a pool of fresh ones, every rule sets its "
    "threshold, and others of the pool are judged. Writes into --out: promise.json (a cell for "
    "each category, detector and n; other cells of the file stay, and the same command goes on "
    "where it was interrupted) and promise.html."
)
RATES = ("rule", "mean", "error", "low", "high", "exceeds", "detected")


def add_promise(studies: Any) -> None:
    """Add the command to the sub-parsers of argparse."""
    made = studies.add_parser("promise", help="Is the promise kept?", description=QUESTION)
    made.add_argument(
        "--categories",
        nargs="+",
        default=["flange", "tablet"],
        metavar="CATEGORY",
        help=f"built-in names ({', '.join(SAMPLE_CATEGORIES)}), or folders in the MVTec layout, "
        "whose training images are then the pool (default: flange tablet)",
    )
    made.add_argument("--detector", choices=list(DETECTORS), default="mahalanobis")
    made.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="N")
    made.add_argument("--repetitions", type=int, default=300, help="of each n (default 300)")
    made.add_argument("--normals", type=int, default=2000, help="fresh ones (default 2000)")
    made.add_argument("--minutes", type=float, help="of each n at most; then fewer repetitions")
    for name in ("epochs", "learning_rate"):
        value = getattr(DEFAULT, name)
        flag, kind = f"--{name.replace('_', '-')}", type(value)
        made.add_argument(flag, type=kind, default=value, help=f"of the flow (default {value})")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--out", default="results", help="folder (default results)")
    made.add_argument("--no-progress", action="store_true", help="no progress bars")


def run_promise(args: argparse.Namespace) -> int:
    """Measure and keep one cell after the other; 0 when all are there."""
    settings = dataclasses.replace(DEFAULT, epochs=args.epochs, learning_rate=args.learning_rate)
    out, progress = Path(args.out) / "promise.json", not args.no_progress
    out.parent.mkdir(parents=True, exist_ok=True)
    for category in args.categories:
        pool, name = None, Path(category).name
        for n in args.sizes:
            command = _command(args, name, n)
            if any(cell["command"] == command for cell in keep_cells(out, [], "")):
                continue
            if pool is None:
                pool = feature_pool(category, args.normals, seed=args.seed, progress=progress)
            cell = simulated_cell(
                pool,
                name,
                args.detector,
                n,
                args.repetitions,
                settings=settings,
                seed=args.seed,
                minutes=args.minutes,
                progress=progress,
            )
            keep_cells(out, [cell], command)
            print(_text(cell), flush=True)
    _report(keep_cells(out, [], ""), out.with_suffix(".html"))
    print(f"\n{out}, promise.html")
    return 0


def _command(args: argparse.Namespace, name: str, n: int) -> str:
    """The command that makes one cell, without the folders of this machine."""
    flow = f" --epochs {args.epochs} --learning-rate {args.learning_rate}"
    return (
        f"python -m differnet_course.experiments promise --categories {shlex.quote(name)}"
        f" --detector {args.detector} --sizes {n} --repetitions {args.repetitions}"
        f" --normals {args.normals} --seed {args.seed}{flow if args.detector == 'flow' else ''}"
    )


def _text(cell: dict[str, Any]) -> str:
    areas = ", ".join(f"{name} {area[0]:.3f}" for name, area in cell["auroc"].items())
    lines = [
        f"\n{cell['category']}, {cell['detector']}, n = {cell['n']} ({cell['held_out']} held out),"
        f" {cell['repetitions']} repetitions; AUROC {areas};"
        f" out-of-fold scores {cell['excess']:+.1%}",
        "alpha  rule           rate +- error    8 sets in 10     above alpha  detected",
    ]
    for row in cell["rates"]:
        head = f"{row['alpha']:5.0%}  {row['rule']:13}"
        if row["mean"] is None:
            lines.append(f"{head}  too few scores")
            continue
        _, mean, error, low, high, exceeds, detected = (row[name] for name in RATES)
        lines.append(
            f"{head}  {mean:5.2%} +- {error or 0:5.2%}  {low:6.1%} to {high:5.1%}"
            f"  {exceeds:10.0%}  {detected:8.0%}"
        )
    return "\n".join(lines)


def _report(cells: list[dict[str, Any]], path: Path) -> None:
    """A page with a figure for each category and detector."""
    pairs = sorted({(cell["category"], cell["detector"]) for cell in cells})
    made = sorted(cell["when"] for cell in cells)
    write_report(
        path,
        title="Is the promise kept?",
        summary=[
            ("cells", str(len(cells))),
            ("made", f"{made[0]} to {made[-1]}, differnet_lite {cells[-1]['version']}"),
        ],
        figures=[
            (
                f"{category}, {detector}",
                "",
                plot_promise(cells, category=category, detector=detector),
            )
            for category, detector in pairs
        ],
        notes=(
            "Each rate is measured on normal images that no detector and no threshold has seen.",
            "A standard error says how well the mean over repetitions is known for this pool.",
        ),
    )
