"""`benchmarks/gpu.py` without a GPU: every line of it runs, and it refuses to measure a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
def test_all_of_it_runs_on_a_cpu(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    gpu = program("benchmarks/gpu.py")
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu"]) == 2
    assert gpu.main(["--device", "cpu", "--tiny", "--limit", "0", "--out", str(out)]) == 0
    figures = json.loads(out.read_text())["figures"]
    assert any("EXTRAPOLATED from 2 epochs" in name for name in figures)
    assert [v for k, v in figures.items() if "GPU and CPU" in k] == [0, 0, 0]
    assert not gpu.equal(dict.fromkeys(figures, 0.011))
