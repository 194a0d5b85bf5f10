"""Steps of an optimiser, the batches they see, and the random state they run in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Step", "contained", "descent", "endless"]

Step = Callable[[Tensor, torch.Generator], Tensor]


def endless(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices (batch_size,) without end: one random order of all `n` after the other.

    Example:
        >>> batches = endless(3, 2, torch.Generator().manual_seed(0))
        >>> sorted(torch.cat([next(batches) for _ in range(3)]).tolist())
        [0, 0, 1, 1, 2, 2]
    """
    waiting = torch.empty(0, dtype=torch.long)
    while True:
        while len(waiting) < batch_size:
            waiting = torch.cat([waiting, torch.randperm(n, generator=generator)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


@contextmanager
def contained(seed: int) -> Iterator[None]:
    """Within, torch's global generator is seeded, gradients are on and cuDNN repeats itself.

    Afterwards all is as it was.
    """
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), flags:
        # not torch.manual_seed, which reseeds a GPU's generator too
        torch.default_generator.manual_seed(seed)
        yield


def descent(
    network: nn.Module, loss: Callable[[Tensor, torch.Generator], Tensor], **adam: Any
) -> Step:
    """A step of Adam on one loss of one network."""
    optimiser = torch.optim.Adam(network.parameters(), **adam)

    def step(x: Tensor, generator: torch.Generator) -> Tensor:
        value = loss(x, generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        return value.detach()

    return step
