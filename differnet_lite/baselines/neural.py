"""What the methods with a network of their own share: small images, one training loop, an encoder and a decoder."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from differnet_lite.baselines.detector import BaseDetector
from differnet_lite.data.datasets import Images, as_images
from differnet_lite.data.images import ImageLike, iter_decoded
from differnet_lite.features import resolve_device

__all__ = ["NetworkDetector", "NetworkSettings", "decoder", "encoder"]

Step = Callable[[Tensor, torch.Generator], Tensor]
LATENT_GRID = 4  # side of the last feature map, before the latent vector


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Of every method with a network.

    Args:
        size: side of the images, pixels: 32, 64, 128, ...
        width: channels of the first layer; doubled from layer to layer.
        steps: of the optimiser; the same for few images and many, so the cost does not depend on their number.
        batch_size: images in a step; fewer images than that are repeated.
        learning_rate: of Adam.
    """

    size: int = 64
    width: int = 16
    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.size < 32 or self.size & (self.size - 1):
            raise ValueError(
                f"size: expected a power of two of at least 32 pixels, got {self.size}"
            )
        for name in ("width", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


class NetworkDetector(BaseDetector[nn.Module]):
    """A detector whose state is a network. A method gives the network, the loss of a step and the score of a batch.

    Images are (B, 3, H, W) in [-1, 1]. They are decoded once and, as in the methods' papers, not rotated: the
    published recipes know no rotations of the test image, and GeoTrans lives on orientation.
    """

    def _prepare(self, device: str | torch.device, cache: str | os.PathLike[str] | None) -> None:
        self.device = resolve_device(device)

    def inputs(self, images: Images) -> Tensor:
        """What the network sees of images: (N, 3, size, size) in [-1, 1]. `fitted_` is the network."""
        return to_input(
            torch.cat(list(iter_decoded(list(as_images(images)), size=self.settings.size)))
        ).to(self.device)

    def _network(self) -> nn.Module:
        """A new network; its weights come from torch's global generator, which the caller seeds and restores."""
        raise NotImplementedError

    def _stepper(self, network: nn.Module, images: Tensor) -> Step:
        """A function of a batch and a generator that makes one step of training and returns the loss.

        Args:
            network: to train.
            images: (N, 3, H, W), all training images, for what must be known of the data in advance.
        """
        raise NotImplementedError

    def _score_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        """(B,) scores of (B, 3, H, W)."""
        raise NotImplementedError

    def _train(self, images: list[ImageLike]) -> nn.Module:
        s = self.settings
        pixels = torch.cat(list(iter_decoded(images, size=s.size)))  # (N, 3, H, W) uint8
        generator = torch.Generator().manual_seed(self.seed)
        with contained(self.seed):
            network = self._network().to(self.device).train()
            step = self._stepper(network, to_input(pixels).to(self.device))
            batches = endless(len(pixels), s.batch_size, generator)
            with tqdm(
                range(1, s.steps + 1),
                desc=f"training {self.name}",
                unit="step",
                disable=not self.progress,
                leave=False,
            ) as bar:
                for k in bar:
                    loss = float(step(to_input(pixels[next(batches)]).to(self.device), generator))
                    if not math.isfinite(loss):
                        raise FloatingPointError(
                            f"{self.name}: the training loss is {loss} in step {k}: expected a finite number; "
                            f"lower the learning rate (it is {s.learning_rate:g})"
                        )
                    bar.set_postfix(loss=f"{loss:.3f}")
        return network.eval()

    def _score(self, fitted: nn.Module, images: list[ImageLike]) -> np.ndarray:
        scores = []
        with (
            contained(self.seed),
            tqdm(
                total=len(images),
                desc="scoring",
                unit="image",
                disable=not self.progress,
                leave=False,
            ) as bar,
        ):
            for pixels in iter_decoded(images, size=self.settings.size):
                scores.append(
                    self._score_batch(fitted, to_input(pixels).to(self.device))
                    .detach()
                    .double()
                    .cpu()
                )
                bar.update(len(pixels))
        return torch.cat(scores).numpy()

    def _pack(self, fitted: nn.Module) -> dict[str, Tensor]:
        return dict(fitted.state_dict())

    def _unpack(self, tensors: dict[str, Tensor]) -> nn.Module:
        with contained(0):
            network = self._network()
        network.load_state_dict(tensors)
        return network.to(self.device).eval()


def to_input(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def endless(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices (batch_size,) without end, from one random order of all `n` after the other.

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
    """Within, torch's global generator is seeded, gradients are on and cuDNN repeats itself; afterwards all is as it was."""
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), flags:
        torch.default_generator.manual_seed(
            seed
        )  # not torch.manual_seed, which reseeds a GPU's generator too
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


def n_halvings(size: int) -> int:
    """How often an image is halved until its map is 4 x 4."""
    return int(math.log2(size // LATENT_GRID))


def encoder(size: int, width: int, latent: int) -> nn.Sequential:
    """DCGAN's: strided convolutions (B, 3, size, size) -> (B, latent, 1, 1); batch norm after all but the first and last."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for _ in range(n_halvings(size) - 1):
        layers += [
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
        ]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, latent, LATENT_GRID, bias=False))


def decoder(size: int, width: int, latent: int) -> nn.Sequential:
    """The encoder's mirror: (B, latent, 1, 1) -> (B, 3, size, size) in [-1, 1]."""
    halvings = n_halvings(size)
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
