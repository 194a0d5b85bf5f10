"""The false-alarm study: who calibrates whom, what rules promise, and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_course.experiments import promise
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.promise import Pool, Repetition, feature_pool, simulated_cell
from differnet_course.plots import plot_promise
from differnet_lite.settings import DEFAULT, Settings

G = torch.Generator().manual_seed(0)
VIEWS = torch.randn(400, 1, 12, generator=G) + 0.2 * torch.randn(400, 4, 12, generator=G)
TEST = torch.cat([VIEWS[:20], VIEWS[20:40] + 1])
POOL = Pool(VIEWS[40:], TEST, np.arange(40) >= 20)


def rate(cell: dict, rule: str, alpha: float) -> dict:
    return next(row for row in cell["rates"] if (row["rule"], row["alpha"]) == (rule, alpha))


def numbered(values: dict[int, float]):
    """A way to learn whose k-th detector gives every row the k-th value."""
    calls: list[Tensor] = []

    def learn(features: Tensor, settings: Settings, seed: int):
        calls.append(features)
        value = values.get(len(calls) - 1, float(len(calls) - 1))
        return lambda rows: np.full(len(rows), value)

    return learn, calls


def test_each_normal_is_scored_by_a_detector_that_did_not_see_it() -> None:
    learn, calls = numbered({})
    repetition = Repetition(VIEWS[:20], learn, DEFAULT, seed=0)
    everyone, split, *folds = calls
    assert len(everyone) == 20 and len(split) == 10 and len(folds) == 5
    assert (repetition.held_out == 1).all() and len(repetition.held_out) == 10
    for i in range(20):
        fold = int(repetition.fold[i])
        assert repetition.out_of_fold[i] == fold + 2
        assert not (folds[fold] == VIEWS[i]).all(dim=(1, 2)).any()


def test_cv_plus_compares_with_each_image_by_the_detector_that_saw_neither() -> None:
    g = np.random.default_rng(0)
    repetition = Repetition(VIEWS[:12], numbered({})[0], DEFAULT, seed=0)
    repetition.out_of_fold = g.integers(0, 9, 12).astype(float)
    folds = g.integers(0, 9, (5, 7)).astype(float)
    pairs = list(zip(repetition.out_of_fold, repetition.fold, strict=True))
    expected = [(1 + sum(s >= folds[k, j] for s, k in pairs)) / 13 for j in range(7)]
    np.testing.assert_allclose(repetition.cv_plus(folds), expected)


def test_rules_refuse_what_they_cannot_promise() -> None:
    learn, _ = numbered(dict.fromkeys(range(7), 25.0))
    repetition = Repetition(VIEWS[:20], learn, DEFAULT, seed=0)
    repetition.out_of_fold = np.arange(20.0)
    repetition.held_out = np.arange(10.0)
    at_5, at_20 = repetition.flagged(VIEWS[:2].mean(1), [0.05, 0.2])
    assert {rule for rule, share in at_5.items() if share is None} == {"split", "pac", "cross-pac"}
    assert at_5["cross"] == at_5["quantile"] == at_5["cv+"] == at_5["cross-mean"] == 1
    assert at_20["split"] == at_20["cross-pac"] == 1


def test_split_conformal_keeps_its_promise_and_out_of_fold_scores_are_higher() -> None:
    cell = simulated_cell(POOL, "toy", "mahalanobis", 40, 60, progress=False)
    split = rate(cell, "split", 0.05)
    quantile = rate(cell, "quantile", 0.05)
    assert abs(split["mean"] - 0.05) < 4 * split["error"]  # 19 held out: 1 / 20, exactly
    assert quantile["mean"] > 0.05 + 4 * quantile["error"]
    assert rate(cell, "cross", 0.05)["mean"] < rate(cell, "by the folds", 0.05)["mean"]
    assert cell["excess"] > 0.1 and cell["held_out"] == 19
    assert rate(cell, "split", 0.01)["mean"] is None
    assert cell["auroc"]["all"][0] > cell["auroc"]["split"][0] > 0.8
    figure = plot_promise([cell], category="toy", detector="mahalanobis")
    drawn = {trace.name: trace for trace in figure.data if trace.showlegend}
    assert drawn["detector of all"].y[0] == rate(cell, "cross", 0.1)["mean"]


def test_the_flow_is_measured_like_the_distance() -> None:
    quick = dataclasses.replace(DEFAULT, epochs=2, n_blocks=2, hidden=16)
    cell = simulated_cell(POOL, "toy", "flow", 30, 1, quick, progress=False)
    assert rate(cell, "split", 0.1)["error"] is None
    assert cell["auroc"]["all"][0] > 0.7 and cell["epochs"] == 2


def test_the_command_keeps_cells_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promise, "feature_pool", lambda *_, **__: POOL)
    words = ["promise", "--categories", "toy", "--out", str(tmp_path), "--no-progress"]
    short = [*words, "--repetitions", "2"]
    assert main([*short, "--sizes", "20"]) == 0
    assert main([*short, "--sizes", "30", "20"]) == 0
    assert "n = 30" in capsys.readouterr().out.split("n = 20")[-1]  # 20 was kept
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["n"] for cell in cells] == [20, 30]
    assert "--sizes 20 --repetitions 2" in cells[0]["command"]
    assert str(tmp_path) not in (tmp_path / "promise.json").read_text()
    assert main([*words, "--repetitions", "3", "--sizes", "20"]) == 0
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["repetitions"] for cell in cells] == [3, 2]
    assert main([*short, "--sizes", "999"]) == 2
    assert "less than the 360 normal images, got 999" in capsys.readouterr().err


@pytest.mark.slow
def test_a_built_in_category_gets_fresh_normals(category_folder: Path) -> None:
    pool = feature_pool(category_folder, 3, progress=False)
    again = feature_pool(category_folder, 2, progress=False)
    other = feature_pool(category_folder, 2, seed=1, progress=False)
    assert len(pool.normals) == 3 and len(pool.test) == len(pool.anomalous)
    torch.testing.assert_close(pool.normals[:2], again.normals)
    assert not torch.equal(again.normals, other.normals)
