"""The false-alarm study: its draws, its detectors, its rules, its file and its command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from differnet_course.experiments import promise_command
from differnet_course.experiments.__main__ import main
from differnet_course.experiments.normals import FreshNormals, Pool
from differnet_course.experiments.promise import simulated_cell
from differnet_course.experiments.repetitions import (
    DETECTORS,
    Calibration,
    Scores,
    calibrated,
    cv_plus,
    judged,
)
from differnet_course.plots import plot_promise
from differnet_lite.sampling import view_sampler, whitening_matrix, whitening_of_views
from differnet_lite.settings import DEFAULT
from differnet_lite.splits import Split

G = torch.Generator().manual_seed(0)
VIEWS = torch.randn(400, 1, 12, generator=G) + 0.2 * torch.randn(400, 4, 12, generator=G)
TEST = torch.cat([VIEWS[:20], VIEWS[20:40] + 1])
POOL = Pool(VIEWS[40:], TEST, np.arange(40) >= 20)
QUICK = dataclasses.replace(DEFAULT, epochs=2, n_blocks=2, hidden=16)


def rate(cell: dict, rule: str, alpha: float) -> dict:
    return next(r for r in cell["rates"] if (r["rule"], r["alpha"]) == (rule, alpha))


def test_fresh_normals_are_the_same_whatever_their_number() -> None:
    few, many = FreshNormals("flange", 2), FreshNormals("flange", 3)
    np.testing.assert_array_equal(few[1], many[0:2][1])
    assert (few[0] != few[1]).any() and len(list(few)) == 2
    assert (FreshNormals("flange", 1, seed=1)[0] != few[0]).any()
    with pytest.raises(IndexError, match="0 to 1"):
        few[2]


def test_the_quick_mahalanobis_distance_is_that_of_the_whitening() -> None:
    some, new, views = list(range(5, 30)), VIEWS[40:60].mean(1), VIEWS[:30]
    everyone, part = DETECTORS["mahalanobis"](
        views, [Split(list(range(30)), []), Split(some, [])], DEFAULT, 7
    )
    sample = view_sampler(views, views_per_image=4, pool_views=True)
    common = {"views_per_image": 4, "noise": DEFAULT.noise}
    mean, matrix = whitening_of_views(
        sample, 30, generator=torch.Generator().manual_seed(7), **common
    )
    expected = ((new.double() - mean) @ matrix).square().mean(1)
    np.testing.assert_allclose(everyone(new), expected, rtol=1e-8)

    generator = torch.Generator().manual_seed(7)
    rows = torch.cat([sample(torch.arange(30), generator) for _ in range(4)], 1)
    mean, matrix = whitening_matrix(rows[some].flatten(0, 1), eps=DEFAULT.noise)
    expected = ((new.double() - mean) @ matrix).square().mean(1)
    np.testing.assert_allclose(part(new), expected, rtol=1e-8)


def test_each_normal_is_scored_by_a_detector_that_did_not_see_it() -> None:
    seen: list[Split] = []

    def learn(features, splits, settings, seed):
        seen.extend(splits)
        return [lambda rows, k=k: np.full(len(rows), float(k)) for k in range(len(splits))]

    known, score = calibrated(learn, VIEWS[:20], seed=0)
    for i, (value, fold) in enumerate(zip(known.out_of_fold, known.fold, strict=True)):
        assert value == fold + 1 and i not in seen[fold + 1].train
    assert (known.held_out == 6).all() and len(known.held_out) == 10
    new = score(VIEWS[:3].mean(1))
    assert new.everyone.tolist() == [0] * 3 and new.folds[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_cv_plus_compares_with_each_image_by_the_detector_that_saw_neither() -> None:
    g = np.random.default_rng(0)
    known = Calibration(g.integers(0, 9, 12).astype(float), g.integers(0, 3, 12), np.empty(0))
    folds = g.integers(0, 9, (3, 5)).astype(float)
    expected = [
        (1 + sum(s >= folds[k, j] for s, k in zip(known.out_of_fold, known.fold, strict=True))) / 13
        for j in range(5)
    ]
    found = cv_plus(known, Scores(np.empty(0), folds, np.empty(0)))
    np.testing.assert_allclose(found, expected)


def test_rules_refuse_what_they_cannot_promise() -> None:
    known = Calibration(np.arange(20.0), np.arange(20) % 5, np.arange(10.0))
    new = Scores(np.array([25.0, 1]), np.full((5, 2), 25.0), np.array([25.0, 1]))
    at_5 = judged(known, new, 0.05)
    refused = {rule for rule, share in at_5.items() if share is None}
    assert refused == {"split", "pac", "cross-pac"}
    assert at_5["cross"] == at_5["quantile"] == 0.5
    assert at_5["cv+"] == at_5["cross-mean"] == at_5["by the folds"] == 1
    known = known._replace(held_out=np.arange(22.0))
    assert judged(known, new, 0.1)["pac"] == 0.5


def test_split_conformal_keeps_its_promise_and_out_of_fold_scores_are_higher() -> None:
    cell = simulated_cell(POOL, "toy", "mahalanobis", 40, 100, progress=False)
    split, quantile = rate(cell, "split", 0.05), rate(cell, "quantile", 0.05)
    assert abs(split["mean"] - 0.05) < 4 * split["error"]  # 19 held out: 1 / 20, exactly
    assert quantile["mean"] > 0.05 + 4 * quantile["error"]
    assert rate(cell, "cross", 0.05)["mean"] < rate(cell, "by the folds", 0.05)["mean"]
    assert cell["excess"] > 0.1 and cell["held_out"] == 19
    assert rate(cell, "split", 0.01)["mean"] is None
    assert cell["auroc"]["all"][0] > cell["auroc"]["split"][0] > 0.8
    with pytest.raises(ValueError, match="less than the 360 normal images of toy, got 360"):
        simulated_cell(POOL, "toy", "mahalanobis", 360, 1)


def test_the_flow_is_measured_like_the_distance() -> None:
    cell = simulated_cell(POOL, "toy", "flow", 30, 9, settings=QUICK, minutes=0, progress=False)
    assert cell["repetitions"] == 1 and rate(cell, "split", 0.1)["error"] is None
    assert cell["auroc"]["all"][0] > 0.7 and cell["epochs"] == 2
    assert rate(cell, "quantile", 0.1)["mean"] > 0


def test_the_command_keeps_cells_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promise_command, "feature_pool", lambda *_, **__: POOL)
    sizes = ["promise", "--categories", "toy", "--out", str(tmp_path), "--no-progress"]
    short = [*sizes, "--repetitions", "2"]
    assert main([*short, "--sizes", "20"]) == 0
    assert "too few scores" in capsys.readouterr().out
    assert main([*short, "--sizes", "30", "20"]) == 0
    printed = capsys.readouterr().out
    assert "n = 30" in printed and "n = 20" not in printed  # kept
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["n"] for cell in cells] == [20, 30]
    assert "--sizes 20 --repetitions 2" in cells[0]["command"]
    assert str(tmp_path) not in (tmp_path / "promise.json").read_text()
    assert "Is the promise kept?" in (tmp_path / "promise.html").read_text(encoding="utf-8")
    assert main([*sizes, "--repetitions", "3", "--sizes", "20"]) == 0
    cells = json.loads((tmp_path / "promise.json").read_text())["cells"]
    assert [cell["repetitions"] for cell in cells] == [3, 2]
    assert main([*short, "--sizes", "999"]) == 2
    assert "expected less than the 360 normal images of toy, got 999" in capsys.readouterr().err


def test_the_figure_tells_proved_from_measured() -> None:
    cell = simulated_cell(POOL, "toy", "mahalanobis", 20, 3, progress=False)
    figure = plot_promise([cell], category="toy", detector="mahalanobis")
    shown = {trace.name: trace for trace in figure.data if trace.showlegend}
    assert shown["split conformal"].marker.symbol == "circle"
    assert shown["detector of all"].marker.symbol == "circle-open"
    assert shown["detector of all"].y[0] == rate(cell, "cross", 0.1)["mean"]
    crosses = [trace for trace in figure.data if trace.marker.symbol == "x-thin" and trace.x]
    assert {trace.name for trace in crosses} >= {"split conformal", "PAC, split"}
    with pytest.raises(ValueError, match="expected one of"):
        plot_promise([cell], category="toy", detector="flow")
    with pytest.raises(ValueError, match="rules: expected some of split"):
        plot_promise([cell], category="toy", detector="mahalanobis", rules=["magic"])
