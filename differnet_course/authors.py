r"""The flow that the authors' program trained, as ours.

Their program (github.com/marco-rudolph/differnet) keeps its weights by `torch.save` of a state
dict. What belongs to the flow is named `module_list.I.NET.LAYER.PART`, after "nf." where the whole
network was kept:

| theirs | ours | |
|---|---|---|
| I = 2 k + 1 | `chain.module_list.2k` | permutation k: not in the file; NumPy's of seed k in both |
| I = 2 k + 2 | `chain.module_list.2k+1` | coupling block k |
| NET = s2, s1 | subnet2, subnet1 | s2 moves the first half, then s1 the second |
| LAYER = fc1, fc2, fc2b, fc3 | 0, 2, 4, 6 | linear layers; the last gives s, then t |
| LAYER = bn | | built by their program, never used: left out |
| feature_extractor. | | the trunk, torchvision's, that we bundle, too: left out |

Their clamp has the factor 0.636 for 2/pi. Their blocks also cut all values off at 10^6 on either
side, which ours do not: what is equal is equal within that range.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from differnet_lite.flow import CouplingFlow, build_flow

__all__ = ["CLAMP_FACTOR", "flow_of_authors"]

CLAMP_FACTOR = 0.636  # their 2/pi

_LAYERS = {"fc1": 0, "fc2": 2, "fc2b": 4, "fc3": 6}
_NETS = {"s1": "subnet1", "s2": "subnet2"}


def flow_of_authors(
    state: Mapping[str, Tensor], *, clamp: float = 3.0, clamp_factor: float = CLAMP_FACTOR
) -> CouplingFlow:
    """The flow of a state dict that the authors' program wrote, in evaluation mode, on the CPU.

    Number and width of the blocks, and D, are read off the tensors. The clamp is not in the file.

    Args:
        state: of their flow, or of their whole network. `torch.load(PATH, map_location="cpu",
            weights_only=True)` reads it from a file without running what the file contains.
        clamp: their `clamp_alpha`.
        clamp_factor: of the clamp, see `soft_clamp`.

    Raises:
        TypeError: it is no state dict, such as a whole pickled module.
        ValueError: tensors are missing, unknown, misshapen or not finite.

    Example:
        >>> import torch
        >>> shapes = {"fc1": (16, 3), "fc2": (16, 16), "fc2b": (16, 16), "fc3": (6, 16)}
        >>> state = {}
        >>> for layer, shape in shapes.items():
        ...     for net in ("s1", "s2"):
        ...         state[f"nf.module_list.2.{net}.{layer}.weight"] = torch.randn(shape)
        ...         state[f"nf.module_list.2.{net}.{layer}.bias"] = torch.zeros(shape[0])
        >>> z, log_det = flow_of_authors(state)(torch.randn(4, 6))
        >>> z.shape, log_det.shape
        (torch.Size([4, 6]), torch.Size([4]))
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state: expected a state dict, got {type(state).__name__}; of a whole module of theirs"
            " take .state_dict(), in their program"
        )
    if odd := [name for name in state if not isinstance(name, str)]:
        raise ValueError(f"state: expected tensors by name, got the name {odd[0]!r}")
    tensors = {name: tensor for name, tensor in state.items() if not _left_out(name)}
    prefix = "nf.module_list." if any(n.startswith("nf.") for n in tensors) else "module_list."
    first = tensors.get(f"{prefix}2.s1.fc1.weight")
    if not isinstance(first, Tensor) or first.ndim != 2:
        raise ValueError(
            f"state: expected a matrix {prefix}2.s1.fc1.weight, got none; names are "
            f"{list(tensors)[:3]}. Give the state dict of their flow or of their whole network"
        )
    hidden, half = first.shape
    n_blocks = sum(name.endswith(".s1.fc1.weight") for name in tensors)
    names = _names(prefix, n_blocks, half, hidden)
    _check(tensors, {theirs: shape for theirs, (_, shape) in names.items()})
    flow = build_flow(
        2 * half,
        n_blocks=n_blocks,
        hidden=hidden,
        clamp=clamp,
        clamp_factor=clamp_factor,
        seed=0,
    )
    weights = {ours: tensors[theirs] for theirs, (ours, _) in names.items()}
    flow.load_state_dict(flow.state_dict() | weights)
    return flow.eval()


def _left_out(name: str) -> bool:
    return name.startswith("feature_extractor.") or ".bn." in name


def _names(
    prefix: str, n_blocks: int, half: int, hidden: int
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Their name of each tensor, ours, and its shape."""
    wide = (hidden, hidden)
    shapes = {"fc1": (hidden, half), "fc2": wide, "fc2b": wide, "fc3": (2 * half, hidden)}
    return {
        f"{prefix}{2 * k + 2}.{net}.{layer}.{part}": (
            f"chain.module_list.{2 * k + 1}.{_NETS[net]}.{_LAYERS[layer]}.{part}",
            shape if part == "weight" else shape[:1],
        )
        for k in range(n_blocks)
        for net in _NETS
        for layer, shape in shapes.items()
        for part in ("weight", "bias")
    }


def _check(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing, unknown = set(shapes) - set(tensors), set(tensors) - set(shapes)
    if missing or unknown:
        raise ValueError(
            f"state: expected the {len(shapes)} tensors of their flow, got {len(missing)} missing "
            f"{sorted(missing)[:3]} and {len(unknown)} unknown {sorted(unknown)[:3]}"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
            got = getattr(tensor, "shape", type(tensor).__name__)
            raise ValueError(f"state: {name}: expected shape {shape}, got {got}")
        dense = tensor.layout == torch.strided and not tensor.is_meta
        if not dense or not tensor.is_floating_point() or not tensor.isfinite().all():
            raise ValueError(f"state: {name}: expected finite numbers, got others")
