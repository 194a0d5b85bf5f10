"""Grids that are run, interrupted, extended; features that cells share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import differnet_lite
from differnet_course.experiments import Grid
from differnet_lite import Transformations, metrics
from differnet_lite.folders import load_category
from tests.experiments.conftest import Fake, same_tables, small_run


class Interrupted(Fake):
    """Ctrl-C in the fourth fit."""

    def fit(self, images: list[Path]) -> Fake:
        if len(Fake.fits) == 3:
            raise KeyboardInterrupt
        return super().fit(images)


class Recovering(Fake):
    """Fails the first time."""

    def fit(self, images: list[Path]) -> Fake:
        super().fit(images)
        if Fake.fits.count((self.name, self.seed)) == 1:
            raise ValueError("a bad day")
        return self


def test_a_row_holds_what_the_scores_give(folder: Path, tmp_path: Path) -> None:
    table = small_run(
        Grid(methods=["a", "b"], categories=[folder], seeds=(0, 1), n_train=[4, None]), tmp_path
    )
    assert table[["seed", "n_train", "method"]].values.tolist() == [
        [s, n, m] for s in (0, 1) for n in (4, 6) for m in "ab"
    ]
    category = load_category(folder)
    scores = Fake("b", seed=1, device="", cache=None, progress=False).anomaly_scores(
        list(category.test)
    )
    row = table.iloc[-1]
    assert row["auroc"] == metrics.auroc(category.labels, scores)
    assert row["average_precision"] == metrics.average_precision(category.labels, scores)
    assert json.loads(row["auroc_by_kind"]) == metrics.auroc_by_kind(category.kinds, scores)
    assert (row["n_test"], row["version"], row["error"]) == (7, differnet_lite.__version__, None)
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "table.csv").drop(columns="error"),
        table.drop(columns="error"),
        check_dtype=False,
    )
    assert pd.read_parquet(tmp_path / "table.parquet")["auroc"].tolist() == table["auroc"].tolist()
    assert str(tmp_path.parent) not in "".join(
        path.read_text() for path in tmp_path.rglob("*.json")
    )  # nothing of this machine's folders


def test_an_interrupted_grid_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a", "b", "c"], categories=[folder], seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        small_run(grid, tmp_path / "x", make=Interrupted)
    assert len(Fake.fits) == len(list((tmp_path / "x" / "cells").glob("*.json"))) == 3
    assert not (tmp_path / "x" / "table.csv").exists()
    table = small_run(grid, tmp_path / "x")
    assert len(Fake.fits) == len(set(Fake.fits)) == 6
    assert not list((tmp_path / "x").rglob("*.tmp"))
    same_tables(table, small_run(grid, tmp_path / "y"))
    before = len(Fake.fits)
    pd.testing.assert_frame_equal(small_run(grid, tmp_path / "x"), table)
    assert len(Fake.fits) == before


def test_a_failed_cell_is_a_row_and_is_tried_again(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a", "b"], categories=[folder], n_train=[2, 7])
    table = small_run(grid, tmp_path, make=Recovering)
    assert table["error"].tolist()[:2] == [table["error"][0]] * 2
    assert table["error"][0].startswith("ValueError: a bad day\n  in fit, test_running.py:")
    assert table["error"][2].startswith("ValueError: expected at least 7 training images, got 6")
    assert table["auroc"].isna().all()
    table = small_run(grid, tmp_path, make=Recovering)
    assert table["error"].isna().tolist() == [True, True, False, False]
    assert Fake.fits == [("a", 0), ("b", 0)] * 2


def test_a_changed_grid_adds_cells_and_gets_its_own_table(folder: Path, tmp_path: Path) -> None:
    small_run(Grid(methods=["a", "b"], categories=[folder]), tmp_path, name="first")
    table = small_run(Grid(methods=["b", "c"], categories=[folder]), tmp_path, name="second")
    assert (
        table["method"].tolist()
        == pd.read_csv(tmp_path / "second.csv")["method"].tolist()
        == ["b", "c"]
    )
    assert pd.read_csv(tmp_path / "first.csv")["method"].tolist() == ["a", "b"]
    assert len(Fake.fits) == len(list((tmp_path / "cells").iterdir())) == 3


class Bank:
    """Counts the images whose features are asked for."""

    seen: list[tuple[int, tuple[float, ...]]] = []

    def iter_features(self, images: tuple[Path, ...], angles: tuple[float, ...]) -> Iterator[None]:
        self.seen.append((len(images), angles))
        yield None


class OnFeatures(Fake):
    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        if name != "ganomaly":
            self.feature_cache = Bank()

    def scoring_angles(self) -> tuple[float, ...]:
        return tuple(self.options.get("transformations", {}).get("angles") or (0.0,))


def test_features_are_extracted_once_before_the_cells_that_share_them(
    folder: Path, tmp_path: Path
) -> None:
    settings = [
        {},
        {"hidden": 8},
        {"transformations": Transformations.grid(2)},
        {"transformations": Transformations()},
    ]
    small_run(
        Grid(
            methods=["ganomaly", "1-nn", "ocsvm"],
            categories=[folder],
            seeds=(0, 1),
            settings=settings,
        ),
        tmp_path,
        make=OnFeatures,
    )
    assert Bank.seen == [(13, (0.0,)), (13, (0.0, 180.0))]  # random angles are each seed's own
