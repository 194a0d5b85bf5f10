"""The ablations, and the summary of table 1."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from differnet_course.experiments import STUDIES
from differnet_course.experiments.studies import ABLATIONS
from differnet_course.plots.experiments import plot_comparison
from differnet_lite import Settings


def test_every_ablation_changes_one_factor_of_a_model_that_can_be_made() -> None:
    for factor, levels in ABLATIONS.items():
        settings = [dataclasses.asdict(Settings(**level)) for level in levels.values()]
        changed = {name for s in settings for name in s if s[name] != settings[0][name]}
        assert len(changed) == 1, (factor, changed)
        assert len(levels) == len({json.dumps(s) for s in settings})


def test_table_1_ends_with_the_mean_over_categories() -> None:
    values = {
        ("bottle", 0): 0.9,
        ("cable", 0): 0.7,
        ("bottle", 1): 1.0,
        ("cable", 1): 0.8,
        ("bottle", 2): 1.0,
        ("cable", 2): None,
    }
    rows = [
        (category, method, seed, value, 1.0, 0.5)
        for (category, seed), value in values.items()
        for method in ("1-nn", "mahalanobis")
    ]
    table = pd.DataFrame(rows, columns=["category", "method", "seed", "auroc", "fit_s", "score_s"])
    last = STUDIES["table1"].summary(table).tail(2)
    assert last["category"].tolist() == ["mean of 2"] * 2 and last["method"].tolist() == [
        "1-nn",
        "mahalanobis",
    ]
    assert last["failed"].tolist() == [1, 1]  # the mean of one category is no mean of two
    np.testing.assert_allclose(
        last.iloc[0][["auroc", "low", "high", "seconds", "paper"]].astype(float),
        [0.85, 0.8, 0.9, 1.5, (0.987 + 0.885) / 2],
    )
    assert np.isnan(last.iloc[1]["paper"])
    assert set(STUDIES["table1"].summary(table[table["category"] == "bottle"])["category"]) == {
        "bottle"
    }
    assert "mean of 2" in plot_comparison(STUDIES["table1"].summary(table)).layout.yaxis.ticktext


def test_the_stored_ablations_hold_every_level(recwarn) -> None:
    stored = Path(__file__).parents[2] / "notebooks" / "results" / "ablations.csv"
    summary = STUDIES["ablations"].summary(pd.read_csv(stored))
    found = set(zip(summary["factor"], summary["level"], strict=True))
    assert found == {(factor, level) for factor, levels in ABLATIONS.items() for level in levels}
    assert not [warning for warning in recwarn if "no row" in str(warning.message)]


def test_a_level_without_rows_is_named() -> None:
    stored = Path(__file__).parents[2] / "notebooks" / "results" / "ablations.csv"
    table = pd.read_csv(stored)
    some = table[~table["options"].str.contains("use_log_det")]
    with pytest.warns(UserWarning, match="score = with log-det: no row has these options"):
        STUDIES["ablations"].summary(some)
