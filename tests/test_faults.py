"""SIGKILL while the package works: a short run of `make faults`, and the scripts' own parts."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent
Program = Callable[[str], ModuleType]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_five_kills_leave_nothing_half_written_and_the_same_bits() -> None:
    # of so few, each may come too late on a machine that is busy with something else
    command = [sys.executable, str(ROOT / "scripts" / "faults.py"), "--kills", "5"]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert set(rows) == {"extraction", "training", "saving", "grid", "all"}, done.stderr
    kills, struck, _, half_written, differ, _ = map(int, rows["all"])
    assert (kills, half_written, differ) == (5, 0, 0), done.stderr
    assert struck >= 3


def test_what_is_half_written_is_seen(program: Program, tmp_path: Path) -> None:
    faults, whole = program("scripts/faults.py"), tmp_path / "whole"
    (whole / "cache").mkdir(parents=True)
    for name in ("cache/a.features", "model.safetensors"):
        (whole / name).write_bytes(b"all of it")
    expected, models = faults.result(whole), [b"the other model"]
    assert faults.half_written(whole, expected, models) == []
    (whole / ".123.tmp").write_bytes(b"all")
    (whole / "model.safetensors").write_bytes(models[0])
    assert faults.half_written(whole, expected, models) == []
    for name in ("cache/a.features", "model.safetensors", "table.csv", "flow_0_1.training"):
        before = (whole / name).read_bytes() if (whole / name).exists() else None
        (whole / name).write_bytes(b"")
        found = faults.half_written(whole, expected, models)
        assert len(found) == 1 and found[0].startswith(name), found
        (whole / name).unlink() if before is None else (whole / name).write_bytes(before)
    (whole / "unknown").write_bytes(b"x")
    assert faults.half_written(whole, expected, models) == ["unknown ('unknown')"]


def test_the_lowest_versions_are_pyprojects(program: Program) -> None:
    versions = program("scripts/versions.py")
    pins = versions.lowest_bounds()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [pin.replace("==", ">=") for pin in pins][: len(project["dependencies"])] == (
        project["dependencies"]
    )
    assert not [pin for pin in pins if pin.startswith("differnet")]
    assert project["requires-python"] == f">={versions.PYTHONS[0]}"
    assert all((ROOT / "tests" / name).exists() for name in versions.TESTS)
    compile(versions.readme_example(), "README.md", "exec")
    assert "DifferNet" in versions.readme_example()


def test_interpreters_are_looked_for_on_the_path_and_among_pyenvs(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = program("scripts/versions.py")
    mine = "{}.{}".format(*sys.version_info)

    def interpreter(path: Path, says: str) -> None:
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho {says}\n", encoding="utf-8")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert versions.find_python("9.8") is None
    interpreter(tmp_path / "shims" / f"python{mine}", "'not chosen'")  # a shim that does not work
    inner = tmp_path / "pyenv" / "versions" / f"{mine}.4" / "bin" / f"python{mine}"
    interpreter(inner, mine)
    assert versions.find_python(mine) == str(inner)
