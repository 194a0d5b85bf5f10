"""`benchmarks/gpu.py` without a GPU: every line of it runs, and it refuses to measure a CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def gpu(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("benchmarks/gpu.py")


@pytest.mark.filterwarnings("ignore:.*held-out normals cannot guarantee")
def test_all_of_it_runs_on_a_cpu(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--tiny", "--out", str(out)]) == 0
    printed, kept = capsys.readouterr().out, json.loads(out.read_text())
    assert "tiny: no figure above means anything" in printed and kept["tiny"] is True
    targets = ("0.7", "<= 30", "<= 5)", "<= 10)", "<= 0.15")
    assert all(any(target in name for name in kept["figures"]) for target in targets)
    same = [v for k, v in kept["figures"].items() if "GPU and CPU" in k]
    assert same == [0, 0, 0], "the CPU beside itself"


def test_a_long_fit_is_said_to_be_extrapolated(gpu: ModuleType, tmp_path: Path) -> None:
    sizes = gpu.tiny()
    train, test = gpu.make_images(tmp_path, sizes)
    device = gpu.resolve_device("cpu")
    figures, model = gpu.paper_in_full(train, test, sizes, device, limit=0.0)
    assert "paper preset, fit, s (EXTRAPOLATED from 2 epochs)" in figures
    assert len(model.history_["epoch"]) == 2


def test_scores_that_differ_are_no_success(gpu: ModuleType) -> None:
    near = {"default, GPU and CPU, largest relative difference": 0.009}
    decided = {"default, GPU and CPU, decisions that differ, of 83": 0.0}
    assert gpu.kept(near | decided)
    assert not gpu.kept(dict.fromkeys(near, 0.011) | decided)
    assert not gpu.kept(near | dict.fromkeys(decided, 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cpu"], "expected a GPU, found none that torch can use"),
        (["--device", "cuda:99"], "device 'cuda:99' was asked for, but this machine has none"),
        (["--device", "abacus"], "device: expected"),
    ],
)
def test_it_refuses_clearly_without_a_device(
    gpu: ModuleType, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1
