"""The command line: `python -m differnet_course.experiments STUDY`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib

from differnet_course.baselines import make_detector
from differnet_course.experiments.chosen_epoch import run_epochs
from differnet_course.experiments.promise import DETECTORS, run_promise
from differnet_course.experiments.running import run, write_table
from differnet_course.experiments.studies import STUDIES
from differnet_course.experiments.summaries import as_text, provenance
from differnet_course.plots import plot_ablations, plot_comparison, plot_few_shot, write_report
from differnet_course.published import CITATION
from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category
from differnet_lite.settings import DEFAULT, PRESETS

__all__ = ["main"]

PLOTS = {"table1": plot_comparison, "few-shot": plot_few_shot, "ablations": plot_ablations}
QUESTIONS = {
    "table1": "Which method finds the defects of which category?",
    "few-shot": "How many training images does each method need?",
    "ablations": "What does each part of DifferNet add? One factor at a time leaves its default.",
    "epochs": "What does a figure owe to choosing the epoch on the test set? Writes epochs.csv.",
    "promise": "Is the promise kept? False-alarm rates of every rule on fresh normal images. "
    "Writes promise.json.",
}
WRITES = (
    "Writes into --out: {0}.csv (a row for each fit), {0}-summary.csv (mean and spread over seeds),"
    " {0}.html (the figure), and cells/ (finished fits)."
)
GOES_ON = " Interrupt as you like, the same command goes on."


def main(
    arguments: Sequence[str] | None = None, *, make: Callable[..., Any] = make_detector
) -> int:
    """Run one study; `make` makes its detectors.

    Returns:
        0 if all went well, 1 if every cell failed, 2 and one line on stderr for bad input, 130
        after Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    args.progress = not args.no_progress
    try:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        folders = [
            make_sample_category(name, progress=args.progress)
            if name in SAMPLE_CATEGORIES
            else Path(name)
            for name in args.categories
        ]
        if args.study in STUDIES:
            return _study(args, folders, make)
        run_epochs(args, folders) if args.study == "epochs" else run_promise(args, folders)
        return 0
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; finished cells are kept in {args.out}", file=sys.stderr)
        return 130


def _study(args: argparse.Namespace, folders: list[Path], make: Callable[..., Any]) -> int:
    study = STUDIES[args.study]
    out = Path(args.out)
    cells = study.cells(folders, args.methods or study.methods, range(args.seeds))
    with contextlib.ExitStack() as stack:
        if args.scheduler:
            from distributed import Client

            stack.enter_context(Client(args.scheduler, timeout=10))
            stack.enter_context(joblib.parallel_config(backend="dask"))
        table = run(
            cells,
            out,
            name=args.study,
            n_jobs=None if args.scheduler else args.jobs,
            device=args.device,
            make=make,
            progress=args.progress,
        )
    summary = study.summary(table)
    write_table(summary, out / f"{args.study}-summary.csv")
    write_report(
        out / f"{args.study}.html",
        title=study.title,
        summary=[("made", provenance(table, args.study)), ("paper", CITATION)],
        figures=[(study.title, "", PLOTS[args.study](summary, title=study.title))],
        notes=(
            "Each test set was scored once, by the model of the last epoch;"
            " nothing was selected on its labels.",
            "The paper's numbers are the best epoch on the test set."
            " The spread is that of the seeds, not that of the test images.",
        ),
    )
    print(as_text(summary))
    failed = table[table["error"].notna()]
    for (method, error), rows in failed.groupby(["method", "error"], sort=False):
        print(f"failed: {method}, {len(rows)} cell(s): {error}", file=sys.stderr)
    print(f"\n{out / args.study}.csv, {args.study}-summary.csv, {args.study}.html")
    return 1 if len(failed) == len(table) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m differnet_course.experiments",
        description="The studies of the paper, each with a table and a figure.",
    )
    studies = parser.add_subparsers(required=True, metavar="STUDY", dest="study")
    built_in = ", ".join(SAMPLE_CATEGORIES)
    for name, question in QUESTIONS.items():
        writes = WRITES.format(name) if name in STUDIES else ""
        command = studies.add_parser(
            name,
            help=question,
            description=f"{question} {writes}{GOES_ON}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        add = command.add_argument
        text = f"built-in names ({built_in}) or folders in the MVTec layout"
        add("--categories", nargs="+", default=["flange"], metavar="CATEGORY", help=text)
        add("--out", default="results", help="folder for the results")
        add("--device", default="auto", help="auto, cpu, cuda or mps")
        add("--no-progress", action="store_true", help="no progress bars")
        if name in STUDIES:
            add("--methods", nargs="+", choices=STUDIES[name].methods, help="some of the methods")
            add("--seeds", type=int, default=3, help="number of seeds, from 0")
            add("--jobs", type=int, default=-1, help="local processes, -1 for one a core")
            add("--scheduler", metavar="tcp://HOST:PORT", help="run on this Dask cluster")
        elif name == "epochs":
            add("--preset", choices=list(PRESETS), default="paper", help="of the model")
            add("--views", type=int, metavar="N", help="N random views, the same in all epochs")
            add("--epochs", type=int, help="those of the preset")
            add("--seeds", type=int, default=5, help="number of seeds, from 0")
        else:
            add("--detector", choices=list(DETECTORS), default="mahalanobis", help="what learns")
            add("--sizes", nargs="+", type=int, default=[20, 50, 100, 200], help="normal images")
            add("--repetitions", type=int, default=300, help="of each size")
            add("--normals", type=int, default=2000, help="fresh ones of a built-in category")
            add("--epochs", type=int, default=DEFAULT.epochs, help="of the flow")
            add("--learning-rate", type=float, default=DEFAULT.learning_rate, help="of the flow")
            add("--seed", type=int, default=0, help="of the draws")
    return parser


if __name__ == "__main__":
    sys.exit(main())
