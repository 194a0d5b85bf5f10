"""Files of the other methods, forged with a digest that fits (classes 2, 4 and 12)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from differnet_course.baselines import load_detector, make_detector
from tests.hostile.harness import FULL, Case
from tests.hostile.models import Forge, drop, forged, put

SMALL: dict[str, dict[str, Any]] = {
    "1-nn": {"size": 64, "n_scales": 1, "dtype": "float32", "n_components": 4},
    "ocsvm": {"size": 64, "n_scales": 1, "dtype": "float32", "n_components": 4},
    "mahalanobis": {"size": 64, "n_scales": 1, "dtype": "float32"},
    "geotrans": {"size": 32, "width": 2, "steps": 1},
    "ganomaly": {"size": 32, "width": 2, "steps": 1},
    "dsebm": {"size": 32, "width": 2, "steps": 1},
    "autoencoder-l2": {"size": 32, "width": 2, "steps": 1},
    "autoencoder-ssim": {"size": 32, "width": 2, "steps": 1},
}
Change = Callable[[torch.Tensor], torch.Tensor]
CHANGES: dict[str, Change] = {
    "flat": lambda x: x.reshape(-1),
    "one axis more": lambda x: x[None],
    "nothing in it": lambda x: x[:0] if x.ndim else x.reshape(1)[:0],
    "a row less": lambda x: x[1:] if x.ndim and len(x) > 1 else x.reshape(-1)[:0],
    "a column less": lambda x: x[..., 1:] if x.ndim > 1 else x.reshape(-1).repeat(2),
    "of float16": lambda x: x.half(),
    "of integers": lambda x: x.to(torch.int32),
    "of truth values": lambda x: x.bool(),
    "of complex numbers": lambda x: x.to(torch.complex64),
}
_SAVED: dict[tuple[str, str], bytes] = {}


class At:
    """Surroundings whose model is of another method."""

    def __init__(self, kind: str, s: Any) -> None:
        self.folder, self.picture = s.folder, s.picture
        self.saved: Path = s.folder / "whole.safetensors"
        key = (kind, str(s.photographs))
        if key not in _SAVED:  # fitted once a session
            common = {"calibration": "split", "device": "cpu", "progress": False, "cache": None}
            made = make_detector(kind, **common, **SMALL[kind])
            images = sorted(s.photographs.iterdir())[:8]
            _SAVED[key] = made.fit(images).save(self.saved).read_bytes()
        self.saved.write_bytes(_SAVED[key])


def used(kind: str, forge: Forge, s: Any) -> Any:
    """A model is loaded, scores, and is saved again: its file is then as it was."""
    at = At(kind, s)
    path = forged(forge, at)
    model = load_detector(path, device="cpu", cache=None, progress=False)
    scores = model.anomaly_scores([s.picture(0), s.picture(1)])
    assert scores.shape == (2,) and np.isfinite(scores).all()
    assert np.isfinite(model.calibration_scores_).all()
    model.threshold(0.4, if_too_few="fallback")
    assert model.save(s.folder / "again").read_bytes() == path.read_bytes()
    return model


def changed(position: int, change: Change) -> Forge:
    """Change the tensor at a place in the order of their names."""

    def forge(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        name = sorted(tensors)[position % len(tensors)]
        tensors[name] = change(tensors[name]).contiguous()

    return forge


def lost(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    del tensors[max(tensors)]


HEADERS: dict[str, Forge] = {
    "a tensor lost": lost,
    "a tensor more": lambda header, tensors: tensors.update(more=torch.zeros(2)),
    "no seed": drop("seed"),
    "n_train of 0": put("n_train", value=0),
    "an unknown setting": put("settings", "colour", value="red"),
    "calibration by nobody": put("calibrated_by", value="nobody"),
    "kind of another": lambda header, tensors: header.update(
        kind="dsebm" if header["kind"] != "dsebm" else "1-nn"
    ),
    "a huge network": lambda header, tensors: header["settings"].update(
        {"width": 2**20} if "width" in header["settings"] else {"n_components": 2**40}
    ),
    "a size of 2^20": put("settings", "size", value=2**20),
}


def cases() -> Iterator[Case]:
    for kind in SMALL:
        for name, forge in HEADERS.items():
            # more components than rows mean all that there are
            harmless = name == "a huge network" and kind in ("1-nn", "ocsvm")
            expect = "either" if harmless else "refused"
            run = functools.partial(used, kind, forge)
            yield Case("4 other methods", f"{kind}: {name}", run, expect)
        for name, change in CHANGES.items():
            for position in range(6 if FULL else 1):
                run = functools.partial(used, kind, changed(position, change))
                yield Case("4 other methods", f"{kind}: tensor {position} {name}", run, "either")
