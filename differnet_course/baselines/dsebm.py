"""DSEBM: a network that gives every image an energy, low where normal images lie."""

import dataclasses

import torch
from torch import Tensor, nn

from differnet_course.baselines.networks import NetworkDensity


class Energy(nn.Module):
    r""":math:`E(x) = \frac12 \lVert x - b \rVert^2 - \sum_j h_j(x)`, with a smooth network h.

    Its gradient is :math:`x - b - J_h(x)^T 1`, so that x - dE/dx is an autoencoder with tied
    weights.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(3, size, size))
        layers: list[nn.Module] = []
        for n_in, n_out in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers.extend([nn.Conv2d(n_in, n_out, 4, 2, 1), nn.Softplus()])
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B,) energies of (B, 3, H, W)."""
        return 0.5 * (x - self.centre).square().flatten(1).sum(1) - self.layers(x).flatten(1).sum(1)


@dataclasses.dataclass
class DSEBM(NetworkDensity):
    r"""A deep structured energy, trained by denoising score matching:

    .. math::

        \min \; \lVert x - (\tilde x - \nabla E(\tilde x)) \rVert^2,
        \qquad \tilde x = x + \text{noise}

    The score is the energy. `noise` is a deviation where pixels lie in [-1, 1]. Made smaller: three
    strided convolutions at 64 px.

    References:
        Zhai, Cheng, Lu, Zhang, "Deep Structured Energy Based Models for Anomaly Detection",
        ICML 2016, arXiv 1605.07717.
    """

    steps: int = 1000
    noise: float = 0.2

    def build(self, images: Tensor) -> nn.Module:
        """The energy with the best centre b of a network without h."""
        energy = Energy(self.size, self.width)
        energy.centre.data = images.mean(0)
        return energy

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The squared error of what the noise is removed from."""
        noisy = x + self.noise * torch.randn(x.shape, generator=generator).to(x.device)
        noisy.requires_grad_()
        energy = self.network_(noisy).sum()
        denoised = noisy - torch.autograd.grad(energy, noisy, create_graph=True)[0]
        return (x - denoised).square().mean()

    def score_batch(self, x: Tensor) -> Tensor:
        """(B,) energies."""
        return self.network_(x)
