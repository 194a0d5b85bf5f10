"""A saved model: the same scores after loading; whole or refused, whatever bit has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from differnet_lite import CheckpointError, DifferNet, Transformations, load
from differnet_lite import model_file as model_file_module
from differnet_lite.model_file import FORMAT, read_file, write_file
from differnet_lite.trunk import load_trunk

RANDOM_ANGLES = Transformations(n_train=2, n_test=3, fill="black", interpolation="nearest")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"calibration": "split", "use_log_det": True},
        {"calibration": "none", "map_images": 0, "seed": 4, "whiten": False},
        {"transformations": RANDOM_ANGLES, "pool_views": False},
        {"transformations": Transformations(angles=(0, 180), brightness=0.1, contrast=0.1)},
    ],
)
def test_a_loaded_detector_is_the_saved_one(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    model = DifferNet(**tiny | options).fit(photographs, groups=[0, 0, 1, 2, 3])
    path = model.save(tmp_path / "model.safetensors")
    loaded = load(str(path), device="cpu", progress=False)
    if model.places_ is not None:
        maps = model.anomaly_maps(photographs)
        drawn = loaded.anomaly_maps(photographs)
        np.testing.assert_allclose(drawn, maps, rtol=1e-4, atol=1e-4 * maps.max())
    np.testing.assert_allclose(
        loaded.anomaly_scores(photographs), model.anomaly_scores(photographs), rtol=1e-5
    )
    np.testing.assert_array_equal(loaded.calibration_scores_, model.calibration_scores_)
    np.testing.assert_array_equal(loaded.calibration_.evidence, model.calibration_.evidence)
    for name in ("seed", "n_train_", "angles_", "history_", "calibrated_by_", "settings", "white_"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.get_params() == model.get_params()


@pytest.mark.parametrize("embedded", [True, False])
def test_a_detector_with_other_weights_needs_them(
    tiny: dict[str, Any],
    photographs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    embedded: bool,
) -> None:
    if not embedded:
        monkeypatch.setattr(model_file_module, "EMBEDDED", 0)
    weights = tmp_path / "other.pth"
    torch.save({name: 0.9 * x for name, x in load_trunk().state_dict().items()}, weights)
    model = DifferNet(**tiny, weights=weights).fit(photographs)
    path = model.save(tmp_path / "a.safetensors")
    assert str(tmp_path).encode() not in path.read_bytes()
    if not embedded:
        with pytest.raises((CheckpointError, RuntimeError, FileNotFoundError)):
            load(path, device="cpu", progress=False)
    loaded = load(path, weights=None if embedded else weights, device="cpu", progress=False)
    scores = model.anomaly_scores(photographs)
    np.testing.assert_allclose(loaded.anomaly_scores(photographs), scores, rtol=1e-5)
    with pytest.raises(CheckpointError, match="the model was made with the trunk alexnet/"):
        load(path, weights="bundled", device="cpu", progress=False)


def test_another_number_format_is_said(
    model: DifferNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model.save(tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="calibrated in float32 and now scores in bfloat16"):
        loaded = load(path, dtype="bfloat16", device="cpu", progress=False)
    assert loaded.extractor.dtype == torch.bfloat16
    monkeypatch.setattr(model_file_module, "fast_dtype", lambda device: torch.float32)
    with pytest.warns(UserWarning, match="this processor emulates the bfloat16"):
        load(path, dtype="bfloat16", device="cpu", progress=False)


TENSORS = {"a": torch.arange(5.0), "b": torch.ones(2, 3, dtype=torch.float16), "c": torch.tensor(7)}
HEADER: dict[str, Any] = {"angles": [0.0, 22.5], "name": "ä"}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_file(tmp_path / "a.safetensors", TENSORS, HEADER)


def test_every_flipped_bit_is_noticed(written: Path) -> None:
    content = written.read_bytes()
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        written.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"a\.safetensors: "):
            read_file(written)


def test_files_that_are_no_model(written: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    for part in (written.read_bytes()[:-1], b"", b"no model" * 10):
        bad.write_bytes(part)
        with pytest.raises(CheckpointError, match=r"bad.*damaged, cut short, or no safetensors"):
            read_file(bad)
    for metadata in (None, {"differnet_lite": "[1, 2]"}):
        save_file({"a": torch.zeros(2)}, bad, metadata=metadata)
        with pytest.raises(CheckpointError, match="no model of differnet_lite"):
            read_file(bad)
    with pytest.raises(FileNotFoundError, match="gone: expected a model file"):
        read_file(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="no_folder: there is no such folder"):
        write_file(tmp_path / "no_folder" / "a", TENSORS, HEADER)


def test_another_format_is_refused(written: Path) -> None:
    with safe_open(written, framework="pt") as file:
        text = file.metadata()["differnet_lite"]
    content = load_file(written)
    for version in (3, None):
        other = json.dumps(json.loads(text) | {"format": version})
        save_file(content, written, metadata={"differnet_lite": other})
        with pytest.raises(CheckpointError, match=f"format {FORMAT}, got {version}; fit again"):
            read_file(written)
