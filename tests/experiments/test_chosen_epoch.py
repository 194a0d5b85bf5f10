"""The last epoch beside the best on the test set: of one training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from differnet_course.experiments.__main__ import main
from differnet_course.experiments.chosen_epoch import epoch_by_epoch, last_and_best
from differnet_course.folders import load_category
from differnet_course.metrics import auroc
from differnet_lite import DifferNet
from differnet_lite.settings import PAPER


def small_paper(**changes: Any) -> DifferNet:
    """The paper's protocol with one scale, narrow subnets and few views."""
    turns = dataclasses.replace(PAPER.transformations, n_train=2, n_test=3)
    settings: dict[str, Any] = {"size": 64, "n_scales": 1, "hidden": 8, "n_blocks": 2, "epochs": 5}
    settings |= {"transformations": turns, "device": "cpu", "cache": None, "progress": False}
    return DifferNet("paper", **{**settings, **changes})


@pytest.mark.parametrize("angles", [None, (0.0, 90.0, 200.0)])
def test_the_last_look_is_at_the_model_that_fit_gives(
    category_folder: Path, angles: tuple[float, ...] | None
) -> None:
    category = load_category(category_folder)
    model = small_paper(seed=3)
    turns = dataclasses.replace(model.transformations, angles=angles)
    model = small_paper(seed=3, transformations=turns)
    table = epoch_by_epoch(category, model)
    model.fit(category.train)
    assert table["epoch"].tolist() == [1, 2, 3, 4, 5]
    expected = auroc(category.labels, model.anomaly_scores(list(category.test)))
    assert table["auroc"].iloc[-1] == pytest.approx(expected)
    losses = dict(zip(model.history_["epoch"], model.history_["train"], strict=True))
    np.testing.assert_allclose(table["train"], [losses[k] for k in table["epoch"]], rtol=1e-6)


def test_last_and_best_by_hand() -> None:
    rows = [
        ("a", 0, 2, 0.8),  # not in order: the last epoch is that of the highest number
        ("a", 0, 1, 0.9),
        ("a", 1, 1, 0.5),
        ("a", 1, 2, 0.6),
        ("b", 0, 1, 0.7),
    ]
    table = pd.DataFrame(rows, columns=["category", "seed", "epoch", "auroc"]).assign(preset="p")
    means = last_and_best(table).set_index("category")
    assert means["seeds"].to_dict() == {"a": 2, "b": 1}
    assert means.loc["a", ["last", "best", "gain"]].tolist() == pytest.approx([0.7, 0.75, 0.05])
    spreads = means.loc["a", ["last_sd", "best_sd", "gain_sd"]].astype(float)
    np.testing.assert_allclose(spreads, np.array([0.2, 0.3, 0.1]) / np.sqrt(2))
    assert np.isnan(means.loc["b", "last_sd"])


@pytest.mark.slow
def test_the_command_resumes(
    category_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["epochs", "--categories", str(category_folder)]
    words += ["--out", str(tmp_path), "--preset", "default", "--views", "3"]
    assert main([*words, "--seeds", "1"]) == 0
    first = pd.read_csv(tmp_path / "epochs.csv")
    assert main([*words, "--seeds", "2"]) == 0
    both = pd.read_csv(tmp_path / "epochs.csv")
    pd.testing.assert_frame_equal(both.iloc[: len(first)], first)
    assert both.groupby("seed").ngroups == 2 and "3 known views" in capsys.readouterr().out
