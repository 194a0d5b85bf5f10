"""One flipped bit, anywhere in a model or in kept features, is noticed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from differnet_lite import Transformations
from differnet_lite.cache import FeatureCache
from differnet_lite.checkpoint import CheckpointError, read_checkpoint
from differnet_lite.features import MultiScaleExtractor
from tests.hostile.harness import FULL

FLIPS = 1000 if FULL else 60


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def test_in_a_model(
    little_file: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rng, whole, path = np.random.default_rng(0), little_file.read_bytes(), tmp_path / "m"
    unnoticed = 0
    for _ in range(FLIPS):
        path.write_bytes(flipped(whole, rng))
        try:
            read_checkpoint(path)
            unnoticed += 1
        except CheckpointError:
            pass
    record(record_property, "3 bits of models", unnoticed)
    path.write_bytes(whole)
    read_checkpoint(path)


def test_in_kept_features(
    tiny_extractor: MultiScaleExtractor,
    picture: Callable[..., np.ndarray],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    rng, image = np.random.default_rng(1), [picture(0)]
    cache = FeatureCache(tiny_extractor, Transformations(), folder=tmp_path, progress=False)
    right = cache.features(image, [0.0])
    (path,) = tmp_path.rglob("*.features")
    whole, unnoticed = path.read_bytes(), 0
    for _ in range(FLIPS):
        path.write_bytes(flipped(whole, rng))
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            again = cache.features(image, [0.0])
        said = any("damaged" in str(note.message) for note in notes)
        unnoticed += not said or not torch.equal(again, right)
    record(record_property, "3 bits of kept features", unnoticed)


def record(record_property: Callable[[str, object], None], group: str, unnoticed: int) -> None:
    record_property("hostile", group)
    record_property("tried", FLIPS)
    record_property("outcome", "silently wrong" if unnoticed else "fine")
    if unnoticed:
        pytest.fail(f"{unnoticed} of {FLIPS} flipped bits were not noticed")
