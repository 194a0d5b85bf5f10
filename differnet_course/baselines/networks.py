"""What the density models with a network share, and the plainest of them, an autoencoder."""

import dataclasses
import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

LATENT_GRID = 4  # side of the last feature map, before the latent vector


@dataclasses.dataclass
class NetworkDensity:
    """A density model of small images (N, 3, size, size) in [-1, 1] that trains a network.

    A method adds `build`, `score_batch`, and `loss` or a `stepper` of its own.

    Args:
        size: side of the images, pixels: a power of two, at least 32.
        width: channels of the first layer; doubled from layer to layer.
        steps: of the optimiser; the same for few images and many.
        batch_size: images in a step; fewer images than that are repeated.
        learning_rate: of Adam.

    Attributes:
        network_: the trained network.
    """

    size: int = 64
    width: int = 16
    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3

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

    Nothing in its loss forbids that anomalies are reproduced too, and what is simpler than the
    normal images is often reproduced better than they are: then the score is lower for the anomaly.
    Made smaller: whole images at 64 px for patches of 128 px, and one score for an image.

    References:
        Bergmann, Löwe, Fauser, Sattlegger, Steger, "Improving Unsupervised Defect Segmentation by
        Applying Structural Similarity to Autoencoders", VISAPP 2019, arXiv 1807.02011.
    """

    steps: int = 800
    latent: int = 100

    def build(self, images: Tensor) -> nn.Module:
        """x -> code -> copy of x."""
        code = encoder(self.size, self.width, self.latent)
        return nn.Sequential(code, decoder(self.size, self.width, self.latent))

    def score_batch(self, x: Tensor) -> Tensor:
        """(B,) mean squared errors of the copies."""
        return (self.network_(x) - x).square().flatten(1).mean(1)


def encoder(size: int, width: int, latent: int) -> nn.Sequential:
    """DCGAN's strided convolutions: (B, 3, size, size) -> (B, latent, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(_n_halvings(size) - 1):
        layers.append(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False))
        layers.extend([nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)])
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, latent, LATENT_GRID, bias=False))


def decoder(size: int, width: int, latent: int) -> nn.Sequential:
    """The encoder's mirror: (B, latent, 1, 1) -> (B, 3, size, size) in [-1, 1]."""
    halvings = _n_halvings(size)
    width *= 2 ** (halvings - 1)
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, width, LATENT_GRID, bias=False)]
    layers.extend([nn.BatchNorm2d(width), nn.ReLU()])
    for _ in range(halvings - 1):
        layers.append(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False))
        layers.extend([nn.BatchNorm2d(width // 2), nn.ReLU()])
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def _n_halvings(size: int) -> int:
    """How often an image is halved until its map is 4 x 4."""
    return int(math.log2(size // LATENT_GRID))
