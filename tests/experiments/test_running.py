"""Cells that are run, interrupted, extended; in local processes and on a Dask cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from PIL import Image

import differnet_lite
from differnet_course import metrics
from differnet_course.experiments import cells, run, subset
from differnet_lite import DatasetError, load_category

from .conftest import Fake

VOLATILE = ["fit_s", "score_s", "when", "threads"]


def small_run(some: list[dict[str, Any]], out: Path, **options: Any) -> pd.DataFrame:
    return run(some, out, **{"make": Fake, "n_jobs": 1, "progress": False, **options})


def test_cells_are_the_product_seed_by_seed(folder: Path) -> None:
    product = cells(
        methods={"a": {"x": 1}, "b": {}},
        categories=[folder],
        seeds=(0, 1),
        settings=[{}, {"x": 2}],
        n_train=[None, 3],
    )
    assert len(product) == 2 * 2 * 2 * 2
    assert [cell["seed"] for cell in product] == [0] * 8 + [1] * 8
    options = [cell["options"] for cell in product if cell["method"] == "a"]
    assert options[::2][:2] == [{"x": 1}, {"x": 2}]  # a setting wins over a method's own


def test_subsets_are_nested_and_seeded() -> None:
    assert subset(range(6), None, seed=0) == [0, 1, 2, 3, 4, 5]
    assert subset(range(50), 10, seed=0) != subset(range(50), 10, seed=1)
    assert set(subset(range(50), 10, seed=0)) < set(subset(range(50), 20, seed=0))
    with pytest.raises(ValueError, match="expected 1 to 6 training images, got 7"):
        subset(range(6), 7, seed=0)


def test_a_row_holds_what_the_scores_give(folder: Path, tmp_path: Path) -> None:
    some = cells(methods=["a", "b"], categories=[folder], seeds=(0, 1), n_train=[4, None])
    table = small_run(some, tmp_path)
    expected = [[s, n, m] for s in (0, 1) for n in (4, 6) for m in "ab"]
    assert table[["seed", "n_train", "method"]].values.tolist() == expected
    category = load_category(folder)
    scores = Fake("b", seed=1).anomaly_scores(list(category.test))
    row = table.iloc[-1]
    assert row["auroc"] == metrics.auroc(category.labels, scores)
    assert row["average_precision"] == metrics.average_precision(category.labels, scores)
    assert json.loads(row["auroc_by_kind"]) == metrics.auroc_by_kind(category.kinds, scores)
    assert (row["n_test"], row["version"]) == (7, differnet_lite.__version__)
    stored = pd.read_csv(tmp_path / "table.csv").drop(columns="error")
    pd.testing.assert_frame_equal(stored, table.drop(columns="error"), check_dtype=False)
    assert str(folder.parent) not in (tmp_path / "table.csv").read_text()


def test_an_interrupted_run_resumes(folder: Path, tmp_path: Path) -> None:
    some = cells(methods=["a", "interrupts"], categories=[folder], seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        small_run(some, tmp_path)
    assert len(Fake.fits) == 4 and not (tmp_path / "table.csv").exists()
    table = small_run(some, tmp_path)
    assert Fake.fits[4:] == [("interrupts", 1)]
    assert table["error"].isna().all()
    pd.testing.assert_frame_equal(small_run(some, tmp_path), table)
    wider = cells(methods=["a", "b"], categories=[folder], seeds=(0, 1))
    small_run(wider, tmp_path, name="second")
    assert Fake.fits[5:] == [("b", 0), ("b", 1)]


def test_a_result_depends_on_options_and_files(folder: Path, tmp_path: Path) -> None:
    def fits(**changes: Any) -> int:
        before = len(Fake.fits)
        small_run(cells(**{"methods": ["a"], "categories": [folder], **changes}), tmp_path)
        return len(Fake.fits) - before

    assert fits() == 1 and fits() == 0
    assert fits(methods={"a": {"x": 1}}) == fits(methods=["b"]) == fits(n_train=[3]) == 1
    path = folder / "test" / "dent" / "0.png"
    before = path.read_bytes()
    Image.new("L", (8, 8), 250).save(path)
    assert fits() == 1
    path.write_bytes(before)
    assert fits() == 0


def test_a_failed_cell_is_a_row_and_is_tried_again(folder: Path, tmp_path: Path) -> None:
    some = cells(methods=["a", "breaks"], categories=[folder], n_train=[2, 7])
    for _ in range(2):
        errors = small_run(some, tmp_path)["error"].tolist()
        assert pd.isna(errors[0]) and errors[1] == "ValueError: a bad day"
        assert errors[2] == "ValueError: n_train: expected 1 to 6 training images, got 7"
    assert Fake.fits == [("a", 0), ("breaks", 0), ("breaks", 0)]


def test_a_folder_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, DatasetError)):
        small_run(cells(methods=["a"], categories=[tmp_path / "nowhere"]), tmp_path)


def test_features_are_kept_before_the_seconds_are_counted(
    category_folder: Path, tmp_path: Path
) -> None:
    small = {"size": 64, "n_scales": 1, "dtype": "float32"}
    table = run(
        cells(methods=["1-nn"], categories=[category_folder], settings=[small]),
        tmp_path / "out",
        n_jobs=1,
        device="cpu",
        cache=tmp_path / "cache",
        progress=False,
    )
    assert table["error"].isna().all() and table["auroc"].between(0, 1).all()
    assert any((tmp_path / "cache").rglob("*"))


@pytest.mark.slow
def test_local_processes_give_the_same(folder: Path, tmp_path: Path) -> None:
    some = cells(methods=["a", "b"], categories=[folder], seeds=range(3))
    one = small_run(some, tmp_path / "one")
    two = small_run(some, tmp_path / "two", n_jobs=2)
    pd.testing.assert_frame_equal(one.drop(columns=VOLATILE), two.drop(columns=VOLATILE))


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same(category_folder: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    small = {"size": 64, "n_scales": 1, "dtype": "float32"}
    some = cells(methods=["1-nn"], categories=[category_folder], seeds=(0, 1), settings=[small])
    options: dict[str, Any] = {"device": "cpu", "cache": None, "progress": False}
    local = run(some, tmp_path / "local", n_jobs=1, **options)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        table = run(some, tmp_path / "dask", **options)
    assert table["error"].isna().all()
    pd.testing.assert_frame_equal(table.drop(columns=VOLATILE), local.drop(columns=VOLATILE))
