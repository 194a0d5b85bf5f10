"""The commands fit, demo and cache, and how a command ends."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import differnet_lite
from differnet_course.samples import SAMPLE_CATEGORIES
from differnet_lite import settings, splits
from differnet_lite.cache import FeatureCache
from differnet_lite.cli import parser
from differnet_lite.cli.output import Row
from differnet_lite.detector import DifferNet

Command = Callable[..., tuple[int, str, str]]


def test_fit_says_what_trains_what_it_promises_and_what_is_next(
    command: Command, category_folder: Path, tmp_path: Path
) -> None:
    model_file = tmp_path / "a model.safetensors"
    status, out, err = command("fit", category_folder, "--out", model_file, "--seed", "5")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("training on 12 images of flange/train/good; left out: ")
    assert {"  trained on     12 images", "  calibrated on  12 images"} <= set(lines)
    assert "7.69%" in err and err.count("note: ") == 1
    assert lines[-1].startswith(f"next: differnet-lite score '{model_file}' ")
    assert DifferNet.load(model_file, progress=False).seed == 5


def test_options_become_settings(
    command: Command, photographs: list[Path], category_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    options = ["--epochs", "3", "--noise", "0.02", "--size", "80", "--rotations", "1"]
    split = ["--calibration", "split", "--holdout", "0.4"]
    assert command("fit", category_folder, "--out", out, *options, *split)[0] == 0
    model = DifferNet.load(out, progress=False)
    s = model.settings
    assert (s.epochs, s.noise, s.size, s.holdout) == (3, 0.02, 80, 0.4)
    assert s.transformations == s.transformations.upright()
    assert model.calibrated_by_ == "split"
    others = photographs[0].parent
    assert command("fit", category_folder, "--out", out, "--calibration", others)[0] == 0
    model = DifferNet.load(out, progress=False)
    assert model.calibrated_by_ == "given" and len(model.calibration_scores_) == 5
    options = ["--rotations", "3", "--white", "4095", "--groups", r"\d\d(\d)"]  # 000 with 010
    assert command("fit", category_folder, "--out", out, *options)[0] == 0
    model = DifferNet.load(out, progress=False)
    assert len(model.angles_) == 3 and model.white_ == 4095
    assert model.calibration_groups_ is not None and len(set(model.calibration_groups_)) == 10
    status, _, err = command("fit", category_folder, "--out", out, "--groups", "(")
    assert status == 2 and "unterminated" in err
    files = sorted((category_folder / "train" / "good").iterdir())  # as a shell writes *.png
    assert command("fit", *files, "--out", out, "--epochs", "1", "--size", "80")[0] == 0
    assert DifferNet.load(out, progress=False).n_train_ == len(files)


def test_a_training_resumes_and_its_states_go_with_the_saved_model(
    command: Command, category_folder: Path, tmp_path: Path
) -> None:
    out, states = tmp_path / "m", tmp_path / "m.training"
    fit = ["fit", category_folder, "--out", out, "--preset", "paper"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DifferNet, "save", Mock(side_effect=KeyboardInterrupt))
        status, _, err = command(*fit)
    assert status == 130 and "the same command goes on" in err
    assert not out.exists() and list(states.glob("*.training"))
    assert command(*fit)[0] == 0
    assert out.exists() and not states.exists()


def test_demo_and_cache(
    command: Command, category_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "cache"))
    report = tmp_path / "demo.html"
    status, out, _ = command("demo", category_folder, "--report", report)
    assert status == 0 and "detection rate" in out
    assert report.stat().st_size > 1e5
    n = len(list((tmp_path / "cache").rglob("*.features")))
    assert n > 12
    assert f"{n} images' features" in command("cache", "--clear")[1]
    assert ": 0 images' features" in command("cache")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "nowhere", "--out", "m"], "nowhere: there is no such"),
        (["fit", ".", "--out", "m"], "expected normal images"),
        (["fit", ".", "--out", "no/such/m"], "there is no folder no/such"),
        (["fit", ".", "--out", "."], "expected the name of a file"),
        (["fit", ".", "--out", "m", "--epochs", "0"], "epochs: expected"),
        (["fit", ".", "--out", "m", "--rotations", "0"], "angles: expected"),
        (["fit", ".", "--out", "m", "--device", "abacus"], "abacus"),
        (["fit", ".", "--out", "m", "--calibration", "crosss"], "crosss"),
        (["score", "nowhere.safetensors", "."], "expected a model file"),
        (["fit", ".", "--out", "m", "--holdout", "0.3"], "--holdout is a part of --calibration"),
        (["demo", "nowhere"], "nowhere"),
        (["demo", "--alpha", "2"], "--alpha: expected"),
        (["prepare", "mtd", "."], "needs a clone and --split"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
) -> None:
    monkeypatch.setattr(FeatureCache, "iter_features", lambda *_, **__: pytest.fail("it worked"))
    monkeypatch.chdir(tmp_path)
    status, _, err = command(*arguments)
    assert status == 2 and message in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    actions = parser.build_parser()._actions
    return next(action.choices for action in actions if action.dest == "command")  # type: ignore


def test_names_and_defaults_are_those_of_the_package(
    commands: dict[str, argparse.ArgumentParser],
) -> None:
    assert parser.RULES == splits.CALIBRATIONS
    assert set(parser.PRESETS) == set(settings.PRESETS)
    assert set(parser.SAMPLES) == set(SAMPLE_CATEGORIES)
    default, paper = settings.PRESETS["default"], settings.PRESETS["paper"]
    helps = {action.dest: action.help or "" for action in commands["fit"]._actions}
    for name in ("epochs", "noise", "size", "holdout", "calibration"):
        mine, theirs = getattr(default, name), getattr(paper, name)
        expected = (
            f"(default {mine})"
            if mine == theirs
            else f"(default {mine}; paper {str(theirs).removesuffix('.0')})"
        )
        assert helps[name].endswith(expected), name
    angles = default.transformations.angles
    assert angles is not None and f"(default {len(angles)})" in helps["rotations"]


def test_every_option_and_column_is_documented(
    commands: dict[str, argparse.ArgumentParser],
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "command.md").read_text(encoding="utf-8")
    names = {field.name for field in dataclasses.fields(Row)}
    for command in commands.values():
        names |= {option for action in command._actions for option in action.option_strings}
    assert not [name for name in names - {"-h", "--help"} if f"`{name}" not in page]


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom differnet_lite.cli.commands import main\n"
        "try: main(['{}'])\n"
        "except SystemExit: print([m for m in ('torch', 'scipy', 'plotly') if m in sys.modules])"
    )
    for option, answer in (("--help", "evaluate"), ("--version", differnet_lite.__version__)):
        command = [sys.executable, "-c", code.format(option)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert answer in done.stdout
        assert done.stdout.endswith("[]\n")


def test_a_closed_pipe_ends_quietly(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("cache", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
