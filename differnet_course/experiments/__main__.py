"""The command line: `python -m differnet_course.experiments STUDY`.

Studies: table1, few-shot, ablations; promise and epochs, which have files of their own,
`promise_command` and `chosen_epoch`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import plotly.graph_objects as go

from differnet_course.experiments.chosen_epoch import add_epochs, run_epochs
from differnet_course.experiments.promise_command import add_promise, run_promise
from differnet_course.experiments.running import run
from differnet_course.experiments.storing import write_atomically, write_table
from differnet_course.experiments.studies import ABLATIONS, N_TRAIN, STUDIES
from differnet_course.experiments.summaries import as_text
from differnet_course.plots import plot_ablations, plot_comparison, plot_few_shot, write_report
from differnet_course.published import CITATION, METHODS
from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category
from differnet_lite.cluster.connecting import connected
from differnet_lite.trunk import resolve_device

__all__ = ["main"]

PLOTS = {"table1": plot_comparison, "few-shot": plot_few_shot, "ablations": plot_ablations}
QUESTIONS = {
    "table1": "Which method finds the defects of which category?",
    "few-shot": "How many training images does each method need? Each learns from "
    + ", ".join(str(n) for n in N_TRAIN if n)
    + " of them, and from all.",
    "ablations": "What does each part of DifferNet add? One factor at a time leaves its default: "
    + "; ".join(f"{factor}: {', '.join(levels)}" for factor, levels in ABLATIONS.items())
    + ".",
}
WRITES = (
    "Writes into --out: {0}.csv (a row for each fit), {0}-summary.csv (mean and spread over seeds),"
    " {0}.html (the figure), and cells/ (finished fits: interrupt as you like, the same command"
    " goes on). Features are extracted once and kept. See it work first: --quick."
)
DEFAULT_CATEGORIES = ("flange", "weave", "tablet")


def main(arguments: Sequence[str] | None = None, *, make: Callable[..., Any] | None = None) -> int:
    """Run one study.

    Args:
        arguments: of the command line.
        make: makes the detectors, see `run`.

    Returns:
        0 if all went well, 1 if every cell failed, 2 and one line on stderr for bad input, 130
        after Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    warnings.showwarning = _note  # type: ignore[assignment]
    try:
        own = {"promise": run_promise, "epochs": run_epochs}
        return own[args.study](args) if args.study in own else _study(args, make)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"interrupted; finished cells are kept in {args.out},"
            " the same command goes on from there",
            file=sys.stderr,
        )
        return 130


def _note(message: object, *_: object, **__: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _study(args: argparse.Namespace, make: Callable[..., Any] | None) -> int:
    study, out, quiet = STUDIES[args.study], Path(args.out), args.no_progress
    unknown = [method for method in args.methods or () if method not in METHODS]
    if unknown:
        raise ValueError(
            f"--methods: expected some of {', '.join(METHODS)}, got {', '.join(unknown)}"
        )
    if args.scheduler is None:  # a cluster has devices of its own
        resolve_device(args.device)
    seeds = range(args.seeds if args.seeds is not None else 1 if args.quick else 3)
    folders = [
        make_sample_category(name, progress=not quiet) if name in SAMPLE_CATEGORIES else Path(name)
        for name in args.categories
    ]
    grid = study.grid(folders, args.methods or study.methods, seeds, args.quick)
    with _cluster(args.scheduler):
        table = run(
            grid,
            out,
            name=args.study,
            n_jobs=None if args.scheduler else args.jobs,
            device=args.device,
            make=make,
            progress=not quiet,
        )
    summary = study.summary(table, quick=args.quick)
    write_table(summary, out / f"{args.study}-summary")
    figure = PLOTS[args.study](summary, title=study.title)
    _write_figure(out / args.study, study.title, figure, table)
    print(as_text(summary))
    failed = table[table["error"].notna()]
    first_line = failed["error"].str.split("\n").str[0]
    for (method, error), cells in failed.groupby(["method", first_line], sort=False):
        where = ", ".join(dict.fromkeys(cells["category"]))
        print(f"failed: {method}, {len(cells)} cell(s) on {where}: {error}", file=sys.stderr)
    if len(failed):
        print(
            f"{len(failed)} of {len(table)} cells failed; the same command tries them again",
            file=sys.stderr,
        )
    print(f"\n{out / args.study}.csv, {args.study}-summary.csv, {args.study}.html")
    return 1 if len(failed) == len(table) else 0


def _write_figure(path: Path, title: str, figure: go.Figure, table: pd.DataFrame) -> None:
    """`path`.html, which opens offline, and `path`.png where kaleido can draw it."""
    versions = ", ".join(sorted(set(table["version"])))
    made = f"{table['when'].min()} to {table['when'].max()}, differnet_lite {versions}"
    summary = [
        ("cells", f"{len(table)}, of which {int(table['error'].notna().sum())} failed"),
        ("seeds", ", ".join(str(seed) for seed in sorted(set(table["seed"])))),
        ("made", made),
        ("machines", "; ".join(sorted(set(table["machine"])))),
        ("paper", CITATION),
    ]
    notes = (
        "Each test set was scored once, by the model of the last epoch;"
        " nothing was selected on its labels.",
        "The paper's numbers are the best epoch on the test set."
        " The spread is that of the seeds, not that of the test images.",
    )
    write_report(
        path.with_name(path.name + ".html"),
        title=title,
        summary=summary,
        figures=[(title, "", figure)],
        notes=notes,
    )
    if importlib.util.find_spec("kaleido") is not None:
        try:
            write_atomically(
                path.with_name(path.name + ".png"), figure.to_image("png", width=1000, scale=2)
            )
        except Exception as error:  # it needs a browser
            warnings.warn(
                f"no PNG was drawn ({str(error).strip().splitlines()[0]});"
                " the HTML file holds the figure",
                stacklevel=2,
            )


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """joblib on the Dask cluster at this address; on local processes without one."""
    if address is None:
        yield
        return
    with connected(address), joblib.parallel_config(backend="dask"):
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m differnet_course.experiments",
        description="The studies of the paper, each with a table and a figure.",
    )
    studies = parser.add_subparsers(required=True, metavar="STUDY", dest="study")
    for name, study in STUDIES.items():
        made = studies.add_parser(
            name, help=study.title, description=f"{QUESTIONS[name]} {WRITES.format(name)}"
        )
        made.add_argument(
            "--categories",
            nargs="+",
            default=DEFAULT_CATEGORIES,
            metavar="CATEGORY",
            help=f"built-in names ({', '.join(SAMPLE_CATEGORIES)}) or folders in the MVTec layout"
            f" (default: {' '.join(DEFAULT_CATEGORIES)})",
        )
        if len(study.methods) > 1:
            made.add_argument(
                "--methods",
                nargs="+",
                metavar="METHOD",
                help=f"some of {', '.join(METHODS)} (default: {' '.join(study.methods)})",
            )
        else:
            made.set_defaults(methods=None)
        made.add_argument(
            "--seeds", type=int, help="number of seeds, from 0 (default 3; 1 with --quick)"
        )
        made.add_argument(
            "--out",
            default="results",
            help="folder for tables, figures and finished cells (default results)",
        )
        made.add_argument(
            "--jobs", type=int, default=-1, help="local processes (default: one a core)"
        )
        made.add_argument(
            "--scheduler",
            metavar="tcp://HOST:PORT",
            help="run on this Dask cluster; its workers need the images at the same paths",
        )
        made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        made.add_argument(
            "--quick",
            action="store_true",
            help="few epochs, one seed: to see that all works, not to compare",
        )
        made.add_argument("--no-progress", action="store_true", help="no progress bars")
    add_promise(studies)
    add_epochs(studies)
    return parser


if __name__ == "__main__":
    sys.exit(main())
