"""The studies: one command each, their summaries, and their figures' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from differnet_course.experiments import STUDIES, as_text, provenance, summarise
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.studies import ABLATIONS
from differnet_course.plots import plot_ablations, plot_comparison
from differnet_course.published import METHODS, published_auroc, published_table
from differnet_lite import Settings

from .conftest import Fake

RESULTS = Path(__file__).parents[2] / "notebooks" / "results"
FITS = {"table1": 9, "ablations": 17}
DRAW = {"table1": plot_comparison, "ablations": plot_ablations}


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_one_command(
    study: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fake: type[Fake],
) -> None:
    words = [study, "--categories", str(folder), "--out", str(tmp_path), "--seeds", "1"]
    assert main([*words, "--jobs", "1"]) == 0
    assert "range" in capsys.readouterr().out and len(fake.fits) == FITS[study]
    table = pd.read_csv(tmp_path / f"{study}.csv")
    summary = STUDIES[study].summary(table)
    assert {round(100 * x, 6) for x in summary["auroc"].dropna()} <= points(DRAW[study](summary))
    command, cells, machine = provenance(table, study).split("\n")
    assert (
        command == f"python -m differnet_course.experiments {study} --categories bottle --seeds 1"
    )
    assert cells.startswith(f"{FITS[study]} cells, of which ")
    assert machine.endswith(f" on {table['machine'][0]}")


def points(figure: Any) -> set[float]:
    return {
        round(float(x), 6)
        for trace in figure.data
        if trace.mode in ("markers", "lines+markers")
        for x in (trace.x if trace.error_x.type else trace.y)
    }


def test_the_commands_exit_codes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fake: type[Fake]
) -> None:
    words = ["table1", "--out", str(tmp_path), "--seeds", "1", "--jobs", "1", "--methods", "1-nn"]
    fake.broken.add(("1-nn", 0))
    assert main([*words, "--categories", str(folder)]) == 1
    assert "failed: 1-nn, 1 cell(s): ValueError: a bad day" in capsys.readouterr().err
    assert main([*words, "--categories", str(tmp_path / "nowhere")]) == 2


def test_every_ablation_changes_one_factor_of_a_model_that_can_be_made() -> None:
    for factor, levels in ABLATIONS.items():
        settings = [vars(Settings(**level)) for level in levels.values()]
        changed = {name for s in settings for name in s if s[name] != settings[0][name]}
        assert len(changed) == 1, (factor, changed)
        assert len({repr(s) for s in settings}) == len(levels)


def test_the_stored_ablations_hold_every_level() -> None:
    summary = STUDIES["ablations"].summary(pd.read_csv(RESULTS / "ablations.csv"))
    levels = {(factor, level) for factor, levels in ABLATIONS.items() for level in levels}
    assert set(zip(summary["factor"], summary["level"], strict=True)) == levels


def test_table_1_ends_with_the_mean_over_categories() -> None:
    values = {("bottle", 0): 0.9, ("cable", 0): 0.7, ("bottle", 1): 1.0, ("cable", 1): 0.8}
    values |= {("bottle", 2): 1.0, ("cable", 2): np.nan}
    rows = [
        (category, method, seed, value, 1.0, 0.5)
        for (category, seed), value in values.items()
        for method in ("1-nn", "mahalanobis")
    ]
    table = pd.DataFrame(rows, columns=["category", "method", "seed", "auroc", "fit_s", "score_s"])
    last = STUDIES["table1"].summary(table).tail(2)
    assert last["category"].tolist() == ["mean of 2"] * 2
    assert last["failed"].tolist() == [1, 1]  # the mean of one category is no mean of two
    numbers = last.iloc[0][["auroc", "low", "high", "seconds", "paper"]].astype(float)
    np.testing.assert_allclose(numbers, [0.85, 0.8, 0.9, 1.5, (0.987 + 0.885) / 2])
    assert np.isnan(last.iloc[1]["paper"])


def test_a_summary_holds_mean_and_spread_of_what_succeeded() -> None:
    rows = [("bottle", "1-nn", s, a, 1.0, 0.5) for s, a in enumerate([0.9, 1.0, None])]
    rows.append(("flange", "1-nn", 0, 0.5, 1.0, 0.5))
    table = pd.DataFrame(rows, columns=["category", "method", "seed", "auroc", "fit_s", "score_s"])
    short = summarise(table)
    first = short.iloc[0]
    assert first[["category", "method", "seeds", "failed"]].tolist() == ["bottle", "1-nn", 2, 1]
    numbers = first[["auroc", "std", "low", "high", "seconds", "paper"]].astype(float)
    np.testing.assert_allclose(numbers, [0.95, 0.1 / 2**0.5, 0.9, 1.0, 1.5, 0.987])
    assert short.iloc[1][["std", "paper"]].isna().all()
    assert "95.0 ± 7.1" in as_text(short) and "90.0 to 100.0" in as_text(short)


def test_published_columns_have_the_published_means() -> None:
    means = 100 * published_table().mean()
    np.testing.assert_allclose(means, [67.2, 76.2, 70.9, 71.9, 83.8, 94.7], atol=0.06)
    assert published_auroc("differnet", "flange") is None
    assert set(published_table()) < set(METHODS)
