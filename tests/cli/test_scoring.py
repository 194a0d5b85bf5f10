"""The commands score and evaluate, as a person would use them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import false_discovery_control

from differnet_lite.cli import scoring
from differnet_lite.detector import DifferNet

Command = Callable[..., tuple[int, str, str]]
COLUMNS = ["path", "score", "score_over_threshold", "p_value", "flagged", "rule"]
COLUMNS += ["map", "regions", "error"]


@pytest.fixture
def batch(photographs: list[Path], category_folder: Path) -> Path:
    """A folder of five strange photographs, one of them in a sub-folder and wide, and two good."""
    folder = photographs[0].parent
    (folder / "wide").mkdir()
    Image.open(photographs[4]).resize((160, 40)).save(folder / "wide" / "4.jpg")
    photographs[4].unlink()
    for name in ("000.png", "001.png"):
        shutil.copy(category_folder / "test" / "good" / name, folder / f"good{name}")
    return folder


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_says_what_python_says(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    status, out, err = command("score", saved, batch, "--csv", tmp_path / "s.csv")
    assert status == 0
    table = pd.read_csv(tmp_path / "s.csv")
    assert list(table) == COLUMNS
    model = DifferNet.load(saved, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model.judge(list(table["path"]), if_too_few="fallback")
    np.testing.assert_allclose(table["score"], expected.scores, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], expected.p_values)
    ratio = expected.scores / expected.threshold.value
    np.testing.assert_allclose(table["score_over_threshold"], ratio, rtol=1e-6)
    assert table["flagged"].tolist() == expected.anomalous.astype(int).tolist()
    assert expected.anomalous[:4].all() and not expected.anomalous[4:6].all()
    assert set(table["rule"]) == {"alpha 0.07692"}, "the smallest rate that 12 scores can promise"
    assert "7.69%" in err
    assert f"flagged       {expected.anomalous.sum()} of 7" in out
    lines = [line for line in out.splitlines() if "ANOMALOUS" in line]
    assert len(lines) == expected.anomalous.sum()
    assert str(table["path"][table["score"].argmax()]) in lines[0], "the highest score first"


def test_a_file_that_cannot_be_read_is_a_row(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    names = ["a cut.png", "text.png"]
    (batch / names[0]).write_bytes((batch / "0.png").read_bytes()[:300])
    (batch / names[1]).write_text("no picture")
    status, out, err = command("score", saved, batch, "--csv", tmp_path / "s.csv")
    assert status == 3
    table = pd.read_csv(tmp_path / "s.csv")
    bad = table[table["error"].notna()]
    assert [Path(path).name for path in bad["path"]] == names
    assert bad[COLUMNS[1:-1]].isna().all(axis=None)
    assert table["score"].notna().sum() == 7 and len(table) == 9
    assert all(f"not scored: {batch / name}: " in err for name in names)
    assert "not readable  2 of 9" in out


def test_json_is_the_table_a_line_an_image(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    (batch / "empty.png").write_bytes(b"")
    options = ["--json", "--csv", tmp_path / "s.csv", "--quiet"]
    status, out, err = command("score", saved, batch, *options)
    assert status == 3 and err.startswith("note: ") and "ANOMALOUS" not in err
    objects = [json.loads(line) for line in out.splitlines()]
    assert [list(row) for row in objects] == [COLUMNS] * 8
    for row, cells in zip(objects, rows_of(tmp_path / "s.csv"), strict=True):
        assert cells["score"] == ("" if row["score"] is None else repr(row["score"]))
        assert cells["flagged"] == {True: "1", False: "0", None: ""}[row["flagged"]]
        assert cells["error"] == row["error"]
    status, out, _ = command("score", saved, batch, "--csv", "-", "--quiet")
    assert out.splitlines() == (tmp_path / "s.csv").read_text().splitlines()


def test_one_rule_decides_with_fdr(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    for q, some in ((0.2, True), (0.08, False)):
        assert command("score", saved, batch, "--csv", tmp_path / "s.csv", "--fdr", q)[0] == 0
        table = pd.read_csv(tmp_path / "s.csv")
        chosen = false_discovery_control(table["p_value"]) <= q
        assert chosen.any() == some and not chosen.all()
        assert table["flagged"].tolist() == chosen.astype(int).tolist()
        assert set(table["rule"]) == {f"fdr {q}"}
        if some:
            assert ((table["score_over_threshold"] >= 1) == chosen).all()
        else:
            assert table["score_over_threshold"].isna().all()


def test_rows_come_one_by_one(
    saved: Path, batch: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 1)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    real = DifferNet.anomaly_scores
    printed: list[int] = []

    def count(self: DifferNet, images: Any) -> np.ndarray:
        printed.append(sys.stdout.getvalue().count("\n"))  # type: ignore[attr-defined]
        return real(self, images)

    monkeypatch.setattr(DifferNet, "anomaly_scores", count)
    command("score", saved, batch, "--json")
    assert printed == list(range(7))


def test_maps_have_the_photographs_shape_and_folders(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    maps, table = tmp_path / "maps", tmp_path / "s.csv"
    score = ["score", saved, batch, "--csv", table, "--maps", maps]
    assert command(*score)[0] == 0
    rows = rows_of(table)
    assert [bool(row["map"]) for row in rows] == [row["flagged"] == "1" for row in rows]
    wide = next(json.loads(row["regions"]) for row in rows if "wide" in row["path"])
    left, top, width, height = wide[0]["box"]
    assert left + width <= 160 and top + height <= 40 and width * height >= wide[0]["area"] > 0
    assert wide[0]["excess"] >= 1 and all(not r["regions"] for r in rows if r["flagged"] == "0")
    drawn = {Path(row["path"]): Path(row["map"]) for row in rows if row["map"]}
    assert drawn[batch / "wide" / "4.jpg"] == maps / "wide" / "4.jpg.png"
    for photograph, picture in drawn.items():
        assert Image.open(picture).size == Image.open(photograph).size
    (batch / "0.png").unlink()
    assert command(*score)[0] == 0
    assert sorted(maps.rglob("*.png")) == sorted(Path(r["map"]) for r in rows_of(table) if r["map"])
    assert command(*score, "--all-maps")[0] == 0
    assert len(list(maps.rglob("*.png"))) == 6


def test_a_folder_of_something_else_is_no_folder_for_maps(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "1.png.png").write_text("my own")
    assert "holds other files" in command("score", saved, batch, "--maps", mine)[2]
    assert os.listdir(mine) == ["1.png.png"]
    for inside in (batch, batch / "maps"):
        assert "among the photographs" in command("score", saved, batch, "--maps", inside)[2]
    assert not (batch / "maps").exists()


def test_labels_are_compared(
    command: Command, saved: Path, category_folder: Path, tmp_path: Path
) -> None:
    category = tmp_path / "flange"
    shutil.copytree(category_folder, category)
    report = tmp_path / "r.html"
    status, out, _ = command("evaluate", saved, category, "--report", report)
    assert status == 0 and "image AUROC" in out and "AUPRO" in out
    assert report.stat().st_size > 1e5
    shutil.rmtree(category / "train")
    for path in (category / "test").rglob("*.png"):
        Image.open(path).resize((100, 100)).save(path)
    broken = next((category / "test" / "dent").iterdir())
    broken.write_bytes(b"")
    status, out, err = command("evaluate", saved, category)
    assert status == 3 and "image AUROC" in out, "without train/, and but for the broken file"
    assert f"not scored: {broken}" in err
    assert "another resolution" in err, "notes on the good photographs"
    assert "expected" in command("evaluate", saved, category / "test" / "good")[2]


def test_a_report_without_labels(
    command: Command, saved: Path, batch: Path, tmp_path: Path
) -> None:
    (batch / "empty.png").write_bytes(b"")
    report = tmp_path / "r.html"
    assert command("score", saved, batch, "--report", report)[0] == 3
    page = report.read_text(encoding="utf-8")
    assert "of 7 photographs" in page and "empty.png" in page


def test_a_model_without_calibration_gives_scores_alone(
    command: Command, batch: Path, tiny: dict[str, Any], category_folder: Path, tmp_path: Path
) -> None:
    model = DifferNet(**tiny | {"calibration": "none"}).fit(category_folder).save(tmp_path / "m")
    status, out, _ = command("score", model, batch, "--csv", tmp_path / "s.csv")
    assert status == 0 and "without calibration" in out
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["score"].notna().all() and table[COLUMNS[2:]].isna().all(axis=None)
    for more in (["--fdr", "0.1"], ["--alpha", "0.1"], ["--report", tmp_path / "r"]):
        assert "gives scores alone" in command("score", model, batch, *more)[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{t}", "--csv", "{tmp}/no/s.csv"], "there is no folder"),
        (["{t}", "--csv", "{model}"], "overwrite an input"),
        (["{t}", "--csv", "{t}/good/000.png"], "overwrite an input"),
        (["{t}", "--csv", "{tmp}"], "expected the name of a file"),
        (["{t}", "--json", "--csv", "-"], "both write to standard output"),
        (["{t}", "--csv", "{tmp}/a", "--report", "{tmp}/a"], "one would replace the other"),
        (["{t}", "--all-maps"], "with --maps, too"),
        (["{t}", "--fdr", "0.1", "--alpha", "0.1"], "two rules"),
        (["{t}", "--alpha", "0"], "--alpha: expected"),
        (["{t}", "--alpha", "0.05"], "leave --alpha out"),
        (["{t}", "--fdr", "nan"], "--fdr: expected"),
        (["{t}", "--device", "abacus"], "abacus"),
        (["{t}", "--scheduler", "tcp://127.0.0.1:1"], "belong together"),
        (["{tmp}/nowhere"], "nowhere: there is no such"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    options: list[str],
    message: str,
    command: Command,
    saved: Path,
    category_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DifferNet, "anomaly_scores", lambda *_: pytest.fail("the model was used"))
    names = {"t": category_folder / "test", "tmp": tmp_path, "model": saved}
    before = saved.read_bytes()
    status, _, err = command("score", saved, *(option.format(**names) for option in options))
    assert status == 2 and message in err
    assert [line for line in err.splitlines() if not line.startswith("note: ")] == [err.strip()]
    assert saved.read_bytes() == before and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_names_that_are_not_unicode_in_a_terminal_that_is_ascii(
    saved: Path, photographs: list[Path], tmp_path: Path, run: Callable[..., Any]
) -> None:
    name = os.fsdecode(b"d\xe9faut.png")  # as an old camera or archive writes it
    folder = tmp_path / "ключ"
    folder.mkdir()
    shutil.copy(photographs[0], folder / name)
    table, maps = tmp_path / "s.csv", tmp_path / "maps"
    env = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("score", saved, folder, "--csv", table, "--maps", maps, "--all-maps", env=env)
    assert done.returncode == 0, done.stderr
    assert r"d\udce9faut.png" in done.stdout and done.stdout.isascii()
    assert "\r" not in done.stderr, "no progress bar where there is no terminal"
    assert [Path(row["path"]).name for row in rows_of(table)] == [r"d\udce9faut.png"]
    assert len(list(maps.rglob("*.png"))) == 1
