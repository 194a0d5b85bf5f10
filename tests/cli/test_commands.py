"""The command line, as a person would use it."""

from __future__ import annotations

import csv
import dataclasses
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_course.baselines.registry import load_detector
from differnet_lite import resuming, settings
from differnet_lite.cache import FeatureCache
from differnet_lite.cli.commands import main
from differnet_lite.model import DifferNet
from differnet_lite.settings import Settings

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def preset(tiny: dict[str, Any]) -> Settings:
    return DifferNet(**tiny).settings


@pytest.fixture(autouse=True)
def small_preset(preset: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.PRESETS, "default", preset)


@pytest.fixture(scope="module")
def saved(
    tiny: dict[str, Any], category_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("model") / "flange.safetensors"
    return DifferNet(**tiny).fit(category_folder).save(path)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("features were computed before the refusal")

    monkeypatch.setattr(FeatureCache, "iter_features", fail)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass over features saw."""
    seen: list[int] = []
    real = FeatureCache.iter_features

    def count(self: FeatureCache, images: Any, *args: Any, **options: Any) -> Any:
        seen.append(len(images))
        return real(self, images, *args, **options)

    monkeypatch.setattr(FeatureCache, "iter_features", count)
    return seen


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["differnet", "1-nn"])
def test_fit_then_score(
    method: str, category_folder: Path, tmp_path: Path, passes: list[int], capsys: Capture
) -> None:
    out, table, maps = tmp_path / "m.safetensors", tmp_path / "s.csv", tmp_path / "maps"
    size = ["--size", "64"] if method == "differnet" else ["--size", "256"]
    fit = ["fit", str(category_folder / "train" / "good"), "--out", str(out), "--rotations", "2"]
    assert main([*fit, "--method", method, *size]) == 0
    printed = capsys.readouterr()
    n, rate = (12, "7.69%") if method == "differnet" else (6, "14.29%")  # too few to promise 5 %
    assert f"trained on     {n} images" in printed.out
    assert f"calibrated on  {n} images" in printed.out
    assert f"guarantees {rate}" in printed.err
    assert printed.err.count("note: ") == 1
    passes.clear()
    images = category_folder / "test"
    assert main(["score", str(out), str(images), "--csv", str(table), "--maps", str(maps)]) == 0
    n = len(list(images.rglob("*.png")))
    assert passes == [n], "one pass"
    rows, loaded = rows_of(table), load_detector(out, progress=False)
    assert loaded.kind == method
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = loaded.judge([r["image"] for r in rows], if_too_few="fallback")
    np.testing.assert_allclose([float(r["score"]) for r in rows], found.scores, rtol=1e-6)
    assert [r["anomalous"] for r in rows] == [str(int(f)) for f in found.anomalous]
    drawn = sorted(maps.glob("*.png"))
    assert len(drawn) == n
    assert Image.open(drawn[0]).size == (448, 448)


def test_scoring_a_category_compares_with_its_labels_in_one_pass(
    category_folder: Path, saved: Path, tmp_path: Path, passes: list[int], capsys: Capture
) -> None:
    report = tmp_path / "r.html"
    assert main(["score", str(saved), str(category_folder), "--report", str(report)]) == 0
    printed = capsys.readouterr()
    assert "image AUROC" in printed.out
    assert "AUPRO" in printed.out
    assert printed.err.count("note: ") == 1
    assert len(passes) == 1
    assert "DifferNet on flange" in report.read_text(encoding="utf-8")


def test_demo_and_cache(
    category_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "cache"))
    report = tmp_path / "demo.html"
    assert main(["demo", str(category_folder), "--report", str(report)]) == 0
    assert "detection rate" in capsys.readouterr().out
    assert report.stat().st_size > 1e5
    n = len(list((tmp_path / "cache").rglob("*.features")))
    assert n > 12
    assert main(["cache", "--clear"]) == 0
    assert f"{n} images' features" in capsys.readouterr().out
    assert main(["cache"]) == 0
    assert ": 0 images' features" in capsys.readouterr().out


def test_a_model_without_calibration_gives_scores_only(
    category_folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "m.safetensors"
    assert main(["fit", str(category_folder), "--out", str(out), "--calibration", "none"]) == 0
    assert main(["score", str(out), str(category_folder), "--csv", "-"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].endswith(",,,")
    assert "fitted without calibration" in printed.err


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("paper", [False, True], ids=["asked for", "of the paper preset"])
def test_an_interrupted_fit_goes_on(
    category_folder: Path,
    preset: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    paper: bool,
) -> None:
    monkeypatch.setitem(settings.PRESETS, "paper", dataclasses.replace(preset, epochs=5))
    monkeypatch.setattr(resuming, "SHARE", float("inf"))
    whole, out = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    options = ["--epochs", "5", "--out"] if not paper else ["--preset", "paper", "--out"]
    assert main(["fit", str(category_folder), *options, str(whole)]) == 0
    assert list(tmp_path.iterdir()) == [whole]
    kept = tmp_path / ("m.safetensors.training" if paper else "kept")
    fit = ["fit", str(category_folder), *options, str(out)]
    fit += [] if paper else ["--checkpoint", str(kept)]
    real = resuming.TrainingState.keep

    def interrupted(self: resuming.TrainingState, *parts: Any) -> None:
        real(self, *parts)
        if len(parts[-1]["epoch"]) == 3:
            raise KeyboardInterrupt

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(resuming.TrainingState, "keep", interrupted)
        assert main(fit) == 130
    said = "a training with a checkpoint goes on by the same command"
    assert said in capsys.readouterr().err
    assert len(list(kept.iterdir())) == 1 and not out.exists()
    assert main(fit) == 0
    assert "the training goes on after epoch 3" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()
    assert not kept.exists(), "of no use once the model is saved"


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", ".", "--out", "m", "--checkpoint", "no/such"], "no such folder to keep"),
        (
            ["fit", ".", "--out", "m", "--method", "1-nn", "--checkpoint", "c"],
            "--checkpoint: expected with --method differnet, got 1-nn",
        ),
        (["fit", "nowhere", "--out", "m"], "nowhere: there is no such file or folder of images"),
        (["fit", ".", "--out", "no/such/m"], "no such folder to save the model in"),
        (["fit", ".", "--out", "."], "expected a file to write, got a folder"),
        (["fit", ".", "--out", "m", "--alpha", "2"], "alpha: expected"),
        (["fit", ".", "--out", "m", "--epochs", "0"], "epochs: expected"),
        (["fit", ".", "--out", "m", "--rotations", "0"], "rotations: expected"),
        (["fit", ".", "--out", "m", "--rotations", "1000000000"], "rotations: expected"),
        (["fit", ".", "--out", "m", "--device", "abacus"], "abacus"),
        (["fit", ".", "--out", "m", "--method", "1-nn", "--noise", "1"], "--noise: expected with"),
        (["fit", ".", "--out", "m", "--method", "dsebm", "--rotations", "2"], "unknown option"),
        (["score", "nowhere.safetensors", "."], "there is no such model file"),
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
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{t}", "--csv", "{tmp}/no/s.csv"], "no such folder to write into"),
        (["{t}", "--csv", "{model}"], "overwrite an input"),
        (["{t}", "--csv", "{t}/good/000.png"], "overwrite an input"),
        (["{t}", "--csv", "{tmp}"], "expected a file to write"),
        (["{c}", "--report", "{c}/train/good/000.png"], "overwrite an input"),
        (["{c}", "--report", "{tmp}/x", "--csv", "{tmp}/x"], "overwrite an input"),
        (["{t}", "--report", "{tmp}/r.html"], "--report needs a category"),
        (["{t}", "--maps", "{t}"], "apart from the images"),
        (["{t}", "--maps", "{t}/maps"], "apart from the images"),
        (["{t}", "--maps", "{c}"], "apart from the images"),
        (["{t}", "--maps", "{tmp}/no/maps"], "no such folder to write into"),
        (["{t}", "--top", "-1"], "top: expected"),
        (["{t}", "--alpha", "0"], "alpha: expected"),
    ],
)
def test_score_refuses_before_work(
    options: list[str],
    message: str,
    saved: Path,
    category_folder: Path,
    tmp_path: Path,
    capsys: Capture,
) -> None:
    before = saved.read_bytes()
    names = {"t": category_folder / "test", "c": category_folder, "tmp": tmp_path, "model": saved}
    assert main(["score", str(saved), *(o.format(**names) for o in options)]) == 2
    assert message in capsys.readouterr().err
    assert saved.read_bytes() == before
    assert not list(tmp_path.iterdir())


def test_a_category_without_test_images(
    saved: Path, category_folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(category_folder / "train", tmp_path / "c" / "train")
    assert main(["score", str(saved), str(tmp_path / "c")]) == 2
    assert "expected images in test/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TypeError("no"), 2),
        (FloatingPointError("no"), 2),
        (RuntimeError("two\nlines"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_fails_in_training_leaves_the_old_model(
    error: BaseException,
    code: int,
    category_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    (tmp_path / "m").write_bytes(b"old")
    monkeypatch.setattr(DifferNet, "fit", fail)
    show = warnings.showwarning
    assert main(["fit", str(category_folder), "--out", str(tmp_path / "m")]) == code
    assert warnings.showwarning is show
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "m").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m"]


def test_strange_names_are_escaped(
    saved: Path, photographs: list[Path], tmp_path: Path, monkeypatch: Any, capsys: Capture
) -> None:
    folder = tmp_path / "photographs"
    photographs[0].rename(folder / "=1+1.png")
    photographs[1].rename(folder / "a\x1b[2J.png")
    monkeypatch.chdir(folder)
    assert main(["score", str(saved), ".", "--csv", str(tmp_path / "s.csv")]) == 0
    printed = capsys.readouterr().out
    assert r"a\x1b[2J.png" in printed
    assert "\x1b" not in printed
    names = [row["image"] for row in rows_of(tmp_path / "s.csv")]
    assert "'=1+1.png" in names
    assert "a\x1b[2J.png" in names


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_file_names_that_are_not_unicode(
    saved: Path, photographs: list[Path], tmp_path: Path, run: Callable[..., Any]
) -> None:
    name = os.fsdecode(b"d\xe9faut.png")  # as an old camera or archive writes it
    (tmp_path / "photos").mkdir()
    shutil.copy(photographs[0], tmp_path / "photos" / name)
    table, maps = tmp_path / "s.csv", tmp_path / "maps"
    done = run("score", saved, tmp_path / "photos", "--csv", table, "--maps", maps)
    assert done.returncode == 0, done.stderr
    assert r"d\udce9faut.png" in done.stdout
    assert [Path(row["image"]).name for row in rows_of(table)] == [name]
    assert len(list(maps.iterdir())) == 1
