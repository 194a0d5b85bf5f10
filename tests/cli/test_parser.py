"""What is said at once, and how a process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from differnet_course.baselines.registry import BASELINES
from differnet_course.samples import SAMPLE_CATEGORIES
from differnet_lite import localizer as maps
from differnet_lite import splits
from differnet_lite.cli import output, parser
from differnet_lite.cli.commands import main
from differnet_lite.settings import PRESETS


def test_names_are_those_of_the_package() -> None:
    assert parser.CALIBRATIONS == splits.CALIBRATIONS
    assert set(parser.MAP_METHODS) == set(maps.METHODS)
    assert set(parser.METHODS) == {"differnet", *BASELINES}
    assert set(parser.PRESETS) == set(PRESETS)
    assert set(parser.SAMPLES) == set(SAMPLE_CATEGORIES)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom differnet_lite.cli.commands import main\n"
        "try: main(['fit', '--help'])\n"
        "except SystemExit: print([m for m in ('torch', 'scipy', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--rotations" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_the_help_says_what_happens_to_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert "gets a ' before it" in " ".join(capsys.readouterr().out.split())


def test_a_wrong_argument_ends_with_2(run: Callable[..., Any]) -> None:
    done = run("fit", "x", "--out", "m", "--method", "magic")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


def test_a_closed_pipe_ends_quietly(run: Callable[..., Any]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("cache", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
def test_a_full_output_is_one_line(run: Callable[..., Any]) -> None:
    with open("/dev/full", "w") as full:
        done = run("cache", stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_importing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(name: str, *rest: Any) -> Any:
        if name == "differnet_lite.cache":
            raise KeyboardInterrupt
        return real(name, *rest)

    real = __import__
    monkeypatch.setattr("builtins.__import__", interrupt)
    code = main(["cache"])
    monkeypatch.undo()
    assert code == 130
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        output.check_file("--out", tmp_path / "m")


def test_cells_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    names = ["=1", "+1", "-1", "@a", "\ta", "a"]
    output.write_csv(str(tmp_path / "a.csv"), ("image", "score"), [(n, "-1") for n in names])
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[1:] == ["'=1,-1", "'+1,-1", "'-1,-1", "'@a,-1", "'\ta,-1", "a,-1"]
