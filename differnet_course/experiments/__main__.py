"""The command line: `python -m differnet_course.experiments STUDY`."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import joblib
import pandas as pd

from differnet_course.experiments.chosen_epoch import last_and_best, run_epochs
from differnet_course.experiments.promise import run_promise
from differnet_course.experiments.running import run
from differnet_course.experiments.studies import STUDIES, as_text
from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category
from differnet_lite.settings import PRESETS

QUESTIONS = {name: study.question for name, study in STUDIES.items()} | {
    "epochs": "What does a figure owe to choosing the epoch on the test set?",
    "promise": "Is the promise kept? False-alarm rates of four rules on fresh normal images.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one study; 0 if all went well, 1 if every cell failed, 2 for bad input."""
    options = vars(_parser().parse_args(arguments))
    study = options.pop("study")
    out = Path(options.pop("out"))
    try:
        out.mkdir(parents=True, exist_ok=True)
        folders = [
            make_sample_category(name) if name in SAMPLE_CATEGORIES else Path(name)
            for name in options.pop("categories")
        ]
        if study in STUDIES:
            return _compare(study, folders, out, **options)
        if study == "epochs":
            print(last_and_best(run_epochs(folders, out, **options)).round(4).to_string())
            return 0
        for cell in run_promise(folders, out, **options):
            print(f"\n{cell['category']}, n = {cell['n']}")
            print(pd.DataFrame(cell["rates"]).to_string(index=False))
        return 0
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _compare(
    name: str,
    folders: Sequence[Path],
    out: Path,
    *,
    methods: Sequence[str] | None,
    seeds: int,
    jobs: int,
    scheduler: str | None,
) -> int:
    study = STUDIES[name]
    cells = study.cells(folders, methods or study.methods, range(seeds))
    with contextlib.ExitStack() as stack:
        if scheduler:
            from distributed import Client

            stack.enter_context(Client(scheduler, timeout=10))
            stack.enter_context(joblib.parallel_config(backend="dask"))
        table = run(cells, out, name=name, n_jobs=None if scheduler else jobs)
    print(as_text(study.summary(table)))
    failed = table[table["error"].notna()]
    for (method, error), rows in failed.groupby(["method", "error"], sort=False):
        print(f"failed: {method}, {len(rows)} cell(s): {error}", file=sys.stderr)
    return 1 if len(failed) == len(table) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m differnet_course.experiments",
        description="The studies of the paper. Each writes a table into --out, and goes on there "
        "after an interruption.",
    )
    studies = parser.add_subparsers(required=True, metavar="STUDY", dest="study")
    built_in = ", ".join(SAMPLE_CATEGORIES)
    for name, question in QUESTIONS.items():
        style = argparse.ArgumentDefaultsHelpFormatter
        command = studies.add_parser(
            name, help=question, description=question, formatter_class=style
        )
        add = command.add_argument
        text = f"built-in names ({built_in}) or folders in the MVTec layout"
        add("--categories", nargs="+", default=["flange"], metavar="CATEGORY", help=text)
        add("--out", default="results", help="folder for the results")
        if name == "promise":
            add("--sizes", nargs="+", type=int, default=[20, 50, 100, 200], help="normal images")
            add("--repetitions", type=int, default=300, help="of each size")
            add("--normals", dest="n_normals", type=int, default=2000, help="fresh normal images")
            continue
        add("--seeds", type=int, default=3, help="number of seeds, from 0")
        if name == "epochs":
            add("--preset", choices=list(PRESETS), default="paper", help="of the model")
            add("--views", type=int, metavar="N", help="N random views, the same in all epochs")
        else:
            add("--methods", nargs="+", choices=STUDIES[name].methods, help="some of the methods")
            add("--jobs", type=int, default=-1, help="local processes, -1 for one a core")
            add("--scheduler", metavar="tcp://HOST:PORT", help="run on this Dask cluster")
    return parser


if __name__ == "__main__":
    sys.exit(main())
