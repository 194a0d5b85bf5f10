"""What the methods with a network of their own share: small images and one training loop."""

from __future__ import annotations

import dataclasses
import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur
from tqdm.auto import tqdm

from differnet_course.baselines.steps import Step, contained, endless
from differnet_lite.oldchecks import check_fields, one_of, real, whole
from differnet_lite.detector import Detector
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.listing import Images, as_images
from differnet_lite.schema import check_tensors
from differnet_lite.splits import CALIBRATIONS, Split
from differnet_lite.switches import with_default_switches
from differnet_lite.trunk import resolve_device

__all__ = ["NetworkDetector", "NetworkSettings", "to_input"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Of every method with a network.

    Args:
        size: side of the images, pixels: 32, 64, 128, ...
        width: channels of the first layer; doubled from layer to layer.
        steps: of the optimiser; the same for few images and many, so the cost does not depend on
            their number.
        batch_size: images in a step; fewer images than that are repeated.
        learning_rate: of Adam.
        calibration, folds, holdout: see `differnet_lite.Settings`.
    """

    size: int = 64
    width: int = 16
    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 1e-3
    calibration: str = "none"
    folds: int = 5
    holdout: float = 0.2

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("width", "steps", "batch_size"), whole(1))
        rates = {"learning_rate": real(above=0), "holdout": real(above=0, below=1)}
        check_fields(self, counts | rates | {"size": whole(32, 4096), "folds": whole(2)})
        check_fields(self, {"calibration": one_of(*CALIBRATIONS)})
        if self.size & (self.size - 1):
            raise ValueError(f"size: expected a power of two, at least 32 pixels, got {self.size}")


class NetworkDetector(Detector):
    """A detector whose state is a network: a method gives it, the loss of a step and the score.

    Images are (B, 3, H, W) in [-1, 1]. They are decoded once and, as in the methods' papers, not
    rotated: the published recipes know no rotations of the test image, and GeoTrans lives on
    orientation.

    Attributes:
        network_: the trained network.
    """

    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        **options: Any,
    ) -> None:
        common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
        super().__init__(self.Settings(), seed=seed, options=options, **common)

    @property
    def target(self) -> torch.device:
        """The device to compute on."""
        return resolve_device(self.device)

    def inputs(self, images: Images) -> Tensor:
        """What the network sees of images: (N, 3, size, size) in [-1, 1]."""
        return to_input(self._pixels(as_images(images))).to(self.target)

    def _pixels(self, images: Sequence[ImageLike]) -> Tensor:
        return torch.cat(list(iter_decoded(images, size=self.settings.size)))

    @abstractmethod
    def _network(self) -> nn.Module:
        """A new network; its weights come from torch's global generator, which is contained."""

    @abstractmethod
    def _stepper(self, network: nn.Module, images: Tensor) -> Step:
        """A function of a batch and a generator that makes one step and returns the loss.

        Args:
            network: to train.
            images: (N, 3, H, W), all training images, for what must be known in advance.
        """

    @abstractmethod
    def _score_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        """(B,) scores of (B, 3, H, W), differentiable."""

    def _fit(
        self, images: Sequence[ImageLike], chosen: Sequence[Split]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        pixels = self._pixels(images)  # (N, 3, H, W) uint8
        networks = [self._trained(pixels[split.train]) for split in chosen]
        scores = [
            np.concatenate(
                [np.empty(0), *self._scores_by(network, pixels[split.calibrate].split(16))]
            )
            for network, split in zip(networks, chosen, strict=True)
        ]
        return {"network_": networks[0]}, scores

    def _trained(self, pixels: Tensor) -> nn.Module:
        s, generator = self.settings, torch.Generator().manual_seed(self.seed)
        with contained(self.seed):
            network = self._network().to(self.target).train()
            step = self._stepper(network, to_input(pixels).to(self.target))
            batches = endless(len(pixels), s.batch_size, generator)
            steps, silent = range(1, s.steps + 1), not self.progress
            with tqdm(
                steps, f"training {self.kind}", unit="step", disable=silent, leave=False
            ) as bar:
                for k in bar:
                    loss = float(step(to_input(pixels[next(batches)]).to(self.target), generator))
                    if not math.isfinite(loss):
                        raise FloatingPointError(
                            f"{self.kind}: the training loss is {loss} in step {k}: expected a "
                            f"finite number; lower the learning rate ({s.learning_rate:g})"
                        )
                    bar.set_postfix(loss=f"{loss:.3f}")
        return network.eval()

    def _scores_by(self, network: nn.Module, batches: Iterable[Tensor]) -> Iterator[np.ndarray]:
        """Scores of batches of uint8 pixels."""
        for pixels in batches:
            with contained(self.seed), torch.no_grad():
                found = self._score_batch(network, to_input(pixels).to(self.target))
            yield found.detach().double().cpu().numpy()

    def _iter_scores(self, images: Sequence[ImageLike]) -> Iterator[np.ndarray]:
        silent = not self.progress
        with tqdm(
            total=len(images), desc="scoring", unit="image", disable=silent, leave=False
        ) as bar:
            batches = iter_decoded(images, size=self.settings.size)
            for scores in self._scores_by(self.network_, batches):
                yield scores
                bar.update(len(scores))

    @with_default_switches
    def anomaly_maps(self, images: Images) -> np.ndarray:
        """Where the score comes from: |d score / d pixel|, mean over channels, blurred.

        Returns:
            (N, size, size) float32 at the network's own, small size.
        """
        self.check_fitted()
        size = self.settings.size
        found = [torch.empty(0, size, size)]
        for pixels in iter_decoded(as_images(images), size=size):
            with contained(self.seed):
                x = to_input(pixels).to(self.target).requires_grad_(True)
                (slope,) = torch.autograd.grad(self._score_batch(self.network_, x).sum(), x)
            found.append(gaussian_blur(slope, [5, 5], [1.0, 1.0]).abs().mean(1).cpu())
        return torch.cat(found).numpy()

    def iter_anomaly_maps(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly maps one by one."""
        yield from self.anomaly_maps(images)

    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return dict(self.network_.state_dict()), {}

    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        with torch.device("meta"):  # nothing is allocated for what the file does not hold
            network = self._network()
        check_tensors(tensors, network.state_dict())
        network.load_state_dict(tensors, assign=True)
        return {"network_": network.to(self.target).eval()}


def to_input(pixels: Tensor) -> Tensor:
    """uint8 pixels as float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1
