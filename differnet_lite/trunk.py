"""The frozen convolutional trunk: which device it runs on, in which numbers, with which weights."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

__all__ = ["BUNDLED_WEIGHTS", "fast_dtype", "load_trunk", "resolve_device", "weights_digest"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "alexnet_features.safetensors"


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on: "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ValueError: the name is not that of a CPU, CUDA or MPS device.
        RuntimeError: this machine does not have the device.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if str(device) == "auto":
        return torch.device(next((kind for kind, there in available.items() if there), "cpu"))
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in ("cpu", *available):
        raise ValueError(
            f"device: expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps', got {device!r}"
        )
    too_high = chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count()
    if too_high or not available.get(chosen.type, True):
        raise RuntimeError(
            f"device {str(device)!r} was asked for, but this machine has none; "
            "use device='auto' or 'cpu'"
        )
    return chosen


def fast_dtype(device: torch.device) -> torch.dtype:
    """The fastest dtype whose error is harmless: bfloat16 where it is multiplied in hardware.

    bfloat16 changes the pooled features by about 0.6 % (relative Euclidean error), and no AUROC
    that we measured. A CUDA device without it takes float16, all else float32.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    # Private in torch 2.6 to 2.15, so asked for with care; emulated bfloat16 is slower than float32
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if device.type == "cpu" and fast else torch.float32


def load_trunk(
    backbone: str = "alexnet", weights: str | Path | Mapping[str, Tensor] = "bundled"
) -> nn.Sequential:
    """A frozen convolutional trunk in eval mode: normalised (N, 3, H, W) to maps (N, C, h, w).

    Args:
        backbone: a torchvision classification model. Its `features` are taken where it has them
            (AlexNet, VGG, ...), else everything before the average pool (ResNet, ...).
        weights: "bundled": the AlexNet file of this package; "torchvision": torchvision's default
            ImageNet weights, which it downloads (233 MB for AlexNet); "random": untrained, for
            tests; or a state dict of the trunk or of the whole classifier, or its file: .pth as
            torchvision writes it, or safetensors.

    Raises:
        ValueError: the backbone is unknown, cannot be cut, or has no bundled weights.
        FileNotFoundError: the weights file does not exist.
        RuntimeError: the weights do not fit the backbone, or the download failed.

    Example:
        >>> load_trunk()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 256, 6, 6])
    """
    if backbone not in torchvision.models.list_models(torchvision.models):
        raise ValueError(
            f"backbone: expected a torchvision classification model, got {backbone!r}; "
            "see torchvision.models.list_models()"
        )
    if weights == "bundled" and backbone != "alexnet":
        raise ValueError(
            f"weights='bundled' exist for 'alexnet' alone, got {backbone!r}; "
            "use weights='torchvision' or the path of a weights file"
        )
    if isinstance(weights, str) and weights in ("torchvision", "random"):
        pretrained = "DEFAULT" if weights == "torchvision" else None
        try:
            return _frozen(torchvision.models.get_model(backbone, weights=pretrained), backbone)
        except OSError as error:
            raise RuntimeError(
                f"torchvision could not download the weights of {backbone}: {error}; "
                "weights='bundled' need no network"
            ) from error
    if isinstance(weights, Mapping):
        source = "these weights"
        state = dict(weights)
    else:
        path = BUNDLED_WEIGHTS if weights == "bundled" else Path(weights)
        source = str(path)
        state = _read_weights(path)
    with torch.device("meta"):  # no memory for weights that are replaced at once
        classifier = torchvision.models.get_model(backbone, weights=None)
        trunk = _frozen(classifier, backbone)
    target = trunk if set(state) <= set(trunk.state_dict()) else classifier
    try:
        target.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise RuntimeError(
            f"{source}: expected the state dict of {backbone}'s trunk or of the whole classifier: "
            f"{error}"
        ) from error
    return trunk.requires_grad_(False)


def weights_digest(trunk: nn.Module) -> str:
    """16 hexadecimal digits that name the weights of a trunk."""
    checksum = hashlib.sha256()
    for name, tensor in trunk.state_dict().items():
        checksum.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return checksum.hexdigest()[:16]


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file; no code that a file may hold is run."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such weights file; "
            "expected 'bundled', 'torchvision', 'random' or a path"
        )
    try:
        if path.suffix == ".safetensors":
            return load_safetensors(path.read_bytes())
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(
            f"{path}: expected a state dict in safetensors or as torch.save writes it: {error}"
        ) from error


def _frozen(model: nn.Module, backbone: str) -> nn.Sequential:
    """The convolutional part of a classifier, in eval mode, without gradients of its weights."""
    trunk = getattr(model, "features", None)
    if not isinstance(trunk, nn.Sequential):
        children = dict(model.named_children())
        if "avgpool" not in children:
            raise ValueError(
                f"backbone {backbone!r} has neither `features` nor an `avgpool` to cut before; "
                "choose another"
            )
        n_layers = list(children).index("avgpool")
        trunk = nn.Sequential(*list(children.values())[:n_layers])
    return trunk.requires_grad_(False).eval()
