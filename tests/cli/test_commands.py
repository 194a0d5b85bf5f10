"""The command line, as a person would use it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from differnet_lite.cli.commands import main
from differnet_lite.model import DifferNet
from differnet_lite.plots import write_overlays
from differnet_lite.samples import make_sample_category


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_category(
        "flange",
        tmp_path_factory.mktemp("data"),
        n_train=10,
        n_test_good=3,
        n_per_defect=1,
        progress=False,
    )


@pytest.fixture(scope="module")
def model(category: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "flange.safetensors"
    DifferNet(epochs=2, hidden=16, transformations=_few_angles(), progress=False).fit(
        category
    ).save(path)
    return path


def _few_angles():  # type: ignore[no-untyped-def]
    from differnet_lite import Transformations

    return Transformations.grid(2)


def test_fit_then_score_writes_table_maps_and_report(
    category: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "part.safetensors"
    assert (
        main(["fit", str(category / "train" / "good"), "--out", str(out), "--rotations", "2"]) == 0
    )
    printed = capsys.readouterr()
    assert "trained on     5 images" in printed.out
    assert "guarantees 16.67%" in printed.err  # 5 held-out images cannot promise 5 %
    assert (
        main(
            [
                "score",
                str(out),
                str(category / "test"),
                "--csv",
                str(tmp_path / "s.csv"),
                "--maps",
                str(tmp_path / "maps"),
            ]
        )
        == 0
    )
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    loaded = DifferNet.load(out, progress=False)
    np.testing.assert_allclose(
        [float(r["score"]) for r in rows],
        loaded.anomaly_scores([r["image"] for r in rows]),
        rtol=1e-6,
    )
    theta = loaded.threshold(0.05, if_too_few="fallback").value
    assert [r["anomalous"] for r in rows] == [str(int(float(r["score"]) >= theta)) for r in rows]
    maps = sorted((tmp_path / "maps").glob("*.png"))
    assert len(maps) == 8
    assert (
        main(
            [
                "score",
                str(out),
                str(category / "test"),
                "--maps",
                str(tmp_path / "other"),
                "--map-method",
                "deviation",
            ]
        )
        == 0
    )
    assert (tmp_path / "other" / maps[0].name).read_bytes() != maps[0].read_bytes()
    assert Image.open(maps[0]).size == (448, 448)


def test_scoring_a_category_compares_with_its_labels(
    category: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "r.html"
    assert main(["score", str(model), str(category), "--report", str(report)]) == 0
    printed = capsys.readouterr().out
    assert "image AUROC" in printed
    assert "AUPRO" in printed
    assert "DifferNet on flange" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fit", "nowhere", "--out", "m.safetensors"],
            "nowhere: there is no such file or folder of images",
        ),
        (
            ["fit", ".", "--out", "no/such/folder/m.safetensors"],
            "no such folder to write into",
        ),
        (["score", "nowhere.safetensors", "."], "nowhere.safetensors: there is no such model file"),
        (["demo", "nowhere"], "nowhere: there is no such folder"),
        (["prepare", "mvtec", "nowhere.tar.xz"], "nowhere.tar.xz: there is no such archive"),
        (["prepare", "mvtec"], "needs the downloaded archive"),
        (["prepare", "mtd", "."], "needs --split"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_csv_is_not_written_into_a_missing_folder_before_any_work(
    model: Path, category: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["score", str(model), str(category / "test"), "--csv", str(tmp_path / "no" / "s.csv")])
        == 2
    )
    assert "no such folder to write into" in capsys.readouterr().err


def test_maps_of_very_anomalous_images_are_drawn(
    model: Path, category: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot = np.zeros((448, 448), np.float32)
    spot[200:248, 200:248] = 1
    monkeypatch.setattr(
        DifferNet,
        "iter_anomaly_maps",
        lambda self, paths, **options: (spot * size for size in (1e6, 8e5, 1.0)),
    )
    photographs = sorted((category / "test" / "good").iterdir())[:3]
    write_overlays(tmp_path, DifferNet.load(model, progress=False), photographs)
    change = []
    for path, drawn in zip(photographs, sorted(tmp_path.iterdir()), strict=True):
        before, after = (
            np.asarray(Image.open(p).convert("RGB").resize((448, 448))).astype(float)
            for p in (path, drawn)
        )
        change.append(np.abs(after - before)[210:238, 210:238].mean())
    assert min(change[:2]) > 20, (
        "two are far beyond what a half-precision number holds, and drawn in full"
    )
    assert change[2] < 3, "the third is pale beside them"


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no file names that are not Unicode"
)
def test_file_names_that_are_not_unicode(model: Path, category: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"d\xe9faut.png")  # as an old camera or archive writes it
    (tmp_path / "photos").mkdir()
    shutil.copy(next((category / "test" / "good").iterdir()), tmp_path / "photos" / name)
    command = [
        "-m",
        "differnet_lite",
        "score",
        str(model),
        str(tmp_path / "photos"),
        "--csv",
        str(tmp_path / "s.csv"),
        "--maps",
        str(tmp_path / "maps"),
    ]
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        encoding="utf-8",
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 0, done.stderr
    assert r"d\udce9faut.png" in done.stdout
    with (tmp_path / "s.csv").open(encoding="utf-8", errors="surrogateescape") as file:
        assert [Path(row["image"]).name for row in csv.DictReader(file)] == [name]
    assert len(list((tmp_path / "maps").iterdir())) == 1


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "differnet_lite", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo" in done.stdout
