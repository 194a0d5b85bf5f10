"""Small flows for notebooks 01 and 02.

Every flow here keeps the package's contract: `z, log_det = flow(y)` with
log_det = log |det dz/dy| (N,) of y (N, D), and `y, log_det = flow.inverse(z)` with that of the
way back.
The affine coupling itself is not here: the reader writes it in notebook 02.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from differnet_lite.flow import soft_clamp

__all__ = [
    "MADE",
    "AdditiveCoupling",
    "Chain",
    "Inverse",
    "Permute",
    "density_on_grid",
    "log_density",
    "two_moons",
]


def two_moons(n: int, *, noise: float = 0.08, seed: int = 0) -> Tensor:
    """Two interleaved half circles (n, 2): zero mean, unit deviation, torch's default dtype."""
    rng = np.random.default_rng(seed)
    angle = math.pi * rng.random(n)
    upper = rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    moons = np.stack([x / 0.87, y / 0.5], 1) + noise * rng.standard_normal((n, 2))
    return torch.as_tensor(moons, dtype=torch.get_default_dtype())


class Chain(nn.Module):
    """Flows one after the other: the log-dets add, and the inverse runs through them backwards."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        total = y.new_zeros(len(y))
        for part in self.parts:
            y, log_det = part(y)
            total = total + log_det
        return y, total

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return Chain([Inverse(part) for part in reversed(self.parts)])(z)


class Permute(nn.Module):
    """Reorder the columns: z[:, i] = y[:, order[i]]. Its log-det is 0."""

    def __init__(self, order: Sequence[int] | np.ndarray) -> None:
        super().__init__()
        self.order = torch.as_tensor(order)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y[:, self.order], y.new_zeros(len(y))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z[:, self.order.argsort()], z.new_zeros(len(z))


def _mlp(n_in: int, n_out: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, hidden),
        nn.SiLU(),  # smooth: rounding errors do not grow while it trains
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, n_out),
    )


class AdditiveCoupling(nn.Module):
    """NICE's block, both halves in turn: z1 = y1 + t(y2), z2 = y2 + t(z1).

    It keeps every volume: log-det 0.

    References: Dinh, Krueger, Bengio, "NICE", arXiv 1410.8516.
    """

    def __init__(self, n_features: int, *, hidden: int = 32) -> None:
        super().__init__()
        n1 = n_features // 2
        n2 = n_features - n1
        self.split = [n1, n2]
        self.net1 = _mlp(n1, n2, hidden)
        self.net2 = _mlp(n2, n1, hidden)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        y1, y2 = y.split(self.split, dim=1)
        z1 = y1 + self.net2(y2)
        return torch.cat([z1, y2 + self.net1(z1)], 1), y.new_zeros(len(y))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z1, z2 = z.split(self.split, dim=1)
        y2 = z2 - self.net1(z1)
        return torch.cat([z1 - self.net2(y2), y2], 1), z.new_zeros(len(z))


class _MaskedLinear(nn.Linear):
    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.get_buffer("mask"), self.bias)


class MADE(nn.Module):
    r"""One autoregressive layer (of MAF): :math:`z_i = y_i \exp(s_i(y_{<i})) + t_i(y_{<i})`.

    By masks on the weights s_i and t_i depend on y_1 .. y_{i-1} only: one network pass gives z.
    The way back needs y_1 to get y_2 and so on: D passes. `Inverse` turns it around (IAF).

    References: Germain et al., "MADE", arXiv 1502.03509; Papamakarios et al., "MAF",
        arXiv 1705.07057; Kingma et al., "IAF", arXiv 1606.04934.
    """

    def __init__(self, n_features: int, *, hidden: int = 32, alpha: float = 3.0) -> None:
        super().__init__()
        self.alpha = alpha
        inputs = torch.arange(1, n_features + 1)
        inner = torch.arange(hidden) % max(n_features - 1, 1) + 1
        rows = inner[:, None]
        masks = [rows >= inputs, rows >= inner, inputs.repeat(2)[:, None] > inner]
        first, second, last = (_MaskedLinear(mask) for mask in masks)
        self.net = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), last)

    def _coefficients(self, y: Tensor) -> tuple[Tensor, Tensor]:
        h, t = self.net(y).chunk(2, dim=1)
        return soft_clamp(h, self.alpha), t

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self._coefficients(y)
        return y * s.exp() + t, s.sum(1)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """In D passes: column i is right after pass i."""
        y = torch.zeros_like(z)
        for i in range(z.shape[1]):
            s, t = self._coefficients(y)
            column = (z[:, i] - t[:, i]) * (-s[:, i]).exp()
            y = torch.cat([y[:, :i], column[:, None], y[:, i + 1 :]], 1)
        return y, -s.sum(1)


class Inverse(nn.Module):
    """A flow turned around: its forward is the inner flow's inverse. Turns MAF into IAF."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.inverse(y)  # type: ignore[operator]

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(z)


def log_density(flow: nn.Module, y: Tensor) -> Tensor:
    """log p_Y(y) = log p_Z(z) + log |det dz/dy| (N,) for a standard normal p_Z, with constants."""
    with torch.no_grad():
        z, log_det = flow(y)
    return log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)


def density_on_grid(
    flow: nn.Module, *, limit: float = 3.0, n: int = 81, centre: tuple[float, float] = (0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both axes (n,), centre +- limit, and p_Y on their grid (n, n): a row for each y."""
    axis = torch.linspace(-limit, limit, n)
    x, y = torch.meshgrid(axis + centre[0], axis + centre[1], indexing="xy")
    density = log_density(flow, torch.stack([x.flatten(), y.flatten()], 1)).exp().reshape(n, n)
    return x[0].numpy(), y[:, 0].numpy(), density.numpy()
