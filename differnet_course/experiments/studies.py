"""The paper's studies: what they compare, and what to read from their tables.

No threshold is needed here, so DifferNet trains without held-out images, as the others do.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from differnet_course.experiments.running import Cell
from differnet_course.published import METHODS, published_auroc
from differnet_lite.settings import DEFAULT
from differnet_lite.transforms import Transformations

Options = dict[str, Any]
OWN: dict[str, Options] = {"differnet": {"calibration": "none", "map_images": 0}}

# factor: level: settings; an empty one is the default. Random angles run the trunk anew in every
# epoch, so that pair gets few epochs. Rotations are varied alone, without zooms and shifts.
ONE_BY_ONE: Options = {"pool_views": False, "epochs": 16}
ABLATIONS: dict[str, dict[str, Options]] = {
    "scales": {"1": {"n_scales": 1}, "2": {"n_scales": 2}, "3": {}},
    "rotations": {
        str(n): {"transformations": Transformations.grid(n, zoom=0.0, shift=0.0)}
        for n in (1, 4, 16, 64)
    },
    "width": {str(n): {} if n == DEFAULT.hidden else {"hidden": n} for n in (64, 128, 256, 512)},
    "blocks": {str(n): {} if n == DEFAULT.n_blocks else {"n_blocks": n} for n in (2, 4, 8, 16)},
    "score": {"z² alone": {}, "with log-det": {"use_log_det": True}},
    "views": {"their mean": {}, "one by one": {"pool_views": False}},
    "angles (one by one, 16 epochs)": {
        "fixed": ONE_BY_ONE,
        "random": ONE_BY_ONE
        | {"transformations": Transformations(angles=None, n_train=4, n_test=16)},
    },
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A question, and how to answer it."""

    question: str
    methods: Sequence[str]  # that it compares unless told otherwise
    by: Sequence[str]  # columns of the table that tell the rows of the summary apart
    ablations: Mapping[str, Mapping[str, Options]] = dataclasses.field(default_factory=dict)

    def cells(
        self, categories: Sequence[str | Path], methods: Sequence[str], seeds: Sequence[int]
    ) -> list[Cell]:
        """What to run; cells of ablations have a factor, a level, and whether it is default."""
        variants: list[tuple[Cell, Options]] = [
            ({"factor": factor, "level": level, "default": not settings}, settings)
            for factor, levels in self.ablations.items()
            for level, settings in levels.items()
        ]
        return [
            names
            | {
                "method": method,
                "category": os.path.abspath(folder),
                "seed": seed,
                "options": OWN.get(method, {}) | settings,
            }
            for names, settings in variants or [({}, {})]
            for seed in seeds
            for folder in categories
            for method in methods
        ]

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """`summarise` of a run's table; of table 1 with each method's mean over categories."""
        short = summarise(table, self.by)
        if not self.ablations and table["category"].nunique() > 1:
            return pd.concat([short, _over_categories(table, short)], ignore_index=True)
        return short


STUDIES = {
    "table1": Study(
        "Which method finds the defects of which category?",
        tuple(METHODS),
        ("category", "method"),
    ),
    "ablations": Study(
        "What does each part of DifferNet add? One factor at a time leaves its default.",
        ("differnet",),
        ("factor", "level", "default", "category", "method"),
        ablations=ABLATIONS,
    ),
}


def summarise(table: pd.DataFrame, by: Sequence[str] = ("category", "method")) -> pd.DataFrame:
    """Mean and spread over seeds of a table of `run`, for each combination of the columns `by`.

    Columns are `auroc` (mean over the seeds that succeeded, 0 to 1), `std` (of a sample), `low` and
    `high`, `seeds`, `failed`, `seconds` (mean of fitting and scoring) and the `paper`'s AUROC.
    """
    seconds = table["fit_s"].astype(float) + table["score_s"].astype(float)
    table = table.assign(seconds=seconds, auroc=table["auroc"].astype(float))
    groups = table.groupby(list(by), sort=False, dropna=False)
    short = groups["auroc"].agg(auroc="mean", std="std", low="min", high="max", seeds="count")
    short["failed"] = groups.size() - short["seeds"]
    short = short.assign(seconds=groups["seconds"].mean().round(2)).reset_index()
    pairs = zip(short["method"], short["category"], strict=True)
    return short.assign(paper=pd.Series([published_auroc(*pair) for pair in pairs], dtype=float))


def _over_categories(table: pd.DataFrame, short: pd.DataFrame) -> pd.DataFrame:
    """A row for each method: `summarise` of each seed's mean; where one lacks there is none."""
    columns = ["auroc", "fit_s", "score_s"]
    groups = table.astype(dict.fromkeys(columns, float)).groupby(["method", "seed"], sort=False)
    means = groups[columns].mean()
    means["auroc"] = means["auroc"].where(groups["auroc"].count() == table["category"].nunique())
    papers = short.groupby("method", sort=False)["paper"].agg(pd.Series.mean, skipna=False)
    name = f"mean of {table['category'].nunique()}"
    return summarise(means.reset_index().assign(category=name)).assign(paper=papers.to_numpy())


def as_text(summary: pd.DataFrame) -> str:
    """A summary for people: AUROC in percent, mean ± standard deviation and range over seeds."""

    def percent(name: str) -> pd.Series:
        return (100 * summary[name]).map("{:.1f}".format).where(summary[name].notna(), "")

    names = [c for c in ("factor", "level", "category", "method") if c in summary]
    spread = ("± " + percent("std")).where(summary["std"].notna(), "")
    mean = (percent("auroc") + " " + spread).str.strip()
    shown = summary[names].assign(**{"AUROC %": mean.where(mean != "", "failed")})
    shown["range"] = (percent("low") + " to " + percent("high")).where(summary["low"].notna(), "")
    shown["paper"] = percent("paper")
    return shown.assign(seeds=summary["seeds"], seconds=summary["seconds"]).to_string(index=False)


def provenance(table: pd.DataFrame, study: str) -> str:
    """How to make a table of `run` again, and where it was made: three lines."""
    versions = " and ".join(dict.fromkeys(table["version"]))
    machines = " and ".join(dict.fromkeys(table["machine"]))
    start, end = (str(time).replace("T", " ")[:16] for time in table["when"].agg(["min", "max"]))
    names = ["factor", "level", "default"]  # the default is a level of several factors
    fits = table.drop(columns=names, errors="ignore").drop_duplicates()
    return (
        f"python -m differnet_course.experiments {study} --categories"
        f" {' '.join(dict.fromkeys(table['category']))} --seeds {table['seed'].max() + 1}\n"
        f"{len(fits)} cells, of which {int(fits['error'].notna().sum())} failed;"
        f" made from {start} to {end} UTC\n"
        f"differnet_lite {versions} on {machines}"
    )
