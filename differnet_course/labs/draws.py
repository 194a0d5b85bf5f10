"""Fresh random input for checks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["Draw", "OtherSizes"]


class Draw:
    """A source of random input; no global generator is read or moved.

    Args:
        seed: None draws anew each time.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, mean: float = 0.0, deviation: float = 1.0) -> Tensor:
        """Normal numbers, in PyTorch's default dtype."""
        numbers = self.rng.normal(mean, deviation, shape)
        return torch.as_tensor(numbers, dtype=torch.get_default_dtype())

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers, in PyTorch's default dtype."""
        numbers = self.rng.uniform(low, high, shape)
        return torch.as_tensor(numbers, dtype=torch.get_default_dtype())

    def number(self, low: float, high: float) -> float:
        """One uniform number."""
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))


class OtherSizes(Draw):
    """A source whose whole numbers lie above those that are asked for: for held-back tests."""

    def integer(self, low: int, high: int) -> int:
        """A whole number from high + 1 to high + 3."""
        return super().integer(high + 1, high + 3)
