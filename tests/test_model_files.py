"""A model is kept: the same after loading, never half written; what it holds is plain."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from differnet_lite import files
from differnet_lite.model import DifferNet
from differnet_lite.settings import Settings

Picture = Callable[..., np.ndarray]


def test_a_loaded_model_is_the_same(
    model: DifferNet, tmp_path: Path, test_images: list[Path], scores: np.ndarray
) -> None:
    path = model.save(tmp_path / "model.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    loaded = DifferNet.load(str(path), device="cpu", progress=False)
    np.testing.assert_array_equal(loaded.anomaly_scores(test_images), scores)
    np.testing.assert_array_equal(loaded.p_values(test_images), model.p_values(test_images))
    np.testing.assert_array_equal(
        loaded.anomaly_maps(test_images[:2]), model.anomaly_maps(test_images[:2])
    )
    assert loaded.settings == model.settings
    assert (loaded.seed, loaded.n_train_, loaded.angles_, loaded.history_) == (
        model.seed,
        model.n_train_,
        model.angles_,
        model.history_,
    )
    assert loaded.threshold(0.2) == model.threshold(0.2)
    again = loaded.save(tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_the_log_det_survives_saving(model: DifferNet, tmp_path: Path) -> None:
    loaded = DifferNet.load(model.save(tmp_path / "a.safetensors"), device="cpu", progress=False)
    y = torch.rand(3, 768)
    assert torch.equal(loaded.flows_[0](y)[1], model.flows_[0](y)[1])
    assert torch.equal(loaded.flows_[0].inverse(y)[0], model.flows_[0].inverse(y)[0])


def test_the_file_holds_plain_tensors_and_json(model: DifferNet, tmp_path: Path) -> None:
    path = model.save(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["differnet_lite"])
    assert (header["format"], header["kind"]) == (3, "differnet")
    assert Settings(**header["settings"]) == model.settings
    names, n = list(model.flows_[0].state_dict()), len(model.flows_)
    assert n == header["flows"] == 5
    assert set(load_file(path)) == {f"flow{k}.{name}" for k in range(n) for name in names} | {
        "calibration_scores",
        *(f"{kind}.{s}" for kind in ("reference", "spread") for s in range(3)),
        *(f"places.{name}" for name in ("scale", "mean", "factor", "border", "maxima", "usual")),
    }


def test_an_interrupted_or_failed_save_keeps_the_old_file(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DifferNet(**tiny).fit(photographs)
    (tmp_path / "kept").mkdir()
    path = model.save(tmp_path / "kept" / "a.safetensors")
    before = path.read_bytes()
    model.calibration_scores_ = model.calibration_scores_ + 1

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]
    assert path.read_bytes() == before


def test_a_model_for_grey_and_coloured_images_alike(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path
) -> None:
    model = DifferNet(**tiny).fit(photographs)
    grey = Image.open(photographs[0]).convert("L")
    forms: list[Any] = [
        grey,
        np.asarray(grey),
        grey.convert("RGB"),
        np.asarray(grey).astype(np.uint16) * 257,
        np.asarray(grey) / 255,
    ]
    scores = model.anomaly_scores(forms)
    np.testing.assert_allclose(scores, scores[0], rtol=1e-5)


def test_settings_of_a_fitted_model_are_what_was_asked(
    model: DifferNet, small: dict[str, Any]
) -> None:
    asked = {name: value for name, value in small.items() if name not in ("device", "progress")}
    assert model.settings == dataclasses.replace(Settings(), **asked)
