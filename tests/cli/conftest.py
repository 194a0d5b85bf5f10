"""The command line, in this process and in one of its own; a preset that fits in a moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from differnet_lite import settings
from differnet_lite.cli.commands import main
from differnet_lite.detector import DifferNet


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """run("score", ...) runs `python -m differnet_lite score ...`."""

    def start(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "differnet_lite", *map(str, arguments)]
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.run(command, check=False, **(given | options))

    return start


@pytest.fixture
def command(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """command("score", ...) gives exit status, output and errors; presets are tiny."""
    for name in ("default", "paper"):
        monkeypatch.setitem(settings.PRESETS, name, DifferNet(**tiny).settings)

    def start(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return start


@pytest.fixture(scope="session")
def saved(
    tiny: dict[str, Any], category_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file; 12 scores calibrate, so 7.7 % is the smallest rate."""
    path = tmp_path_factory.mktemp("model") / "flange.safetensors"
    return DifferNet(**tiny).fit(category_folder).save(path)
