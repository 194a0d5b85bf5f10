"""The false-alarm study: who calibrates whom, what rules promise, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from differnet_course.experiments import promise
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.promise import repetition, simulated_cell
from differnet_course.plots import plot_promise

G = torch.Generator().manual_seed(0)
VIEWS = torch.randn(400, 1, 12, generator=G) + 0.2 * torch.randn(400, 4, 12, generator=G)
POOL = (VIEWS[40:], VIEWS[20:40] + 1)


def rate(cell: dict, rule: str, alpha: float) -> dict:
    return next(row for row in cell["rates"] if (row["rule"], row["alpha"]) == (rule, alpha))


def test_each_normal_is_scored_by_a_detector_that_did_not_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[Tensor, list[Tensor]]] = []

    def learn(features: Tensor, seed: int):
        scored: list[Tensor] = []
        calls.append((features.mean(1), scored))
        return lambda rows: scored.append(rows) or rows[:, 0].numpy()

    monkeypatch.setattr(promise, "learn", learn)
    new = VIEWS[40:60].mean(1)
    repetition(VIEWS[:20], new, new, seed=0)
    everyone, split, *folds = calls
    assert len(everyone[0]) == 20 and len(split[0]) == 10 and len(folds) == 5
    for seen, scored in (split, *folds):
        assert not (scored[0][:, None] == seen).all(2).any()
    calibrated = torch.cat([scored[0] for _, scored in folds])
    assert torch.equal(calibrated.sort(0).values, everyone[0].sort(0).values)


def test_split_conformal_keeps_its_promise_and_out_of_fold_scores_are_higher() -> None:
    cell = simulated_cell(POOL, 40, 60)
    split = rate(cell, "split", 0.05)
    quantile = rate(cell, "quantile", 0.05)
    assert abs(split["mean"] - 0.05) < 4 * split["error"]  # 19 held out: 1 / 20, exactly
    assert quantile["mean"] > 0.05 + 4 * quantile["error"]
    assert rate(cell, "cross", 0.05)["mean"] < rate(cell, "cross-mean", 0.05)["mean"]
    assert cell["held_out"] == 19
    assert rate(cell, "split", 0.01)["mean"] is None
    named = cell | {"category": "toy", "detector": "mahalanobis"}
    rules = ["split", "cross"]
    figure = plot_promise([named], category="toy", detector="mahalanobis", rules=rules)
    drawn = {trace.name: trace for trace in figure.data if trace.showlegend}
    assert drawn["detector of all"].y[0] == rate(cell, "cross", 0.1)["mean"]


@pytest.mark.slow
def test_the_command_keeps_cells_and_resumes(
    category_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["promise", "--categories", str(category_folder), "--out", str(tmp_path)]
    words += ["--repetitions", "2", "--normals", "22"]
    assert main([*words, "--sizes", "20"]) == 0
    first = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert main([*words, "--sizes", "21", "20"]) == 0
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["n"] for cell in cells] == [21, 20] and cells[1] == first[0]
    assert main([*words, "--sizes", "999"]) == 2
    assert "less than the 22 normal images, got 999" in capsys.readouterr().err
