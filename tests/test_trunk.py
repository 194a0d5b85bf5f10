"""The frozen trunk: its weights, the device it runs on, the numbers it is made of."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import save_file

from differnet_lite.trunk import BUNDLED_WEIGHTS, fast_dtype, load_trunk, resolve_device


def test_shipped_tensors_have_the_known_checksum() -> None:
    script = Path(__file__).parent.parent / "scripts" / "rebuild_trunk.py"
    spec = importlib.util.spec_from_file_location("rebuild_trunk", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tensors = load_arrays(BUNDLED_WEIGHTS)
    assert (
        module.tensors_digest(tensors)
        == "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"
    )
    assert len(tensors) == 10
    assert sum(tensor.size for tensor in tensors.values()) == 2_469_696
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float32")}


def test_wrong_weight_files_are_errors(tmp_path: Path) -> None:
    save_file({"0.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(BUNDLED_WEIGHTS.read_bytes()[:1000])
    for name in ("other.safetensors", "cut.safetensors"):
        with pytest.raises(
            RuntimeError, match=f"{name}: the file does not hold the weights of alexnet's trunk"
        ):
            load_trunk(weights=tmp_path / name)


def test_torchvision_weights_without_a_network_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(RuntimeError, match="weights='bundled' need no network"):
        load_trunk(weights="torchvision")


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device().type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match=r"cuda.*none; use device='auto' or 'cpu'"):
            resolve_device("cuda")


def test_a_wrong_device_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("gpu", "cuda:x", "meta", "xpu", 1.5, None):
        with pytest.raises(ValueError, match=r"device: expected 'auto', 'cpu', .*got"):
            resolve_device(wrong)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device() == torch.device("cpu")
    for absent in ("cuda", "cuda:0", "mps"):
        with pytest.raises(RuntimeError, match=r"this machine has none; use device='auto' or"):
            resolve_device(absent)


def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(RuntimeError, match="'cuda:2' was asked for"):
        resolve_device("cuda:2")


def test_the_fast_dtype_is_what_the_hardware_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    for native, expected in ((True, torch.bfloat16), (False, torch.float16)):
        asked: list[dict[str, Any]] = []
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda native=native, asked=asked, **options: asked.append(options) or native,
        )
        assert fast_dtype(cuda) == expected
        assert asked == [{"including_emulation": False}], "emulated bfloat16 is slow"
    assert fast_dtype(torch.device("mps")) == torch.float32
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert fast_dtype(cpu) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert fast_dtype(cpu) == torch.bfloat16


def test_a_trunk_is_frozen_and_in_eval_mode() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        trunks = [load_trunk(), load_trunk("resnet18", "random"), load_trunk("vgg11", "random")]
    for trunk, channels in zip(trunks, (256, 512, 512), strict=True):
        assert not any(p.requires_grad for p in trunk.parameters())
        assert not any(module.training for module in trunk.modules())
        with torch.no_grad():
            maps = trunk(torch.zeros(1, 3, 96, 96))
        assert maps.shape[:2] == (1, channels) and maps.ndim == 4
