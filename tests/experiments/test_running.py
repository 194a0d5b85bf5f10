"""Cells that are run, interrupted, extended; in this process and on a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from PIL import Image

from differnet_course import load_category, metrics
from differnet_course.experiments.running import run
from differnet_course.experiments.studies import Study
from differnet_lite import DatasetError

from .conftest import Fake

VOLATILE = ["fit_s", "score_s", "when", "threads"]


def cells(
    *,
    methods: Sequence[str],
    categories: Sequence[Path],
    seeds: Sequence[int] = (0,),
    **options: Any,
) -> list[dict[str, Any]]:
    study = Study("?", methods, ("method",))
    return [cell | {"options": options} for cell in study.cells(categories, methods, seeds)]


def small_run(some: list[dict[str, Any]], out: Path) -> pd.DataFrame:
    return run(some, out, n_jobs=1)


def test_a_row_holds_what_the_scores_give(folder: Path, tmp_path: Path, fake: type[Fake]) -> None:
    some = cells(methods=["a", "b"], categories=[folder], seeds=(0, 1))
    table = small_run(some, tmp_path)
    expected = [[s, 6, m] for s in (0, 1) for m in "ab"]
    assert table[["seed", "n_train", "method"]].values.tolist() == expected
    category = load_category(folder)
    scores = fake("b", seed=1).anomaly_scores(list(category.test))
    row = table.iloc[-1]
    assert row["auroc"] == metrics.auroc(category.labels, scores) and row["n_test"] == 7
    stored = pd.read_csv(tmp_path / "table.csv").drop(columns="error")
    pd.testing.assert_frame_equal(stored, table.drop(columns="error"), check_dtype=False)
    assert str(folder.parent) not in (tmp_path / "table.csv").read_text()


def test_an_interrupted_run_resumes(folder: Path, tmp_path: Path, fake: type[Fake]) -> None:
    fake.broken.add(("b", 1))
    fake.error = KeyboardInterrupt
    some = cells(methods=["a", "b"], categories=[folder], seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        small_run(some, tmp_path)
    fake.broken.clear()
    table = small_run(some, tmp_path)
    assert fake.fits[4:] == [("b", 1)]
    pd.testing.assert_frame_equal(small_run(some, tmp_path), table)


def test_a_result_depends_on_options_and_files(
    folder: Path, tmp_path: Path, fake: type[Fake]
) -> None:
    def fits(**changes: Any) -> int:
        before = len(fake.fits)
        small_run(cells(**{"methods": ["a"], "categories": [folder], **changes}), tmp_path)
        return len(fake.fits) - before

    assert fits() == 1 and fits() == 0
    assert fits(x=1) == fits(methods=["b"]) == 1
    path = folder / "test" / "dent" / "0.png"
    before = path.read_bytes()
    Image.new("L", (8, 8), 250).save(path)
    assert fits() == 1
    path.write_bytes(before)
    assert fits() == 0


def test_a_failed_cell_is_a_row_and_is_tried_again(
    folder: Path, tmp_path: Path, fake: type[Fake]
) -> None:
    fake.broken.add(("b", 0))
    some = cells(methods=["a", "b"], categories=[folder])
    for _ in range(2):
        errors = small_run(some, tmp_path)["error"].tolist()
        assert pd.isna(errors[0]) and errors[1] == "ValueError: a bad day"
    assert fake.fits == [("a", 0), ("b", 0), ("b", 0)]
    with pytest.raises((FileNotFoundError, DatasetError)):
        small_run(cells(methods=["a"], categories=[tmp_path / "nowhere"]), tmp_path)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same(category_folder: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    small = {"size": 64, "n_scales": 1, "dtype": "float32"}
    some = cells(methods=["1-nn"], categories=[category_folder], seeds=(0, 1), **small)
    local = small_run(some, tmp_path / "local")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        table = run(some, tmp_path / "dask")
    assert table["error"].isna().all()
    pd.testing.assert_frame_equal(table.drop(columns=VOLATILE), local.drop(columns=VOLATILE))
