"""What a model file holds: the parts of a fitted DifferNet as tensors and as JSON, and back."""

from __future__ import annotations

import dataclasses
import os
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from differnet_lite.checkpoint import CheckpointError, tensors_of
from differnet_lite.maps import PlaceStatistics
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.training import empty_flow
from differnet_lite.trunk import fast_dtype

if TYPE_CHECKING:
    from differnet_lite.detector import DifferNet

__all__ = ["check_trunk", "contents", "restore_fit", "restore_settings"]

EMBEDDED = 100e6  # bytes of a trunk's weights that a model file may hold


def contents(model: DifferNet) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a fitted model.

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
        "history": model.history_,
        "n_train": model.n_train_,
        "calibrated_by": model.calibrated_by_,
        "white": model.white_,
        "shown": model.shown_,
    }
    return tensors, header


def restore_settings(
    model: DifferNet,
    header: dict[str, Any],
    tensors: dict[str, Tensor],
    *,
    dtype: str | None,
    weights: str | os.PathLike[str] | None,
) -> None:
    """Give an unfitted model the settings of a file, but for what the caller asks for."""
    settings = Settings.from_json(header["settings"])
    preset = PRESETS[header["preset"]]
    for field in dataclasses.fields(Settings):
        value = getattr(settings, field.name)
        if value != getattr(preset, field.name):
            setattr(model, field.name, value)
    if dtype is not None:
        model.dtype = dtype
    if weights is not None:
        model.weights = os.fspath(weights)
    elif settings.weights != "bundled":
        own_weights = tensors_of("trunk", tensors)
        if not own_weights:
            raise CheckpointError(
                "the model was made with weights of the trunk that its file does not hold; "
                "pass weights= the file of these weights"
            )
        model.set_trunk_weights(own_weights)


def restore_fit(model: DifferNet, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Give a model what was fitted."""
    extractor = model.extractor
    flows = []
    for k in range(header["flows"]):
        flow = empty_flow(model.settings, n_features=extractor.n_features)
        flow.load_state_dict(tensors_of(f"flow{k}", tensors))
        flows.append(flow.to(extractor.device).eval())
    places = tensors_of("places", tensors)
    groups = tensors.get("calibration_groups")
    model.flows_ = flows
    model.history_ = header["history"]
    model.angles_ = tuple(header["angles"])
    model.places_ = PlaceStatistics.from_tensors(places) if places else None
    model.n_train_ = header["n_train"]
    model.calibrated_by_ = header["calibrated_by"]
    model.white_ = header["white"]
    model.shown_ = header["shown"]
    model.calibration_groups_ = None if groups is None else groups.numpy()
    model.calibration_scores_ = tensors["calibration_scores"].numpy()


def check_trunk(
    path: str | os.PathLike[str], saved: str, present: str, device: torch.device
) -> None:
    """Refuse another trunk than a model was calibrated with; warn of another number format.

    Args:
        path: of the model file.
        saved, present: identities of the two trunks, see `MultiScaleExtractor`.
        device: that the present one runs on.
    """
    saved_trunk, saved_dtype = saved.rsplit("/", 1)
    trunk, dtype = present.rsplit("/", 1)
    if trunk != saved_trunk:
        raise CheckpointError(
            f"{path}: the model was made with the trunk {saved_trunk}, this one is {trunk}; "
            "pass weights= the file that it was made with"
        )
    if dtype != saved_dtype:
        warnings.warn(
            f"the model was calibrated in {saved_dtype} and now scores in {dtype}: its threshold "
            "holds up to the rounding between the two",
            stacklevel=3,
        )
    if dtype == "bfloat16" and fast_dtype(device) != torch.bfloat16:
        warnings.warn(
            "this processor emulates the bfloat16 of the model, which is several times slower; "
            "load(..., dtype='float32') is faster",
            stacklevel=3,
        )
