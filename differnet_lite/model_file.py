"""A fitted model as one file: tensors in safetensors, all else as JSON in its header, no pickle.

A digest over header and tensors is stored beside them: one flipped bit is noticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.files import replacing
from differnet_lite.maps import PlaceStatistics
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.training import empty_flow
from differnet_lite.trunk import fast_dtype

if TYPE_CHECKING:
    from differnet_lite.detector import DifferNet

__all__ = ["CheckpointError", "load_into", "read_file", "save_model", "write_file"]

FORMAT = 7
EMBEDDED = 100e6  # bytes of a trunk's weights that a model file may hold
FITTED = ("history_", "n_train_", "calibrated_by_", "white_", "shown_")  # what JSON can hold


class CheckpointError(ValueError):
    """A file that is no model of this version of the package."""


def save_model(model: DifferNet, path: str | os.PathLike[str]) -> Path:
    """Write a fitted model, whole or not at all.

    Weights of the trunk that are not this package's are stored with it if they are small, else
    their digest alone; never the path that they came from.
    """
    extractor = model.extractor
    settings = model.settings.to_json()
    settings["dtype"] = str(extractor.dtype).removeprefix("torch.")  # what calibrated the model
    tensors = {"calibration_scores": torch.from_numpy(model.calibration_scores_)}
    if model.calibration_groups_ is not None:
        tensors["calibration_groups"] = torch.from_numpy(model.calibration_groups_)
    for k, flow in enumerate(model.flows_):
        tensors |= {f"flow{k}.{name}": tensor for name, tensor in flow.state_dict().items()}
    if model.places_ is not None:
        tensors |= {f"places.{name}": x for name, x in model.places_.tensors().items()}
    if settings["weights"] != "bundled":
        settings["weights"] = "in the model file"
        weights = extractor.trunk.state_dict()
        if sum(tensor.nbytes for tensor in weights.values()) <= EMBEDDED:
            tensors |= {f"trunk.{name}": tensor for name, tensor in weights.items()}
    header = {
        "preset": model.preset,
        "settings": settings,
        "seed": model.seed,
        "trunk": extractor.identity,
        "angles": list(model.angles_),
        "flows": len(model.flows_),
        **{name: getattr(model, name) for name in FITTED},
    }
    return write_file(path, tensors, header)


def load_into(
    model: DifferNet,
    path: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Give an unfitted model the settings of a file and what was fitted; see `DifferNet.load`."""
    header, tensors = read_file(path)
    settings = Settings.from_json(header["settings"])
    model.preset = header["preset"]
    model.seed = header["seed"]
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        if value != getattr(PRESETS[model.preset], field.name):
            setattr(model, field.name, value)
    if dtype is not None:
        model.dtype = dtype
    if weights is not None:
        model.weights = os.fspath(weights)
    elif settings.weights != "bundled":
        own_weights = _part("trunk", tensors)
        if not own_weights:
            raise CheckpointError(
                "the model was made with weights of the trunk that its file does not hold; "
                "pass weights= the file of these weights"
            )
        model.set_trunk_weights(own_weights)
    extractor = model.extractor
    _check_trunk(path, header["trunk"], extractor)
    flows = []
    for k in range(header["flows"]):
        flow = empty_flow(model.settings, n_features=extractor.n_features)
        flow.load_state_dict(_part(f"flow{k}", tensors))
        flows.append(flow.to(extractor.device).eval())
    places = _part("places", tensors)
    groups = tensors.get("calibration_groups")
    model.flows_ = flows
    model.angles_ = tuple(header["angles"])
    model.places_ = PlaceStatistics.from_tensors(places) if places else None
    for name in FITTED:
        setattr(model, name, header[name])
    model.calibration_groups_ = None if groups is None else groups.numpy()
    model.calibration_scores_ = tensors["calibration_scores"].numpy()


def write_file(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> Path:
    """Write tensors and a header that JSON can hold as one safetensors file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path.parent}: there is no such folder to save the model in; create it first"
        )
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    entries = {"format": FORMAT, **header}
    text = json.dumps(entries | {"sha256": _digest(entries, plain)}, allow_nan=False)
    with replacing(path) as file:  # one entry: safetensors writes several in any order
        file.write(save(plain, metadata={"differnet_lite": text}))
    return path


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_file` wrote.

    The file is read, and not mapped: rewritten meanwhile it is damaged, and the process lives on.

    Raises:
        FileNotFoundError, CheckpointError: there is no such file; it is damaged, no model of this
            package, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a model file that fit wrote, got none")
    data = path.read_bytes()
    try:
        tensors = load(data)
        end = 8 + int.from_bytes(data[:8], "little")
        text = json.loads(data[8:end]).get("__metadata__", {}).get("differnet_lite", "null")
        header = json.loads(text)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged, cut short, or no safetensors file ({error})"
        ) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: a safetensors file, but no model of differnet_lite")
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected model format {FORMAT}, got {header.get('format')!r}; "
            "fit again, or install the version that wrote it"
        )
    digest = header.pop("sha256", None)
    if text != json.dumps(header | {"sha256": digest}) or digest != _digest(header, tensors):
        raise CheckpointError(f"{path}: damaged: its digest does not fit; copy it again")
    return header, tensors


def _check_trunk(path: str | os.PathLike[str], saved: str, present: MultiScaleExtractor) -> None:
    """Refuse another trunk than the model was calibrated with; warn of another number format."""
    saved_trunk, saved_dtype = saved.rsplit("/", 1)
    trunk, dtype = present.identity.rsplit("/", 1)
    if trunk != saved_trunk:
        raise CheckpointError(
            f"{path}: the model was made with the trunk {saved_trunk}, this one is {trunk}; "
            "pass weights= the file that it was made with"
        )
    if dtype != saved_dtype:
        warnings.warn(
            f"the model was calibrated in {saved_dtype} and now scores in {dtype}: its threshold "
            "holds up to the rounding between the two",
            stacklevel=4,
        )
    if dtype == "bfloat16" and fast_dtype(present.device) != torch.bfloat16:
        warnings.warn(
            "this processor emulates the bfloat16 of the model, which is several times slower; "
            "load(..., dtype='float32') is faster",
            stacklevel=4,
        )


def _part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one part of a model: those named "part.name", by name."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): x for n, x in tensors.items() if n.startswith(prefix)}


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    content = json.dumps(header).encode() + save(dict(tensors))
    return hashlib.sha256(content).hexdigest()
