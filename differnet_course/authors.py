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
        TypeError, ValueError: it is no state dict; tensors are missing, unknown or misshapen.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"state: expected a state dict, got {type(state).__name__}; of a whole module of theirs"
            " take .state_dict(), in their program"
        )
    prefix = "nf.module_list." if any(name.startswith("nf.") for name in state) else "module_list."
    first = state.get(f"{prefix}2.s1.fc1.weight")
    if first is None or first.ndim != 2:
        raise ValueError(
            f"state: expected a matrix {prefix}2.s1.fc1.weight; names are {list(state)[:3]}. "
            "Give the state dict of their flow or of their whole network"
        )
    hidden, half = first.shape
    n_blocks = sum(name.endswith(".s1.fc1.weight") for name in state)
    flow = build_flow(
        2 * half, n_blocks=n_blocks, hidden=hidden, clamp=clamp, clamp_factor=clamp_factor, seed=0
    )
    weights = {
        _our_name(theirs.removeprefix(prefix)): tensor
        for theirs, tensor in state.items()
        if not theirs.startswith("feature_extractor.") and ".bn." not in theirs
    }
    expected = {name for name, _ in flow.named_parameters() if ".subnet" in name}
    missing = sorted(expected - set(weights))
    unknown = sorted(set(weights) - expected)
    if missing or unknown:
        raise ValueError(f"state: tensors are missing: {missing[:3]}, unknown: {unknown[:3]}")
    try:
        flow.load_state_dict(flow.state_dict() | weights)
    except RuntimeError as error:
        raise ValueError(f"state: expected tensors of the shapes of their flow: {error}") from error
    return flow.eval()


def _our_name(theirs: str) -> str:
    """Our name of their tensor I.NET.LAYER.PART; another name stays as it is."""
    parts = theirs.split(".")
    if len(parts) != 4 or parts[1] not in _NETS or parts[2] not in _LAYERS:
        return theirs
    number, net, layer, part = parts
    return f"chain.module_list.{int(number) - 1}.{_NETS[net]}.{_LAYERS[layer]}.{part}"
