"""`fit` and `score` with --scheduler, as a person would use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from differnet_lite import settings
from differnet_lite.cli.commands import main
from differnet_lite.cluster import connecting
from differnet_lite.model import DifferNet

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def small_preset(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.PRESETS, "default", DifferNet(**tiny).settings)


def test_fit_then_score(folder: Path, scheduler: str, tmp_path: Path, capsys: Capture) -> None:
    there, models, out = ["--scheduler", scheduler], tmp_path / "models", tmp_path / "s.parquet"
    assert main(["fit", str(folder), "--out", str(models), "--rotations", "2", *there]) == 0
    assert "photographs  20 images, theta = " in capsys.readouterr().out
    score = ["score", str(models / "photographs.safetensors"), str(folder), "--top", "3"]
    assert main([*score, "--out", str(out), *there]) == 0
    told = capsys.readouterr().out.splitlines()
    assert len(list(out.glob("part-*"))) == 1
    assert main(score) == 0
    plain = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in told[:3]] == [line.split()[:4] for line in plain[:3]]
    assert [line.split()[-1] for line in told[:3]] == [line.split()[-1] for line in plain[:3]]
    assert "  images     20" in told and "  images     20" in plain
    assert told[3].startswith("... and 17 more with lower scores, all in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "m", "i", "--scheduler", "x"], "--scheduler needs --out DIR"),
        (["score", "m", "i", "--out", "x"], "--out: expected with --scheduler"),
        (["score", "m", "i", "--scheduler", "x", "--csv", "-"], "--csv: expected without --sched"),
        (["score", "m", "i", "--scheduler", "x", "--fdr", "0.1"], "--fdr: expected without"),
        (["score", "m", "i", "--scheduler", "x", "--map-method", "distance"], "--map-method: exp"),
        (["score", "m", "i", "--scheduler", "x", "--out", "o"], "m: there is no such model file"),
        (["score", "m", "i", "--scheduler", "x", "--alpha", "2"], "alpha: expected"),
        (["fit", "a", "b", "--out", "m"], "expected one folder, got several"),
        (["fit", "a", "--out", "m", "--scheduler", "x", "--alpha", "0"], "alpha: expected"),
        (["fit", "a", "--out", "m", "--scheduler", "x", "--checkpoint", "c"], "--checkpoint: exp"),
        (["fit", "a", "--out", "m", "--scheduler", "x"], "a: there is no such file or folder"),
        (["fit", "s3://a", "--out", "m", "--scheduler", "x"], "s3://a: expected a folder that"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("differnet_lite.cluster.scoring.connected", pytest.fail)
    monkeypatch.setattr("differnet_lite.cluster.fitting.connected", pytest.fail)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_dask_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = tmp_path / "m"
    model.write_text("")
    assert main(["score", str(model), "i", "--scheduler", "x", "--out", "o"]) == 2
    assert "needs distributed and pyarrow; install with: pip" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--scheduler needs Dask"):
        connecting.connected("x").__enter__()
