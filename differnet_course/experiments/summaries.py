"""What to read from the table of a run: the mean over seeds, its spread, and where it was made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from differnet_course.published import published_auroc

__all__ = ["as_text", "over_categories", "provenance", "summarise"]


def summarise(table: pd.DataFrame, by: Sequence[str] = ("category", "method")) -> pd.DataFrame:
    """Mean and spread over seeds.

    Args:
        table: of `run`.
        by: columns that tell the rows of the summary apart.

    Returns:
        A row for each combination, in the order of the table, with `auroc` (mean over the seeds
        that succeeded, 0 to 1), `std` (of a sample), `low` and `high`, `seeds`, `failed`,
        `seconds` (mean of fitting and scoring) and the `paper`'s AUROC, where it has one.
    """
    seconds = table["fit_s"].astype(float) + table["score_s"].astype(float)
    table = table.assign(seconds=seconds, auroc=table["auroc"].astype(float))
    groups = table.groupby(list(by), sort=False, dropna=False)
    short = groups["auroc"].agg(auroc="mean", std="std", low="min", high="max", seeds="count")
    short["failed"] = groups.size() - short["seeds"]
    short = short.assign(seconds=groups["seconds"].mean().round(2)).reset_index()
    pairs = zip(short["method"], short["category"], strict=True)
    return short.assign(paper=pd.Series([published_auroc(*pair) for pair in pairs], dtype=float))


def over_categories(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each method: `summarise` of each seed's mean over all categories.

    A seed that lacks a category has no mean.
    """
    categories = list(dict.fromkeys(table["category"]))
    columns = {name: table[name].astype(float) for name in ("auroc", "fit_s", "score_s")}
    groups = table.assign(**columns).groupby(["method", "seed"], sort=False)
    means = groups[list(columns)].mean()
    means["auroc"] = means["auroc"].where(groups["auroc"].count() == len(categories))
    short = summarise(means.reset_index().assign(category=f"mean of {len(categories)}"))
    published = [
        pd.Series([published_auroc(method, category) for category in categories], dtype=float)
        for method in short["method"]
    ]
    return short.assign(paper=[values.mean(skipna=False) for values in published])


def as_text(summary: pd.DataFrame) -> str:
    """A summary for people: AUROC in percent, mean ± standard deviation and range over seeds."""

    def percent(name: str) -> pd.Series:
        return (100 * summary[name]).map("{:.1f}".format).where(summary[name].notna(), "")

    names = [c for c in ("factor", "level", "category", "method", "n_train") if c in summary]
    spread = ("± " + percent("std")).where(summary["std"].notna(), "")
    mean = (percent("auroc") + " " + spread).str.strip()
    shown = summary[names].assign(**{"AUROC %": mean.where(mean != "", "failed")})
    shown["range"] = (percent("low") + " to " + percent("high")).where(summary["low"].notna(), "")
    shown["paper"] = percent("paper")
    return shown.assign(seeds=summary["seeds"], seconds=summary["seconds"]).to_string(index=False)


def provenance(table: pd.DataFrame, study: str) -> str:
    """How to make a table of `run` again, and where it was made, as the table says: three lines.

    Args:
        table: of `run`, or read from its CSV file.
        study: name of the study that made it.
    """
    versions = " and ".join(dict.fromkeys(table["version"]))
    machines = " and ".join(dict.fromkeys(table["machine"]))
    start = str(table["when"].min()).replace("T", " ")[:16]
    end = str(table["when"].max()).replace("T", " ")[:16]
    return (
        f"python -m differnet_course.experiments {study} --categories"
        f" {' '.join(dict.fromkeys(table['category']))} --seeds {table['seed'].max() + 1}\n"
        f"{len(table)} cells, of which {int(table['error'].notna().sum())} failed;"
        f" made from {start} to {end} UTC\n"
        f"differnet_lite {versions} on {machines}"
    )
