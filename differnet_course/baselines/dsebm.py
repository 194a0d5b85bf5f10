"""DSEBM: a network that gives every image an energy, low where normal images lie."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from differnet_course.baselines.neural import NetworkDetector, NetworkSettings
from differnet_course.baselines.steps import Step, descent

__all__ = ["DSEBM", "DSEBMSettings", "Energy"]

SCORES = ("energy", "reconstruction")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DSEBMSettings(NetworkSettings):
    """Of DSEBM.

    Args:
        noise: deviation of the noise to be removed, where pixels lie in [-1, 1].
        score: "energy" or "reconstruction".
    """

    steps: int = 1000
    noise: float = 0.2
    score: str = "energy"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise ValueError(f"score: expected one of {SCORES}, got {self.score!r}")
        if self.noise <= 0:
            raise ValueError(
                "noise: expected above 0 (there is nothing to learn from removing none), "
                f"got {self.noise}"
            )


class Energy(nn.Module):
    r""":math:`E(x) = \frac12 \lVert x - b \rVert^2 - \sum_j h_j(x)`.

    h is smooth, as the gradient of E is trained. That is :math:`x - b - J_h(x)^T 1`, so that
    x - dE/dx = b + J_h(x)^T 1 is an autoencoder with tied weights.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3, size, size))
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.Softplus(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.Softplus(),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            nn.Softplus(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B,) energies of (B, 3, H, W)."""
        return 0.5 * (x - self.centre).square().flatten(1).sum(1) - self.layers(x).flatten(1).sum(1)

    def gradient(self, x: Tensor, *, create_graph: bool = False) -> Tensor:
        """dE/dx (B, 3, H, W); `create_graph` where it is trained itself."""
        x = x if x.requires_grad else x.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self(x).sum(), x, create_graph=create_graph)[0]


class DSEBM(NetworkDetector):
    r"""A deep structured energy, trained by denoising score matching:

    .. math::

        \min \; \lVert x - (\tilde x - \nabla E(\tilde x)) \rVert^2,
        \qquad \tilde x = x + \text{noise}

    The score is the energy, or :math:`\lVert \nabla E(x) \rVert`, the distance of x from its
    reconstruction. The paper studies both. The energy is the default, on principle: a gradient
    vanishes at every stationary point, a maximum of the energy too, so it cannot tell a peak from a
    valley.

    Made smaller: three convolutions (16, 32, 64 channels) at 64 px, strided for the paper's
    pooling, and 1000 steps.

    References:
        Zhai, Cheng, Lu, Zhang, "Deep Structured Energy Based Models for Anomaly Detection",
        ICML 2016, arXiv 1605.07717.
    """

    kind = "dsebm"
    Settings = DSEBMSettings

    def _network(self) -> nn.Module:
        return Energy(self.settings.size, self.settings.width)

    def _stepper(self, network: nn.Module, images: Tensor) -> Step:
        assert isinstance(network, Energy)
        with torch.no_grad():
            network.centre.copy_(images.mean(0))  # the best b of a network without h

        def loss(x: Tensor, generator: torch.Generator) -> Tensor:
            noisy = x + self.settings.noise * torch.randn(x.shape, generator=generator).to(x.device)
            return (x - (noisy - network.gradient(noisy, create_graph=True))).square().mean()

        return descent(network, loss, lr=self.settings.learning_rate)

    def _score_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(network, Energy)
        if self.settings.score == "energy":
            return network(x)
        return network.gradient(x, create_graph=x.requires_grad).flatten(1).norm(dim=1)
