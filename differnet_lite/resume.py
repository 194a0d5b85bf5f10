"""The state of a training after an epoch, in a file: an interrupted training resumes there."""

from __future__ import annotations

from pathlib import Path

import torch

from differnet_lite.files import replacing
from differnet_lite.flow import CouplingFlow

__all__ = ["History", "read_state", "write_state"]

History = dict[str, list[float]]  # "epoch", "train", "held_out": a number for each epoch


def write_state(
    path: Path,
    flow: CouplingFlow,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    history: History,
) -> None:
    """Write all that the next epoch depends on."""
    states = (flow.state_dict(), optimiser.state_dict(), generator.get_state(), history)
    with replacing(path) as file:
        torch.save(states, file)


def read_state(
    path: Path,
    flow: CouplingFlow,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> History:
    """Set everything to the state after the last whole epoch; the history until then."""
    states = torch.load(path, map_location=flow.mean.device, weights_only=True)
    flow_state, optimiser_state, generator_state, history = states
    flow.load_state_dict(flow_state)
    optimiser.load_state_dict(optimiser_state)
    generator.set_state(generator_state.cpu())
    return history
