"""The command line where the machine is set up otherwise: locale, cache folder, umask."""

from __future__ import annotations

import csv
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from differnet_lite.cli.commands import main
from differnet_lite.model import DifferNet

Capture = pytest.CaptureFixture[str]
ROOT = getattr(os, "geteuid", lambda: 1)() == 0


@pytest.fixture(scope="module")
def saved(
    tiny: dict[str, Any], category_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("model") / "modèle.safetensors"
    return DifferNet(**tiny).fit(category_folder).save(path)


def column(path: Path, name: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names do not hang on it")
def test_names_outside_ascii_in_the_c_locale(
    saved: Path, photographs: list[Path], tmp_path: Path, run: Callable[..., Any]
) -> None:
    root = photographs[0].parent.rename(tmp_path / "Flansche_日本é")
    (root / "0.png").rename(root / "ключ é.png")
    for path in photographs[2:]:
        (root / path.name).unlink()
    cache, table, maps = (tmp_path / name for name in ("ü", "tä.csv", "Käs"))
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env = os.environ | plain | {"DIFFERNET_LITE_CACHE": str(cache)}
    done = run("score", saved, root, "--csv", table, "--maps", maps, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert sorted(column(table, "image")) == [str(root / name) for name in ("1.png", "ключ é.png")]
    assert [path.name[5:] for path in sorted(maps.iterdir())] == ["1.png", "ключ é.png"]
    assert len(list(cache.rglob("*.features"))) == 2


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a user who names no other one."""
    for name in ("DIFFERNET_LITE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    if (tmp_path / "home").is_dir():
        (tmp_path / "home").chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="Windows has another home")
@pytest.mark.parametrize(
    "what", ["a file", pytest.param("read-only", marks=pytest.mark.skipif(ROOT, reason="is root"))]
)
def test_a_home_that_cannot_be_written_costs_the_cache_only(
    what: str, saved: Path, photographs: list[Path], tmp_path: Path, home: Path, capsys: Capture
) -> None:
    if what == "a file":
        home.write_text("not a folder")
    else:
        home.mkdir(0o500)
    expected = DifferNet.load(saved, cache=None, progress=False).anomaly_scores(photographs)
    folder, table = str(photographs[0].parent), tmp_path / "s.csv"
    assert main(["score", str(saved), folder, "--csv", str(table)]) == 0
    said = capsys.readouterr().err
    assert said.count("features cannot be kept") == 1
    assert "set DIFFERNET_LITE_CACHE" in said
    np.testing.assert_allclose([float(s) for s in column(table, "score")], expected, rtol=1e-5)
    assert main(["cache"]) == 0
    assert "0 images' features" in capsys.readouterr().out
    assert home.is_file() or not list(home.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_what_is_written_is_private_where_all_files_are(
    saved: Path, photographs: list[Path], tmp_path: Path, home: Path, capsys: Capture
) -> None:
    home.mkdir()
    folder, out = photographs[0].parent, tmp_path / "out"
    before = os.umask(0o077)
    try:
        out.mkdir()
        outputs = ["--csv", str(out / "s.csv"), "--maps", str(out / "maps")]
        for _ in range(2):  # the second time what the first one kept is read
            assert main(["score", str(saved), str(folder), *outputs]) == 0
        assert DifferNet.load(saved).save(out / "again").read_bytes() == saved.read_bytes()
    finally:
        os.umask(before)
    written = [*out.rglob("*"), *(home / ".cache").rglob("*")]
    assert {path.suffix for path in written} >= {".csv", ".png", ".features", ".json"}
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    said = capsys.readouterr().err
    assert "damaged" not in said and "cannot be kept" not in said
