"""`benchmarks/checks.py` with a tiny model: it runs, and without checks is without."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from differnet_lite.checkpoint import CheckpointError
from differnet_lite.model import DifferNet


@pytest.fixture(scope="module")
def checks(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("benchmarks/checks.py")


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
