"""What the density models with a network share, and two of them: an autoencoder, an energy."""

import dataclasses
import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

LATENT_GRID = 4  # side of the last feature map, before the latent vector


@dataclasses.dataclass
class NetworkDensity:
    """A density model of small images (N, 3, size, size) in [-1, 1] that trains `network_`.

    A method adds `build`, `score_batch`, and `loss` or a `stepper` of its own.
    """

    size: int = 64  # side of the images, pixels: a power of two, at least 32
    width: int = 16  # channels of the first layer; doubled from layer to layer
    steps: int = 500  # of the optimiser; the same for few images and many
    batch_size: int = 16  # images in a step; fewer images than that are repeated
    learning_rate: float = 1e-3  # of Adam

    def build(self, images: Tensor) -> nn.Module:
        """A new network for these images; its weights come from torch's global generator."""
        raise NotImplementedError

    def score_batch(self, x: Tensor) -> Tensor:
        """(B,) scores of (B, 3, H, W)."""
        raise NotImplementedError

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of a batch; here the mean score."""
        return self.score_batch(x).mean()

    def stepper(self) -> Callable[[Tensor, torch.Generator], None]:
        """A function of a batch and a generator that makes one step."""
        adam = torch.optim.Adam(self.network_.parameters(), lr=self.learning_rate)

        def step(x: Tensor, generator: torch.Generator) -> None:
            adam.zero_grad()
            self.loss(x, generator).backward()
            adam.step()

        return step

    def fit(self, rows: Tensor, *, seed: int = 0) -> Self:
        """Train on images (N, 3, size, size), on their device."""
        with torch.random.fork_rng(devices=[]):  # the caller's global generator stays
            torch.default_generator.manual_seed(seed)
            self.network_ = self.build(rows).to(rows.device).train()
        step = self.stepper()
        generator = torch.Generator().manual_seed(seed)
        order = torch.empty(0, dtype=torch.long)  # one random order of all N after the other
        for _ in range(self.steps):
            while len(order) < self.batch_size:
                order = torch.cat([order, torch.randperm(len(rows), generator=generator)])
            step(rows[order[: self.batch_size].to(rows.device)], generator)
            order = order[self.batch_size :]
        self.network_.eval()
        return self

    @torch.no_grad()
    def score(self, rows: Tensor) -> Tensor:
        """(N,) scores of images (N, 3, size, size)."""
        return torch.cat([self.score_batch(x) for x in rows.split(16)])


@dataclasses.dataclass
class Autoencoder(NetworkDensity):
    """The reference for "autoencoders generalise too well": the score is the copy's squared error.

    What is simpler than the normal images is often reproduced better than they are. Made smaller:
    whole images at 64 px for patches of 128 px, and one score for an image.

    References: Bergmann et al., VISAPP 2019, arXiv 1807.02011.
    """

    steps: int = 800
    latent: int = 100

    def build(self, images: Tensor) -> nn.Module:
        code = encoder(self.size, self.width, self.latent)
        return nn.Sequential(code, decoder(self.size, self.width, self.latent))

    def score_batch(self, x: Tensor) -> Tensor:
        return (self.network_(x) - x).square().flatten(1).mean(1)


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
        return 0.5 * (x - self.centre).square().flatten(1).sum(1) - self.layers(x).flatten(1).sum(1)


@dataclasses.dataclass
class DSEBM(NetworkDensity):
    r"""A deep structured energy, trained by denoising score matching:

    .. math::

        \min \; \lVert x - (\tilde x - \nabla E(\tilde x)) \rVert^2,
        \qquad \tilde x = x + \text{noise}

    The score is the energy. `noise` is a deviation where pixels lie in [-1, 1]. Made smaller: three
    strided convolutions at 64 px.

    References: Zhai, Cheng, Lu, Zhang, ICML 2016, arXiv 1605.07717.
    """

    steps: int = 1000
    noise: float = 0.2

    def build(self, images: Tensor) -> nn.Module:
        """The energy with the best centre b of a network without h."""
        energy = Energy(self.size, self.width)
        energy.centre.data = images.mean(0)
        return energy

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        noisy = x + self.noise * torch.randn(x.shape, generator=generator).to(x.device)
        noisy.requires_grad_()
        energy = self.network_(noisy).sum()
        denoised = noisy - torch.autograd.grad(energy, noisy, create_graph=True)[0]
        return (x - denoised).square().mean()

    def score_batch(self, x: Tensor) -> Tensor:
        return self.network_(x)


def encoder(size: int, width: int, latent: int) -> nn.Sequential:
    """DCGAN's strided convolutions: (B, 3, size, size) -> (B, latent, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(int(math.log2(size // LATENT_GRID)) - 1):
        layers.append(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))
        layers.extend([nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)])
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, latent, LATENT_GRID, bias=False))


def decoder(size: int, width: int, latent: int) -> nn.Sequential:
    """The encoder's mirror: (B, latent, 1, 1) -> (B, 3, size, size) in [-1, 1]."""
    halvings = int(math.log2(size // LATENT_GRID))
    width *= 2 ** (halvings - 1)
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, width, LATENT_GRID, bias=False)]
    layers.extend([nn.BatchNorm2d(width), nn.ReLU()])
    for _ in range(halvings - 1):
        layers.append(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False))
        layers.extend([nn.BatchNorm2d(width // 2), nn.ReLU()])
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())
