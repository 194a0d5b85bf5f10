"""Model files: whole or refused, whatever bit, header or tensor has changed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from differnet_lite.checkpoint import (
    FORMAT,
    CheckpointError,
    read_checkpoint,
    rebuilding,
    tensors_of,
    write_checkpoint,
)

TENSORS = {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.float16), "c": torch.tensor(7)}
HEADER: dict[str, Any] = {"angles": [0.0, 22.5], "name": "ä"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "a.safetensors", TENSORS, HEADER, kind="some")


def test_what_is_written_is_read(written: Path) -> None:
    for kind in (None, "some"):
        header, tensors = read_checkpoint(written, kind=kind)
        assert header == HEADER | {"format": FORMAT, "kind": "some"}
        assert set(tensors) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    again = write_checkpoint(written.with_name("b"), TENSORS, HEADER, kind="some")
    assert again.read_bytes() == written.read_bytes()
    assert tensors_of("x", {"x.a": TENSORS["a"], "y.a": TENSORS["b"]}) == {"a": TENSORS["a"]}


def test_empty_tensors_and_views_are_kept(tmp_path: Path) -> None:
    """A model without calibration has no scores of it; NumPy's empty arrays have no strides."""
    tensors = {
        "a": torch.from_numpy(np.concatenate([np.empty(0)])),
        "b": torch.zeros(3, 0),
        "c": torch.arange(6.0).view(2, 3).T,
    }
    _, read = read_checkpoint(write_checkpoint(tmp_path / "a", tensors, {}, kind="some"))
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_every_flipped_bit_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        written.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
            read_checkpoint(written, kind="some")


def test_files_that_are_no_model(written: Path, tmp_path: Path) -> None:
    content = written.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for part in (content[: len(content) // 2], content[:-1], b"", b"no model" * 10, bytes(64)):
        bad.write_bytes(part)
        with pytest.raises(CheckpointError, match=r"bad.*damaged, cut short, or no safetensors"):
            read_checkpoint(bad)
    for metadata in (None, {"differnet_lite": "[1, 2]"}):
        save_file({"a": torch.zeros(2)}, bad, metadata=metadata)
        with pytest.raises(CheckpointError, match="no model of differnet_lite"):
            read_checkpoint(bad)
    with pytest.raises(FileNotFoundError, match="gone: there is no such model file"):
        read_checkpoint(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="no_folder: there is no such folder"):
        write_checkpoint(tmp_path / "no_folder" / "a", TENSORS, HEADER, kind="some")
    with pytest.raises(OSError, match="expected a file to write, got a folder"):
        write_checkpoint(tmp_path, TENSORS, HEADER, kind="some")


def test_another_format_kind_or_header_is_refused(written: Path) -> None:
    with safe_open(written, framework="pt") as file:
        text = file.metadata()["differnet_lite"]
    content = load_file(written)
    for version in (3, None):
        other = json.dumps(json.loads(text) | {"format": version})
        save_file(content, written, metadata={"differnet_lite": other})
        with pytest.raises(CheckpointError, match=f"format {FORMAT}, got {version}; fit again"):
            read_checkpoint(written)
    for edited in (text.replace("22.5", "23.5"), text.replace(": ", ":  ")):
        save_file(content, written, metadata={"differnet_lite": edited})
        with pytest.raises(CheckpointError, match="its digest does not fit; copy it again"):
            read_checkpoint(written)
    save_file(content | {"a": content["a"].view(5, 1)}, written, metadata={"differnet_lite": text})
    with pytest.raises(CheckpointError, match="its digest does not fit"):
        read_checkpoint(written)
    save_file(content, written, metadata={"differnet_lite": text})
    with pytest.raises(CheckpointError, match="expected a 'differnet' model, got a 'some' one"):
        read_checkpoint(written, kind="differnet")


REWRITTEN = """
    import pathlib, sys, threading
    from differnet_lite.checkpoint import CheckpointError, read_checkpoint
    path = pathlib.Path(sys.argv[1])
    content = path.read_bytes()
    stop = threading.Event()
    def rewrite():
        while not stop.is_set():
            with open(path, "wb") as file:
                file.write(content)
    thread = threading.Thread(target=rewrite)
    thread.start()
    for _ in range(300):
        try:
            read_checkpoint(path)
        except CheckpointError:
            pass
    stop.set()
    thread.join()
"""


def test_a_file_that_is_rewritten_while_it_is_read_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"a": torch.zeros(500_000)}, {}, kind="some")
    command = [sys.executable, "-c", textwrap.dedent(REWRITTEN), str(path)]
    assert subprocess.run(command, check=False, timeout=300).returncode == 0


def test_what_goes_wrong_while_rebuilding_names_the_file() -> None:
    for error in (KeyError("a"), TypeError(), ValueError(), RuntimeError("b")):
        with pytest.raises(CheckpointError, match="x: the file is incomplete"), rebuilding("x"):
            raise error
    with pytest.raises(CheckpointError, match=r"^mine$"), rebuilding("x"):
        raise CheckpointError("mine")
    with pytest.raises(KeyboardInterrupt), rebuilding("x"):
        raise KeyboardInterrupt
