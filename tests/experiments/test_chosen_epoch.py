"""The last epoch beside the best on the test set: of one training, kept as it goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from differnet_course.experiments import chosen_epoch
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.chosen_epoch import (
    epoch_by_epoch,
    last_and_best,
    with_known_views,
)
from differnet_lite import DifferNet, load_category
from differnet_lite.folders import DatasetError
from differnet_lite.metrics import auroc
from differnet_lite.settings import PAPER, Settings

SILENT: dict[str, Any] = {"device": "cpu", "cache": None, "progress": False}


def small_paper(**changes: Any) -> Settings:
    """The paper's protocol with one scale, narrow subnets and few views."""
    turns = dataclasses.replace(PAPER.transformations, n_train=2, n_test=3)
    small = {"size": 64, "n_scales": 1, "hidden": 8, "n_blocks": 2, "epochs": 5}
    return dataclasses.replace(PAPER, transformations=turns, **(small | changes))


@pytest.mark.parametrize("views", [None, 4])
def test_the_last_look_is_at_the_model_that_fit_gives(
    category_folder: Path, views: int | None
) -> None:
    settings, category = small_paper(), load_category(category_folder)
    if views is not None:
        settings = with_known_views(settings, views)
        assert len(set(settings.transformations.angles or ())) == views
    table = epoch_by_epoch(category, settings, seed=3, tests=3, **SILENT)
    model = DifferNet(settings, seed=3, **SILENT).fit(category.train)
    assert table["epoch"].tolist() == [2, 3, 5]
    expected = auroc(category.labels, model.anomaly_scores(list(category.test)))
    assert table["auroc"].iloc[-1] == pytest.approx(expected)
    losses = dict(zip(model.history_["epoch"], model.history_["train"], strict=True))
    np.testing.assert_array_equal(table["train"], [losses[k] for k in table["epoch"]])


def test_more_looks_than_epochs_are_one_after_each(category_folder: Path) -> None:
    table = epoch_by_epoch(load_category(category_folder), small_paper(epochs=2), **SILENT)
    assert table["epoch"].tolist() == [1, 2]


def test_a_category_without_defects_is_refused(category_folder: Path) -> None:
    category = load_category(category_folder)
    normal = dataclasses.replace(category, test=category.train, kinds=("good",) * 2)
    with pytest.raises(DatasetError, match="test images with and without a defect"):
        epoch_by_epoch(normal, small_paper(), **SILENT)


def test_last_and_best_by_hand() -> None:
    rows = [
        ("a", 0, 2, 0.8),  # not in order: the last epoch is that of the highest number
        ("a", 0, 1, 0.9),
        ("a", 1, 1, 0.5),
        ("a", 1, 2, 0.6),
        ("b", 0, 1, 0.7),
    ]
    table = pd.DataFrame(rows, columns=["category", "seed", "epoch", "auroc"]).assign(preset="p")
    found = last_and_best(table).set_index("category")
    assert found["seeds"].to_dict() == {"a": 2, "b": 1}
    a = found.loc["a"]
    assert a[["last", "best", "gain"]].tolist() == pytest.approx([0.7, 0.75, 0.05])
    spreads = np.array([0.2, 0.3, 0.1]) / np.sqrt(2)
    assert a[["last_sd", "best_sd", "gain_sd"]].tolist() == pytest.approx(spreads.tolist())
    assert found.loc["b", ["last", "best", "gain"]].tolist() == pytest.approx([0.7, 0.7, 0.0])
    assert np.isnan(found.loc["b", "last_sd"])


@pytest.fixture
def command(category_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(chosen_epoch, "PRESETS", {"paper": small_paper()})
    words = f"epochs --categories {category_folder} --device cpu --no-progress --out {tmp_path}"
    return words.split()


def test_the_command_goes_on_where_it_was(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[int] = []

    def counted(*arguments: Any, seed: int, **options: Any) -> pd.DataFrame:
        if seed == 2:
            raise KeyboardInterrupt
        trained.append(seed)
        return epoch_by_epoch(*arguments, seed=seed, **options)

    monkeypatch.setattr(chosen_epoch, "epoch_by_epoch", counted)
    assert main([*command, "--seeds", "3"]) == 130
    assert main([*command, "--seeds", "2"]) == 0
    assert trained == [0, 1]
    shown = capsys.readouterr()
    assert "finished cells are kept" in shown.err
    assert main([*command, "--seeds", "1", "--epochs", "1"]) == 0
    assert main([*command, "--seeds", "1", "--views", "4"]) == 0
    table = pd.read_csv(tmp_path / "epochs.csv")
    assert table.groupby(["settings", "seed"]).ngroups == 4
    assert table["epoch"].dtype == int
    assert sorted(set(table["preset"])) == ["paper", "paper, 4 known views"]


def test_what_cannot_be_is_refused_in_a_line(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (
        ["--views", "0"],
        ["--seeds", "0"],
        ["--epochs", "0"],
        ["--categories", "nowhere"],
    ):
        assert main([*command, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
