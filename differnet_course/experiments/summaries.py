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
        that succeeded), `std` (of a sample; none for one seed), `low` and `high` (smallest and
        largest), `seeds`, `failed`, `seconds` (mean of fitting and scoring) and the `paper`'s
        AUROC, where it has one. AUROC from 0 to 1.
    """
    table = table.assign(
        seconds=table["fit_s"].astype(float) + table["score_s"].astype(float),
        auroc=table["auroc"].astype(float),
    )
    groups = table.groupby(list(by), sort=False, dropna=False)
    short = groups["auroc"].agg(auroc="mean", std="std", low="min", high="max", seeds="count")
    short["failed"] = groups.size() - short["seeds"]
    short = short.assign(seconds=groups["seconds"].mean().round(2)).reset_index()
    paper = [
        published_auroc(method, category)
        for method, category in zip(short["method"], short["category"], strict=True)
    ]
    return short.assign(paper=pd.Series(paper, dtype=float))


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
    known = [
        [published_auroc(method, category) for category in categories] for method in short["method"]
    ]
    paper = [float("nan") if None in row else sum(filter(None, row)) / len(row) for row in known]
    return short.assign(paper=pd.Series(paper, dtype=float))


def as_text(summary: pd.DataFrame) -> str:
    """A summary for people, beside the paper's numbers.

    AUROC in percent: mean ± standard deviation, and range, over seeds.
    """

    def percent(value: float, sign: str = "") -> str:
        return "" if pd.isna(value) else f"{sign}{100 * value:.1f}"

    shown = summary[
        [c for c in ("factor", "level", "category", "method", "n_train") if c in summary]
    ].copy()
    columns = [summary[c] for c in ("auroc", "std", "low", "high", "paper")]
    rows = list(zip(*columns, strict=True))
    shown["AUROC %"] = [
        f"{percent(mean)} {percent(std, '± ')}".strip() or "failed" for mean, std, *_ in rows
    ]
    shown["range"] = [
        "" if pd.isna(low) else f"{percent(low)} to {percent(high)}" for _, _, low, high, _ in rows
    ]
    shown["paper"] = [percent(paper) for *_, paper in rows]
    return shown.assign(seeds=summary["seeds"], seconds=summary["seconds"]).to_string(index=False)


def provenance(table: pd.DataFrame, study: str) -> str:
    """How to make a table of `run` again, and where it was made, as the table says: three lines.

    Args:
        table: of `run`, or read from its CSV file.
        study: name of the study that made it.
    """
    categories, seeds = (list(dict.fromkeys(table[name])) for name in ("category", "seed"))
    versions, machines = (
        " and ".join(dict.fromkeys(table[name])) for name in ("version", "machine")
    )
    start, end = (
        str(when).replace("T", " ")[:16] for when in (table["when"].min(), table["when"].max())
    )
    return (
        f"python -m differnet_course.experiments {study} --categories {' '.join(categories)}"
        f" --seeds {max(seeds) + 1}\n"
        f"{len(table)} cells, of which {int(table['error'].notna().sum())} failed;"
        f" made from {start} to {end} UTC\n"
        f"differnet_lite {versions} on {machines}"
    )
