"""Model files: whole or refused, whatever bit, header or tensor has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from differnet_lite.checkpoint import (
    CheckpointError,
    read_checkpoint,
    rebuilding,
    write_checkpoint,
)
from differnet_lite.model import DifferNet

TENSORS = {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.float16), "c": torch.tensor(7)}
HEADER: dict[str, Any] = {"angles": [0.0, 22.5], "name": "ä"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "a.safetensors", TENSORS, HEADER, kind="some")


@pytest.fixture(scope="module")
def saved(model: DifferNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model of 256 px; its tests read it alone."""
    return model.save(tmp_path_factory.mktemp("model") / "whole.safetensors")


def test_what_is_written_is_read(written: Path) -> None:
    for kind in (None, "some"):
        header, tensors = read_checkpoint(written, kind=kind)
        assert header == HEADER | {"format": 3, "kind": "some"}
        assert set(tensors) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    again = write_checkpoint(written.with_name("b"), TENSORS, HEADER, kind="some")
    assert again.read_bytes() == written.read_bytes()


def test_empty_tensors_are_kept(tmp_path: Path) -> None:
    """A model without calibration has no scores of it; NumPy's empty arrays have no strides."""
    empty = {"a": torch.from_numpy(np.concatenate([np.empty(0)])), "b": torch.zeros(3, 0)}
    _, tensors = read_checkpoint(write_checkpoint(tmp_path / "a", empty, {}, kind="some"))
    assert {name: tuple(x.shape) for name, x in tensors.items()} == {"a": (0,), "b": (3, 0)}
    loaded = write_checkpoint(tmp_path / "b", empty | {"b": torch.zeros(0, 3)}, {}, kind="some")
    assert loaded.read_bytes() != (tmp_path / "a").read_bytes()


def test_every_flipped_bit_of_a_small_file_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        written.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
            read_checkpoint(written, kind="some")


def test_flipped_bits_of_a_model_are_noticed(saved: Path, tmp_path: Path) -> None:
    content, rng = saved.read_bytes(), np.random.default_rng(0)
    bad, n_header = tmp_path / "bad.safetensors", int.from_bytes(content[:8], "little") + 8
    everywhere = [*rng.integers(0, len(content), 150), *rng.integers(0, n_header, 50)]
    for position in everywhere:
        flipped = bytearray(content)
        flipped[position] ^= 1 << rng.integers(8)
        bad.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"bad\.safetensors: "):
            read_checkpoint(bad, kind="differnet")


def test_files_that_are_no_model(saved: Path, model: DifferNet, tmp_path: Path) -> None:
    def fails(path: Path, message: str) -> None:
        with pytest.raises(CheckpointError, match=rf"{path.name}: .*{message}"):
            DifferNet.load(path, device="cpu")

    content = saved.read_bytes()
    bad = tmp_path / "bad.safetensors"
    half = content[: len(content) // 2]
    for part in (half, content[:-1], content[:100], b"", b"no model at all" * 10, bytes(64)):
        bad.write_bytes(part)
        fails(bad, "damaged, cut short, or no safetensors file")
    save_file({"a": torch.zeros(2)}, bad)
    fails(bad, "no model of differnet_lite")
    save_file({"a": torch.zeros(2)}, bad, metadata={"differnet_lite": "[1, 2]"})
    fails(bad, "no model of differnet_lite")
    save_file({"a": torch.zeros(2)}, bad, metadata={"differnet_lite": "[" * 100_000})
    fails(bad, "damaged")
    with pytest.raises(FileNotFoundError, match="gone"):
        DifferNet.load(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"no_folder: there is no such folder"):
        model.save(tmp_path / "no_folder" / "a.safetensors")


def edited(
    path: Path,
    folder: Path,
    tensors: Callable[[dict[str, Any]], Any] = lambda t: None,
    **changes: Any,
) -> Path:
    """A copy of another header or other tensors, its digest in order; None drops an entry."""
    header, content = read_checkpoint(path)
    header = {name: value for name, value in (header | changes).items() if value is not None}
    tensors(content)
    kind, version = header.pop("kind", None), header.pop("format")
    assert version == 3
    return write_checkpoint(folder / "edited.safetensors", content, header, kind=kind)


def test_another_format_or_an_edited_header_is_refused(written: Path) -> None:
    with safe_open(written, framework="pt") as file:
        metadata = file.metadata()
    content = load_file(written)
    for version in (1, 2, None, "3"):
        text = json.dumps(json.loads(metadata["differnet_lite"]) | {"format": version})
        save_file(content, written, metadata={"differnet_lite": text})
        message = rf"expected model format 3, got {version!r}; fit again, or install"
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(written)
    text = metadata["differnet_lite"].replace("22.5", "23.5")
    spaced = metadata["differnet_lite"].replace(": ", ":  ")
    without = json.loads(text)
    del without["sha256"]
    for edit in (text, spaced, json.dumps(without)):
        save_file(content, written, metadata={"differnet_lite": edit})
        with pytest.raises(CheckpointError, match="its digest does not fit; copy it again"):
            read_checkpoint(written)
    save_file(content | {"a": content["a"].view(5, 1)}, written, metadata=metadata)
    with pytest.raises(CheckpointError, match="its digest does not fit"):
        read_checkpoint(written)


def test_a_model_of_another_kind_is_refused(written: Path) -> None:
    message = "expected a 'differnet' model, got a 'some' one; load it with the class of"
    with pytest.raises(CheckpointError, match=message):
        DifferNet.load(written)


def test_a_header_that_does_not_fit_the_tensors_is_refused(
    saved: Path, model: DifferNet, tmp_path: Path
) -> None:
    """Written in good order, digest and all, but by a hand that changed one thing."""
    settings, trunk = model.settings.to_json(), model.extractor.identity

    def other(**changes: Any) -> dict[str, Any]:
        return {"settings": settings | changes}

    grid = settings["transformations"]
    cases: list[dict[str, Any]] = [
        {"trunk": trunk.replace("alexnet/", "alexnet/0")},
        {"trunk": trunk.replace("float32", "bfloat16")},
        {"trunk": "nonsense"},
        {"trunk": None},
        other(novelty=1),
        other(hidden=64),
        other(n_blocks=5),
        other(n_blocks=3),
        other(whiten=False),
        other(n_scales=2),
        other(size=512),
        other(epochs=0),
        other(downscale="lanczos"),
        other(downscale="nearest"),
        other(transformations=grid | {"fill": "white"}),
        other(reference_images="many"),
        {"settings": None},
        {"settings": []},
        {"seed": None},
        {"seed": -1},
        {"seed": "0"},
        {"n_train": None},
        {"n_train": 0},
        {"n_train": 2.5},
        {"history": None},
        {"angles": None},
        {"angles": []},
        {"angles": ["0"]},
        {"angles": [0.0]},  # the reference has four
        {"angles": [0.0, 90.0, 180.0, 270.0, 300.0]},
    ]
    for changes in cases:
        path = edited(saved, tmp_path, **changes)
        with pytest.raises(CheckpointError, match=r"edited\.safetensors: "):
            print(changes, DifferNet.load(path, device="cpu"))


def test_missing_or_misshapen_tensors_are_refused(saved: Path, tmp_path: Path) -> None:
    def changed(name: str, value: torch.Tensor | None) -> Callable[[dict[str, Any]], None]:
        def change(tensors: dict[str, Any]) -> None:
            tensors.pop(name)
            if value is not None:
                tensors[name] = value

        return change

    _, content = read_checkpoint(saved)
    scores = content["calibration_scores"].clone()
    scores[2] = float("nan")
    cases = [
        changed("calibration_scores", None),
        changed("calibration_scores", scores),
        changed("calibration_scores", scores[:4].view(2, 2)),
        changed("flow1.chain.module_list.0.M", None),
        changed("flow0.mean", torch.zeros(5)),
        changed("reference.0", None),
        changed("spread.2", None),
        changed("reference.1", content["reference.1"][:3]),
        changed("spread.0", content["spread.0"][..., :5]),
    ]
    for k, change in enumerate(cases):
        path = edited(saved, tmp_path, change)
        with pytest.raises(CheckpointError, match=r"incomplete or of another|expected finite"):
            print(k, DifferNet.load(path, device="cpu"))


def test_what_goes_wrong_while_rebuilding_names_the_file() -> None:
    for error in (KeyError("a"), IndexError(), TypeError(), ValueError(), RuntimeError("b")):
        with (
            pytest.raises(CheckpointError, match=r"x: the file is incomplete or of another"),
            rebuilding("x"),
        ):
            raise error
    with pytest.raises(CheckpointError, match=r"^mine$"), rebuilding("x"):
        raise CheckpointError("mine")
    with pytest.raises(KeyboardInterrupt), rebuilding("x"):
        raise KeyboardInterrupt
