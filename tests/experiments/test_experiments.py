"""Grids that are interrupted, damaged, extended and distributed; the studies, their tables and their figures."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import differnet_lite
from differnet_lite import DatasetError, Settings, Transformations
from differnet_lite.data.datasets import load_category
from differnet_lite.evaluation import metrics
from differnet_lite.evaluation.published import METHODS, published_auroc
from differnet_lite.experiments import (
    STUDIES,
    Cell,
    Grid,
    as_text,
    provenance,
    published_table,
    run,
    subset,
    summarise,
)
from differnet_lite.experiments.__main__ import main
from differnet_lite.experiments.grid import options_json
from differnet_lite.experiments.studies import ABLATIONS, TABLE1_METHODS
from differnet_lite.plots import (
    plot_ablations,
    plot_comparison,
    plot_few_shot,
    plot_published,
    plot_shifts,
)

VOLATILE = ["fit_s", "score_s", "when", "threads"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category of tiny images: 6 to train on, 3 normal ones and 2 x 2 anomalous ones to test on."""
    root = tmp_path_factory.mktemp("tiny") / "bottle"
    for kind, n in (("train/good", 6), ("test/good", 3), ("test/dent", 2), ("test/hole", 2)):
        (root / kind).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(root / kind / f"{i}.png")
    return root


class Fake:
    """Scores by chance and seed; `fits` holds the fits of this process."""

    fits: list[tuple[str, int]] = []

    def __init__(
        self, name: str, *, seed: int, device: str, cache: object, progress: bool, **options: Any
    ) -> None:
        self.name, self.seed, self.options = name, seed, options

    def fit(self, images: list[Path]) -> Fake:
        Fake.fits.append((self.name, self.seed))
        time.sleep(self.options.get("seconds", 0))
        if self.name == "breaks":
            raise ValueError("a bad day")
        if self.name == "kills":
            os._exit(1)
        return self

    def score_samples(self, images: list[Path]) -> np.ndarray:
        return np.random.default_rng([self.seed, *self.name.encode()]).random(len(images))


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


@pytest.fixture(autouse=True)
def no_fits_and_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    Fake.fits.clear()
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", lambda *_, **__: b"PNG")


def small_run(grid: Grid, out: Path, **options: Any) -> pd.DataFrame:
    return run(grid, out, **{"make": Fake, "n_jobs": 1, "progress": False, **options})


def same_tables(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a.drop(columns=VOLATILE), b.drop(columns=VOLATILE))


# ---------------------------------------------------------------- what is to be done


def test_a_key_holds_everything_a_result_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell("differnet", "/here/bottle", 0, "{}", None, "images")
    changes = [
        {"method": "1-nn"},
        {"folder": "/here/cable"},
        {"seed": 1},
        {"options": '{"epochs": 2}'},
        {"n_train": 4},
        {"images": "others"},
    ]
    keys = {dataclasses.replace(cell, **change).key for change in changes} | {cell.key}
    assert len(keys) == 1 + len(changes)
    assert (
        dataclasses.replace(cell, folder="/there/bottle").key == cell.key
    )  # where the images lie does not matter
    monkeypatch.setattr(differnet_lite, "__version__", "0.1.0")
    assert cell.key == "60bf1fa130c97e24"  # the same on every machine, in every process
    monkeypatch.setattr(differnet_lite, "__version__", "9.9.9")
    assert cell.key not in keys


def test_cells_are_the_product_each_once_seed_by_seed(folder: Path) -> None:
    grid = Grid(
        methods={"a": {"x": 1}, "b": {}},
        categories=[folder],
        seeds=(0, 1),
        settings=[{}, {"x": 2}, {"x": 2}],
        n_train=[None, 3],
    )
    cells = grid.cells()
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert [cell.seed for cell in cells] == [0] * 8 + [1] * 8
    assert {cell.options for cell in cells if cell.method == "a"} == {
        '{"x": 1}',
        '{"x": 2}',
    }  # a setting wins over a method's own
    assert {cell.options for cell in cells if cell.method == "b"} == {"{}", '{"x": 2}'}


def test_options_may_be_dataclasses_that_a_model_reads_back() -> None:
    options = json.loads(options_json({"transformations": Transformations.grid(4)}))
    assert Settings(**options).transformations == Transformations.grid(4)
    with pytest.raises(TypeError):
        options_json({"x": object()})


def test_grids_that_make_no_sense_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="methods: expected at least one, got none"):
        Grid(methods=[], categories=[folder])
    with pytest.raises(ValueError, match="methods: expected a list, got 'differnet'"):
        Grid(methods="differnet", categories=[folder])
    with pytest.raises(ValueError, match="n_train: expected numbers of at least 1"):
        Grid(methods=["a"], categories=[folder], n_train=[0])
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        Grid(methods=["a"], categories=[tmp_path / "nowhere"]).cells()
    unlabelled = tmp_path / "unlabelled" / "train" / "good"
    unlabelled.mkdir(parents=True)
    Image.new("L", (8, 8)).save(unlabelled / "0.png")
    with pytest.raises(DatasetError, match="expected test/good/ and at least one test/DEFECT/"):
        Grid(methods=["a"], categories=[unlabelled.parent.parent]).cells()
    (tmp_path / "bottle").symlink_to(folder)
    with pytest.raises(DatasetError, match="different names, got 'bottle' more than once"):
        Grid(methods=["a"], categories=[folder, tmp_path / "bottle"]).cells()


def test_a_larger_subset_contains_the_smaller_ones() -> None:
    images = list(range(20))
    subsets = [subset(images, n, seed=3) for n in (1, 2, 4, 8, 16, 20)]
    for small, large in pairwise(subsets):
        assert large[: len(small)] == small
    assert sorted(subsets[-1]) == subset(images, None, seed=3) == images
    assert subset(images, 4, seed=4) != subsets[2]
    with pytest.raises(ValueError, match="at least 21 training images, got 20"):
        subset(images, 21, seed=0)


# ---------------------------------------------------------------- doing it


def test_a_row_holds_what_the_scores_give(folder: Path, tmp_path: Path) -> None:
    table = small_run(
        Grid(methods=["a", "b"], categories=[folder], seeds=(0, 1), n_train=[4, None]), tmp_path
    )
    assert table[["seed", "n_train", "method"]].values.tolist() == [
        [s, n, m] for s in (0, 1) for n in (4, 6) for m in "ab"
    ]
    category = load_category(folder)
    scores = Fake("b", seed=1, device="", cache=None, progress=False).score_samples(
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
    assert table["error"][0].startswith("ValueError: a bad day\n  in fit, test_experiments.py:")
    assert table["error"][2].startswith("ValueError: expected at least 7 training images, got 6")
    assert table["auroc"].isna().all()
    table = small_run(grid, tmp_path, make=Recovering)
    assert table["error"].isna().tolist() == [True, True, False, False]
    assert Fake.fits == [("a", 0), ("b", 0)] * 2


def test_a_cell_file_cut_short_is_no_cell(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a"], categories=[folder], seeds=(0, 1, 2))
    table = small_run(grid, tmp_path)
    paths = [tmp_path / "cells" / f"{key}.json" for key in table["key"]]
    paths[0].write_bytes(paths[0].read_bytes()[:40])
    paths[1].write_bytes(paths[2].read_bytes())
    with pytest.warns(UserWarning, match="the kept result is damaged") as caught:
        again = small_run(grid, tmp_path)
    assert len(caught) == 2
    assert Fake.fits[3:] == [("a", 0), ("a", 1)]
    same_tables(again, table)


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
            self.bank, self.angles_ = (
                Bank(),
                tuple(options.get("transformations", {}).get("angles") or (0.0,)),
            )


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


def test_local_processes_share_the_cores(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a", "breaks"], categories=[folder], seeds=(0, 1))
    table = small_run(grid, tmp_path / "two", n_jobs=2)
    assert set(table["threads"]) <= set(range(1, max(1, joblib.cpu_count() // 2) + 1))
    assert table["error"].notna().tolist() == [False, True] * 2
    same_tables(table, small_run(grid, tmp_path / "one"))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, as in a terminal: what a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_loses_no_finished_cell(folder: Path, tmp_path: Path) -> None:
    grid = Grid(
        methods=["a", "b"], categories=[folder], seeds=range(10), settings=[{"seconds": 0.1}]
    )

    def press() -> None:
        wait_for(lambda: len(list(tmp_path.glob("cells/*.json"))) >= 3)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        small_run(grid, tmp_path, n_jobs=2)
    pressing.join()
    kept = len(list(tmp_path.glob("cells/*.json")))
    assert 3 <= kept < 20
    assert small_run(grid, tmp_path)["error"].isna().all()
    assert len(Fake.fits) == 20 - kept


def test_a_killed_local_process_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match="run the same again with fewer jobs: finished cells are kept"
    ):
        small_run(
            Grid(methods=["1-nn", "ocsvm"], categories=[folder]), tmp_path, make=deadly, n_jobs=2
        )


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


# ---------------------------------------------------------------- on a Dask cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two worker processes on 127.0.0.1, each with a nanny that starts it anew."""
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed; pip install 'differnet_lite[experiments]'"
    )
    import dask

    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "silence_logs": 50,
    }
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**options) as cluster,
    ):
        yield cluster


def test_a_killed_dask_worker_changes_nothing(folder: Path, tmp_path: Path, cluster: Any) -> None:
    from distributed import Client

    grid = Grid(
        methods=["a", "b"], categories=[folder], seeds=range(10), settings=[{"seconds": 0.1}]
    )
    with Client(cluster) as client:
        victim = min(client.run(os.getpid).values())

        def kill() -> None:
            wait_for(lambda: len(list(tmp_path.glob("dask/cells/*.json"))) >= 4)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            table = small_run(grid, tmp_path / "dask", n_jobs=None)
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert table["error"].isna().all()
    same_tables(table, small_run(grid, tmp_path / "local"))


def test_a_cell_that_kills_every_dask_worker_is_a_failed_cell(
    folder: Path, tmp_path: Path, cluster: Any
) -> None:
    assert (
        main(
            [
                "table1",
                "--categories",
                str(folder),
                "--methods",
                "1-nn",
                "ocsvm",
                "--seeds",
                "2",
                "--out",
                str(tmp_path),
                "--no-progress",
                "--scheduler",
                cluster.scheduler_address,
            ],
            make=deadly,
        )
        == 0
    )
    table = pd.read_csv(tmp_path / "table1.csv")
    assert table["error"].notna().tolist() == [False, True] * 2
    assert table["error"][1].startswith("KilledWorker: ")


def deadly(name: str, **options: Any) -> Fake:
    return Fake("kills" if name == "ocsvm" else name, **options)


# ---------------------------------------------------------------- the studies


def test_published_rows_have_the_published_means() -> None:
    from differnet_lite.evaluation.published import _ROWS

    means = np.mean(list(_ROWS.values()), axis=0)
    np.testing.assert_allclose(means, [67.2, 76.2, 70.9, 71.9, 83.8, 94.7], atol=0.06)
    assert published_auroc("ganomaly", "metal_nut") == 0.70
    assert published_auroc("differnet", "flange") is None


def test_every_ablation_changes_one_factor_of_a_model_that_can_be_made() -> None:
    for factor, levels in ABLATIONS.items():
        settings = [dataclasses.asdict(Settings(**level)) for level in levels.values()]
        changed = {name for s in settings for name in s if s[name] != settings[0][name]}
        assert len(changed) == 1, (factor, changed)
        assert len(levels) == len({json.dumps(s) for s in settings})


def test_a_summary_holds_mean_and_spread_of_what_succeeded() -> None:
    rows = [("bottle", "1-nn", s, a, 1.0, 0.5) for s, a in enumerate([0.9, 1.0, None])] + [
        ("flange", "1-nn", 0, 0.5, 1.0, 0.5)
    ]
    table = pd.DataFrame(rows, columns=["category", "method", "seed", "auroc", "fit_s", "score_s"])
    short = summarise(table)
    first = short.iloc[0]
    assert first[["category", "method", "seeds", "failed"]].tolist() == ["bottle", "1-nn", 2, 1]
    np.testing.assert_allclose(
        first[["auroc", "std", "low", "high", "seconds", "paper"]].astype(float),
        [0.95, 0.1 / 2**0.5, 0.9, 1.0, 1.5, 0.987],
    )
    assert short.iloc[1][["std", "paper"]].isna().all()
    assert "95.0 ± 7.1" in as_text(short)
    assert "90.0 to 100.0" in as_text(short)


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


def test_a_table_says_how_it_was_made(folder: Path, tmp_path: Path) -> None:
    table = small_run(
        Grid(methods=["ocsvm", "breaks"], categories=[folder], seeds=range(2)), tmp_path
    )
    command, cells, where = provenance(pd.read_csv(tmp_path / "table.csv"), "table1").split("\n")
    assert command == "python -m differnet_lite.experiments table1 --categories bottle --seeds 2"
    assert cells.startswith("4 cells, of which 2 failed; made from 20") and cells.endswith(" UTC")
    assert where == f"differnet_lite {differnet_lite.__version__} on {table['machine'][0]}"


def test_figures_of_the_paper_and_of_shifts_hold_their_numbers() -> None:
    heat = plot_published(published_table()).data[0]
    assert heat.y[-1] == "mean" and heat.x[-1] == "DifferNet" and heat.z.shape == (16, 6)
    np.testing.assert_allclose(heat.z[-1], [67.2, 76.2, 70.9, 71.9, 83.8, 94.7], atol=0.06)
    marks = [
        trace for trace in plot_shifts({"dsebm": -0.2, "1-nn": 1.5}).data if trace.mode == "markers"
    ]
    assert [(mark.name, *mark.x) for mark in marks] == [("DSEBM", -0.2), ("1-NN", 1.5)]


STUDY_CELLS = {"table1": len(TABLE1_METHODS) * 2, "few-shot": 4 * 7 * 2, "ablations": 16 * 2}


@pytest.mark.parametrize("study", list(STUDIES))
def test_a_study_is_one_command(
    study: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        study,
        "--categories",
        str(folder),
        "--out",
        str(tmp_path),
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--no-progress",
    ]
    assert main(arguments, make=Fake) == 0
    printed = capsys.readouterr()
    assert "range" in printed.out
    table, summary = (
        pd.read_csv(tmp_path / f"{study}.csv"),
        pd.read_csv(tmp_path / f"{study}-summary.csv"),
    )
    assert len(table) == STUDY_CELLS[study] == len(Fake.fits) + table["error"].notna().sum()
    assert table["n_train"].max() == (32 if study == "few-shot" else 6)
    if study == "few-shot":  # 8, 16 and 32 of 6 images
        assert printed.err.count("expected at least") == 4 * 3
        assert (
            "failed: 1-nn, 2 cell(s) on bottle: ValueError: expected at least 8 training images, got 6"
            in printed.err
        )
        assert summary["n_train"].is_monotonic_increasing
        assert (summary["auroc"].isna() == (summary["n_train"] > 6)).all()
    page = (tmp_path / f"{study}.html").read_text(encoding="utf-8")
    assert "arXiv 2008.12577" in page
    assert "http" not in page.split("<main>")[1].split("<script")[0]
    assert main([*arguments, "--quick"], make=Fake) == 0  # other cells, in the same folder


def points(figure: Any) -> set[float]:
    return {
        round(float(x), 6)
        for trace in figure.data
        if trace.mode in ("markers", "lines+markers")
        for x in (trace.x if trace.error_x.type else trace.y)
    }


def test_figures_hold_the_numbers_of_the_table(folder: Path, tmp_path: Path) -> None:
    for name, draw in (
        ("table1", plot_comparison),
        ("few-shot", plot_few_shot),
        ("ablations", plot_ablations),
    ):
        study = STUDIES[name]
        table = small_run(study.grid([folder], study.methods, range(3), False), tmp_path)
        summary = study.summary(table)
        figure = draw(summary)
        wanted = {round(100 * value, 6) for value in summary["auroc"].dropna()}
        assert wanted <= points(figure), name
        spread = summary["low"].min()
        if name == "few-shot":
            assert {99.0, 98.7} <= points(figure)  # the paper's
        else:
            drawn = [
                x - minus
                for trace in figure.data
                if trace.error_x.type
                for x, minus in zip(trace.x, trace.error_x.arrayminus, strict=True)
            ]
            assert min(drawn) == pytest.approx(100 * spread)
            assert max(len(trace.x) for trace in figure.data) == (
                1 if name == "table1" else len(summary)
            )
    comparison = plot_comparison(
        STUDIES["table1"].summary(
            small_run(STUDIES["table1"].grid([folder], METHODS, [0], False), tmp_path)
        )
    )
    paper = {trace.name: trace.x[0] for trace in comparison.data if trace.name.endswith(", paper")}
    assert paper == pytest.approx(
        {
            f"{METHODS[m]}, paper": v
            for m, v in zip(METHODS, (74.4, 89.2, 81.8, 99.0, 98.7, 99.0), strict=False)
        }
    )
    looks = [
        (trace.marker.color, trace.marker.symbol)
        for trace in comparison.data
        if trace.showlegend is None
    ]
    assert len(looks) == len(set(looks)) == len(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--categories", "nowhere"], "nowhere: there is no such folder"),
        (
            ["--methods", "magic", "--categories", "nowhere"],
            "--methods: expected some of geotrans,",
        ),
        (["--seeds", "0"], "seeds: expected at least one"),
        (["--scheduler", "tcp://127.0.0.1:9"], "expected a Dask scheduler at tcp://127.0.0.1:9"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(distributed, "Client", refuse)
    monkeypatch.chdir(tmp_path)
    if "--categories" not in arguments:
        arguments = [*arguments, "--categories", str(folder)]
    assert main(["table1", *arguments, "--no-progress"], make=Fake) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not list(tmp_path.iterdir())


def refuse(*_: Any, **__: Any) -> None:
    raise OSError("timed out")


def test_a_figure_without_a_browser_is_html_alone(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("kaleido")
    arguments = [
        "table1",
        "--categories",
        str(folder),
        "--methods",
        "1-nn",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--out",
        str(tmp_path),
        "--no-progress",
    ]
    assert main(arguments, make=Fake) == 0
    assert (tmp_path / "table1.png").read_bytes() == b"PNG"
    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", refuse)
    assert main(arguments, make=Fake) == 0
    assert "no PNG was drawn (timed out)" in capsys.readouterr().err


def test_a_study_in_which_nothing_works_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "table1",
        "--categories",
        str(folder),
        "--methods",
        "1-nn",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--out",
        str(tmp_path),
        "--no-progress",
    ]
    assert main(arguments, make=lambda name, **options: Fake("breaks", **options)) == 1
    assert "failed: 1-nn, 1 cell(s) on bottle: ValueError: a bad day" in capsys.readouterr().err
