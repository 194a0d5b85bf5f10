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
from differnet_course.experiments.promise import (
    cv_plus,
    feature_pool,
    repetition,
    simulated_cell,
)
from differnet_course.plots import plot_promise
from differnet_lite.settings import DEFAULT, Settings

G = torch.Generator().manual_seed(0)
VIEWS = torch.randn(400, 1, 12, generator=G) + 0.2 * torch.randn(400, 4, 12, generator=G)
POOL = (VIEWS[40:], VIEWS[20:40] + 1)


def rate(cell: dict, rule: str, alpha: float) -> dict:
    return next(row for row in cell["rates"] if (row["rule"], row["alpha"]) == (rule, alpha))


def test_each_normal_is_scored_by_a_detector_that_did_not_see_it() -> None:
    calls: list[tuple[Tensor, list[Tensor]]] = []

    def learn(features: Tensor, settings: Settings, seed: int):
        scored: list[Tensor] = []
        calls.append((features.mean(1), scored))
        return lambda rows: scored.append(rows) or rows[:, 0].numpy()

    new = VIEWS[40:60].mean(1)
    repetition(VIEWS[:20], new, new, learn, DEFAULT, seed=0)
    everyone, split, *folds = calls
    assert len(everyone[0]) == 20 and len(split[0]) == 10 and len(folds) == 5
    for seen, scored in (split, *folds):
        assert not (scored[0][:, None] == seen).all(2).any()
    calibrated = torch.cat([scored[0] for _, scored in folds])
    assert torch.equal(calibrated.sort(0).values, everyone[0].sort(0).values)


def test_cv_plus_compares_with_each_image_by_the_detector_that_saw_neither() -> None:
    g = np.random.default_rng(0)
    by_fold = [g.integers(0, 9, 3).astype(float) for _ in range(4)]
    scores = g.integers(0, 9, (4, 7)).astype(float)
    expected = [
        (1 + sum(s >= scores[k, j] for k, fold in enumerate(by_fold) for s in fold)) / 13
        for j in range(7)
    ]
    np.testing.assert_allclose(cv_plus(by_fold, scores), expected)


def test_split_conformal_keeps_its_promise_and_out_of_fold_scores_are_higher() -> None:
    cell = simulated_cell(POOL, "mahalanobis", 40, 60, progress=False)
    split = rate(cell, "split", 0.05)
    quantile = rate(cell, "quantile", 0.05)
    assert abs(split["mean"] - 0.05) < 4 * split["error"]  # 19 held out: 1 / 20, exactly
    assert quantile["mean"] > 0.05 + 4 * quantile["error"]
    assert rate(cell, "cross", 0.05)["mean"] < rate(cell, "cross-mean", 0.05)["mean"]
    assert cell["excess"] > 0.1 and cell["held_out"] == 19
    assert rate(cell, "split", 0.01)["mean"] is None and rate(cell, "cv+", 0.01)["mean"] is None
    named = cell | {"category": "toy", "detector": "mahalanobis", "n": 40}
    rules = ["split", "cross"]
    figure = plot_promise([named], category="toy", detector="mahalanobis", rules=rules)
    drawn = {trace.name: trace for trace in figure.data if trace.showlegend}
    assert drawn["detector of all"].y[0] == rate(cell, "cross", 0.1)["mean"]


def test_the_flow_is_measured_like_the_distance() -> None:
    quick = dataclasses.replace(DEFAULT, epochs=2, n_blocks=2, hidden=16)
    cell = simulated_cell(POOL, "flow", 30, 1, settings=quick, progress=False)
    assert rate(cell, "split", 0.1)["error"] is None
    quantile = rate(cell, "quantile", 0.1)
    assert quantile["detected"] > quantile["mean"]


def test_the_command_keeps_cells_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promise, "feature_pool", lambda *_, **__: POOL)
    words = ["promise", "--categories", "toy", "--out", str(tmp_path), "--repetitions", "2"]
    assert main([*words, "--sizes", "20"]) == 0
    first = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert main([*words, "--sizes", "30", "20"]) == 0
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["n"] for cell in cells] == [20, 30] and cells[0] == first[0]
    assert main([*words, "--sizes", "999"]) == 2
    assert "less than the 360 normal images, got 999" in capsys.readouterr().err


@pytest.mark.slow
def test_a_built_in_category_gets_fresh_normals(category_folder: Path) -> None:
    normals, bad = feature_pool(category_folder, 3)
    again, _ = feature_pool(category_folder, 2)
    other, _ = feature_pool(category_folder, 2, seed=1)
    assert len(normals) == 3 and len(bad)
    torch.testing.assert_close(normals[:2], again)
    assert not torch.equal(again, other)
