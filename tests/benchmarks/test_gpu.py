"""`benchmarks/gpu.py` without a GPU: every line of it runs, and it refuses to measure a CPU."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
def test_all_of_it_runs_on_a_cpu(
    program: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = program("benchmarks/gpu.py")
    assert gpu.main(["--device", "cpu"]) == 2
    assert gpu.main(["--device", "cpu", "--tiny"]) == 0
    assert capsys.readouterr().out.count("from the CPU's scores 0.0e+00") == 2
