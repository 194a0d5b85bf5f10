"""DCGAN's encoder and decoder, which several methods with a network of their own build on."""

from __future__ import annotations

import math

from torch import nn

__all__ = ["decoder", "encoder"]

LATENT_GRID = 4  # side of the last feature map, before the latent vector


def _n_halvings(size: int) -> int:
    """How often an image is halved until its map is 4 x 4."""
    return int(math.log2(size // LATENT_GRID))


def encoder(size: int, width: int, latent: int) -> nn.Sequential:
    """DCGAN's: strided convolutions (B, 3, size, size) -> (B, latent, 1, 1).

    Batch norm after all but the first and last.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(_n_halvings(size) - 1):
        layers += [
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
        ]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, latent, LATENT_GRID, bias=False))


def decoder(size: int, width: int, latent: int) -> nn.Sequential:
    """The encoder's mirror: (B, latent, 1, 1) -> (B, 3, size, size) in [-1, 1]."""
    halvings = _n_halvings(size)
    width *= 2 ** (halvings - 1)
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(latent, width, LATENT_GRID, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for _ in range(halvings - 1):
        layers += [
            nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(),
        ]
        width //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())
