"""`benchmarks/checks.py` with a tiny model: it runs, and without checks is without."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from differnet_lite.data.checkpoint import CheckpointError
from differnet_lite.model import DifferNet

PATH = Path(__file__).parents[2] / "benchmarks" / "checks.py"


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_checks", PATH)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore:.*held-out normals cannot guarantee")
def test_all_of_it_runs(
    checks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "checks.json"
    given = ["--tiny", "--repeats", "1", "--images", "4", "--out", str(out)]
    assert checks.main(given) == 0
    printed, kept = capsys.readouterr().out, json.loads(out.read_text(encoding="utf-8"))
    assert "tiny: no figure above means anything" in printed and kept["tiny"] is True
    for name in ("score, features computed", "score, features kept", "load"):
        assert set(kept[name]) == {"processor", "clock"}
        assert all(min(t.values()) > 0 for t in kept[name].values())


@pytest.mark.filterwarnings("ignore:.*held-out normals cannot guarantee")
def test_without_checks_a_damaged_model_is_loaded(checks: ModuleType, tmp_path: Path) -> None:
    checks.prepare(tmp_path, 4, **checks.TINY)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # of a number's fraction
    path.write_bytes(content)
    with checks.without_checks_of_contents():
        DifferNet.load(path, device="cpu", progress=False)
    with pytest.raises(CheckpointError, match="its digest does not fit"):
        DifferNet.load(path, device="cpu", progress=False)
