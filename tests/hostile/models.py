"""Model files: damaged, at odds with themselves, or a stranger's (classes 2 to 4, 12 and 14)."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save

from differnet_course.baselines import load_detector, make_detector
from differnet_lite import DifferNet
from differnet_lite.checkpoint import read_checkpoint
from tests.hostile.harness import SEEDS, Case

Header, Tensors = dict[str, Any], dict[str, torch.Tensor]
Forge = Callable[[Header, Tensors], Any]


def digest(header: Header, tensors: Tensors) -> str:
    """What a stranger computes who knows our format, written down once more."""
    found = hashlib.sha256(json.dumps(header).encode())
    for name in sorted(tensors):
        x = tensors[name].contiguous()
        found.update(f"\n{name} {x.dtype} {tuple(x.shape)}\n".encode())
        found.update(x.numpy().tobytes())
    return found.hexdigest()


def forged(forge: Forge, s: Any) -> Path:
    """The model with its header and tensors changed, and a digest that fits."""
    header, tensors = read_checkpoint(s.saved)
    forge(header, tensors)
    whole = json.dumps(header | {"sha256": digest(header, tensors)})
    path = s.folder / "forged.safetensors"
    path.write_bytes(save(tensors, metadata={"differnet_lite": whole}))
    return path


def load(path: Path, s: Any) -> Any:
    """A model is not only loaded: it must also score and draw, if it comes so far."""
    model = DifferNet.load(path, device="cpu", cache=None, progress=False)
    images = [s.picture(0), s.picture(1)]
    found = [model.anomaly_scores(images), model.p_values(images)]
    found += [model.anomaly_maps(images[:1], method=name) for name in model.localizer.methods]
    assert all(np.isfinite(values).all() for values in found)
    found += [model.threshold(0.2), repr(model)]
    return model


def put(*keys: str, value: Any) -> Forge:
    def forge(header: Header, tensors: Tensors) -> None:
        place = header
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return forge


def drop(*keys: str) -> Forge:
    def forge(header: Header, tensors: Tensors) -> None:
        place = header
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return forge


def tensor(part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Forge:
    """Change the first tensor whose name has this part."""

    def forge(header: Header, tensors: Tensors) -> None:
        name = next(name for name in sorted(tensors) if part in name)
        tensors[name] = change(tensors[name]).contiguous()

    return forge


def poison(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x.view(-1)[0] = value
        return x

    return change


def lost(part: str) -> Forge:
    def forge(header: Header, tensors: Tensors) -> None:
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return forge


PARTS = (
    "flow0.mean",
    "M",
    "logDetM",
    "calibration_scores",
    "reference.0",
    "spread.0",
    "places.scale",
    "places.mean",
    "places.factor",
    "places.border",
    "places.maxima",
    "subnet",
)
HEADERS: dict[str, Forge] = {}
SETTINGS = {
    "n_blocks": (0, 3, 1000, 10**6, "2", None, 2.0, True),
    "hidden": (0, 9, 65536, 10**9, "8"),
    "size": (63, 128, 10**9, "64"),
    "n_scales": (0, 2, 8, "1"),
    "clamp": (0, -1, "3", None),
    "backbone": ("vgg16", "regnet_y_128gf", "no such", 3, None, "../../alexnet"),
    "weights": ("torchvision", "random", "/etc/passwd", "https://example.org/w", 3, None, ""),
    "dtype": ("bfloat16", "float64", 3),
    "downscale": ("nearest", "x"),
    "noise": (0, -1, "x", 1e400),
    "whiten": (False, "no", 0, None),
    "pool_views": ("no", 3),
    "use_log_det": ("no", 3),
    "reference_images": (0, -1, "4"),
    "calibration": ("x", 3, None),
    "folds": (0, "5"),
    "holdout": (0, 1, "x"),
    "epochs": (0, "x"),
    "betas": ([0.1], [2, 2], "ab", None),
    "transformations": (
        None,
        3,
        {},
        [],
        {"angles": None},
        {"angles": [1]},
        {"angles": "90"},
        {"x": 1},
        {"angles": [0, 90, 180, 270], "fill": "x"},
    ),
    "start_as_identity": ("yes", 2),
    "train_dtype": ("float16", 3),
    "unknown": (3,),
}
TOP = {
    "format": (1, 2, "3", None, [3]),
    "kind": ("1-nn", "x", None, 3, ["differnet"]),
    "seed": (-1, 1.5, "0", None, 2**70, True),
    "n_train": (0, -1, "x", None, 1.5),
    "calibrated_by": ("x", None, 3),
    "angles": ([], [1], [0, 90, 180, 271], "x", None, [float(10**400 > 0)]),
    "trunk": ("x", "", None, 3, "alexnet/0/64px/1scales/area/float32", "a/b/c/d/e/f"),
    "settings": ({}, None, 3, [], "x"),
    "history": (
        None,
        3,
        "x",
        [],
        {},
        {"epoch": "x"},
        {"epoch": [1], "train": ["<script>"]},
        {"epoch": [1], "train": [], "held_out": []},
    ),
}
for _name, _values in SETTINGS.items():
    for _value in _values:
        HEADERS[f"settings.{_name} = {_value!r}"] = put("settings", _name, value=_value)
    if _name != "unknown":
        HEADERS[f"settings without {_name}"] = drop("settings", _name)
for _name, _values in TOP.items():
    for _value in _values:
        HEADERS[f"{_name} = {_value!r}"] = put(_name, value=_value)
    HEADERS[f"without {_name}"] = drop(_name)

TENSORS: dict[str, Forge] = {
    **{
        f"{part}: {name}": tensor(part, poison(value))
        for part in PARTS
        for name, value in (("NaN", float("nan")), ("inf", float("inf")))
    },
    **{f"{part}: lost": lost(part) for part in PARTS},
    **{
        f"{part}: flat": tensor(part, lambda x: x.reshape(-1)[:1])
        for part in PARTS
        if part not in ("calibration_scores", "places.maxima", "logDetM")
    },
    **{
        f"{part}: of float64": tensor(part, lambda x: x.double())
        for part in ("places.mean", "reference.0")
    },
    **{
        f"{part}: of integers": tensor(part, lambda x: x.to(torch.int32))
        for part in ("subnet", "flow0.mean")
    },
    "log-det that is not the matrix's": tensor("logDetM", lambda x: x + 1),
    "permutation that repeats": tensor("perm", torch.zeros_like),
    "permutation out of range": tensor("perm", lambda x: x + 1000),
    "permutation of another order": tensor("perm", lambda x: x.flip(0)),
    "inverse permutation of another": tensor("perm_inv", lambda x: x.flip(0)),
    "no tensors": lambda header, tensors: tensors.clear(),
    "calibration of two axes": tensor("calibration_scores", lambda x: x[None]),
    "calibration of integers": tensor("calibration_scores", lambda x: x.to(torch.int64)),
    "calibration of halves": tensor("calibration_scores", lambda x: x.half()),
    "calibration empty": tensor("calibration_scores", lambda x: x[:0]),
    "references of another grid": tensor("reference.0", lambda x: x.repeat(1, 1, 2, 2)),
    "deviations below 0": tensor("spread.0", lambda x: x - 10),
    "a border of 0": tensor("places.border", torch.zeros_like),
    "a scale of 0": tensor("places.scale", torch.zeros_like),
    "places of another grid": tensor("places.mean", lambda x: x[:, :1]),
    "more than a model has": lambda header, tensors: tensors.update(extra=torch.zeros(3)),
}


def files() -> Iterator[Case]:
    """Files that are no safetensors files, or barely."""

    def of(make: Callable[[bytes], bytes]) -> Callable[[Any], Any]:
        def run(s: Any) -> Any:
            path = s.folder / "m.safetensors"
            path.write_bytes(make(s.saved.read_bytes()))
            return load(path, s)

        return run

    def with_header(text: str | bytes) -> Callable[[bytes], bytes]:
        raw = text if isinstance(text, bytes) else text.encode()
        return lambda _: struct.pack("<Q", len(raw)) + raw

    def metadata(text: str) -> Callable[[bytes], bytes]:
        return lambda _: save({"x": torch.zeros(1)}, metadata={"differnet_lite": text})

    deep = "[" * 100_000 + "]" * 100_000
    huge = {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
    overlap = {
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "empty": lambda _: b"",
        "one byte": lambda _: b"\0",
        "text": lambda _: b"hello " * 100,
        "zeros": lambda _: bytes(10_000),
        "a pickle": lambda _: b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
        "a zip": lambda _: b"PK\3\4" + bytes(100),
        "header of 2^63 bytes": lambda _: b"\xff" * 8 + b"{}",
        "header longer than the file": lambda _: struct.pack("<Q", 10**9) + b"{}",
        "header of 100,000 brackets": with_header(deep),
        "header no JSON": with_header("{"),
        "header a list": with_header("[]"),
        "header null": with_header("null"),
        "header of a trillion numbers": with_header(json.dumps(huge)),
        "tensors that overlap": lambda _: with_header(json.dumps(overlap))(b"") + bytes(4),
        "header not UTF-8": with_header(b'{"\xff\xfe": 1}'),
        "metadata of 100,000 brackets": metadata(deep),
        "metadata no JSON": metadata("{"),
        "metadata a list": metadata("[]"),
        "metadata a number": metadata("3"),
        "metadata null": metadata("null"),
        "metadata NaN": metadata('{"format": NaN}'),
        "metadata of a huge number": metadata('{"format": 1' + "0" * 5000 + "}"),
        "metadata twice the same name": metadata('{"format": 2, "format": 3}'),
        "no metadata": lambda _: save({"x": torch.zeros(1)}),
        "something after the end": lambda whole: whole + b"\0",
        "something before": lambda whole: b"\0" + whole,
        "two in one": lambda whole: whole * 2,
        "another order of the header": lambda whole: whole.replace(b'\\"kind\\"', b'\\"kinD\\"'),
    }
    for name, make in kinds.items():
        yield Case("4 model files", name, of(make))
    for share in (0.01, 0.1, 0.5, 0.9, 0.9999):
        yield Case(
            "4 model files",
            f"cut to {share:.2%}",
            of(lambda whole, share=share: whole[: int(share * len(whole))]),
        )

    def of_another_method(s: Any) -> Any:
        other = make_detector(
            "1-nn", size=64, n_scales=1, device="cpu", progress=False, dtype="float32"
        )
        return load(other.fit(s.photographs).save(s.folder / "1-nn.safetensors"), s)

    def pipe(s: Any) -> Any:
        os.mkfifo(s.folder / "pipe")
        return load_detector(s.folder / "pipe")

    yield Case("4 model files", "of another method", of_another_method)
    yield Case("12 no regular files", "pipe as a model", pipe)
    yield Case(
        "12 no regular files",
        "pipe as weights",
        lambda s: DifferNet(**s.tiny, weights=_pipe(s)).fit(s.photographs),
    )
    yield Case("12 no regular files", "/dev/zero as a model", lambda s: load_detector("/dev/zero"))


def _pipe(s: Any) -> str:
    os.mkfifo(s.folder / "weights")
    return str(s.folder / "weights")


def cases() -> Iterator[Case]:
    for group, forges in (("4 headers", HEADERS), ("4 tensors", TENSORS)):
        for name, forge in forges.items():
            run = functools.partial(_load_forged, forge)
            yield Case(group, name, run)
    yield from files()
    for seed in range(5 * SEEDS):
        yield Case(
            "4 headers",
            f"random value in a random place, {seed}",
            functools.partial(_load_forged, functools.partial(_random, seed)),
            "either",
        )


def _load_forged(forge: Forge, s: Any) -> Any:
    return load(forged(forge, s), s)


def _random(seed: int, header: Header, tensors: Tensors) -> None:
    """Something else in any place of the header."""
    rng = np.random.default_rng(seed)
    place: Any = header
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[rng.integers(len(keys))]
        if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.3:
            break
        place = place[key]
    strange = [None, True, -1, 0, 10**12, 0.5, "x", [], {}, [[]], {"a": 1}, "\udcff", 2**70]
    place[key] = strange[rng.integers(len(strange))]


def original(s: Any) -> Tensors:
    return load_file(s.saved)
