"""The frozen trunk: its weights, the device it runs on, the numbers it is made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torchvision
from safetensors.numpy import load_file
from safetensors.torch import save_file

from differnet_lite.trunk import BUNDLED_WEIGHTS, fast_dtype, load_trunk, resolve_device

DIGEST = "2b566cc3a4d6f0a7343701af22f461f1ac3dcd03a3ac28cce10968a1d3c85fdc"


def test_the_bundled_tensors_have_their_published_checksum() -> None:
    tensors = load_file(BUNDLED_WEIGHTS)
    names = [f"{layer}.{part}" for layer in (0, 3, 6, 8, 10) for part in ("weight", "bias")]
    content = b"".join(np.ascontiguousarray(tensors[name], "<f4").tobytes() for name in names)
    assert hashlib.sha256(content).hexdigest() == DIGEST
    assert sum(tensor.size for tensor in tensors.values()) == 2_469_696
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype("float32")}


def test_weights_of_a_whole_classifier_or_of_its_trunk_are_read(tmp_path: Path) -> None:
    classifier = torchvision.models.squeezenet1_1(weights=None)
    torch.save(classifier.state_dict(), tmp_path / "whole.pth")
    save_file(classifier.features.state_dict(), tmp_path / "trunk.safetensors")
    expected = classifier.features.state_dict()
    for name in ("whole.pth", "trunk.safetensors"):
        state = load_trunk("squeezenet1_1", tmp_path / name).state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in expected.items())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("alexnot", "random"), ValueError, "classification model, got 'alexnot'"),
        (("resnet18",), ValueError, "'alexnet' alone"),
        (("vit_b_16", "random"), ValueError, "choose another"),
        (("alexnet", "no_such.pth"), FileNotFoundError, "no_such.pth: there is no such weights"),
    ],
)
def test_what_cannot_be_loaded_says_why(
    arguments: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_trunk(*arguments)


@pytest.mark.parametrize("name", ["other.safetensors", "cut.safetensors", "program.pth"])
def test_a_wrong_weights_file_is_an_error_and_runs_no_code(tmp_path: Path, name: str) -> None:
    save_file({"0.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(BUNDLED_WEIGHTS.read_bytes()[:1000])
    torch.save(Path("a pickled object"), tmp_path / "program.pth")
    with pytest.raises(RuntimeError, match=rf"{name}: expected .*state dict"):
        load_trunk(weights=tmp_path / name)


def test_torchvision_weights_without_a_network_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", Mock(side_effect=OSError("no network")))
    with pytest.raises(RuntimeError, match="weights='bundled' need no network"):
        load_trunk(weights="torchvision")


def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device() == torch.device("cpu")
    for absent in ("cuda", "cuda:0", "mps"):
        with pytest.raises(RuntimeError, match=r"this machine has none; use device='auto' or"):
            resolve_device(absent)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


def test_the_fast_dtype_is_what_the_hardware_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    native = Mock(side_effect=[True, False])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", native)
    assert fast_dtype(torch.device("cuda")) == torch.bfloat16
    assert fast_dtype(torch.device("cuda")) == torch.float16
    native.assert_called_with(including_emulation=False)  # emulated bfloat16 is slow
    assert fast_dtype(torch.device("mps")) == torch.float32
    for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False, raising=False)
    assert fast_dtype(torch.device("cpu")) == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert fast_dtype(torch.device("cpu")) == torch.bfloat16
