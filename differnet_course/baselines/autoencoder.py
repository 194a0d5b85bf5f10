"""A convolutional autoencoder, scored by what it fails to reproduce: squared error or structure."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_course.baselines.networks import decoder, encoder
from differnet_course.baselines.neural import NetworkDetector, NetworkSettings
from differnet_course.baselines.steps import Step, descent

__all__ = [
    "Autoencoder",
    "AutoencoderSettings",
    "SSIMAutoencoder",
    "SSIMAutoencoderSettings",
    "ssim",
]

SCORES = ("l2", "ssim")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderSettings(NetworkSettings):
    """Of both autoencoders.

    Args:
        latent: length of the code.
        score: "l2" or "ssim", in training and scoring alike, as in the paper.
    """

    steps: int = 800
    latent: int = 100
    score: str = "l2"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.score not in SCORES:
            raise ValueError(f"score: expected one of {SCORES}, got {self.score!r}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSIMAutoencoderSettings(AutoencoderSettings):
    """`AutoencoderSettings` with another default."""

    score: str = "ssim"


def ssim(
    a: Tensor, b: Tensor, *, window: int = 11, sigma: float = 1.5, data_range: float = 1.0
) -> Tensor:
    r"""Mean structural similarity, (B,), in [-1, 1] and 1 for equal images.

    .. math::

        \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
             {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

    Windows that leave the image do not count.

    Args:
        a, b: (B, C, H, W).
        window, sigma: of the Gaussian that weights a neighbourhood; the defaults are the paper's.
        data_range: largest minus smallest possible value.

    References:
        Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
        Structural Similarity", IEEE TIP 13(4), 2004, eq. 13, with K1 = 0.01 and K2 = 0.03.

    Example:
        >>> x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> ssim(x, x).tolist(), bool((ssim(x, 1 - x) < 0).all())
        ([1.0, 1.0], True)
    """
    n_channels = a.shape[1]
    offsets = torch.arange(window, dtype=a.dtype, device=a.device) - (window - 1) / 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(n_channels, 1, 1, -1)

    def local_mean(x: Tensor) -> Tensor:
        return F.conv2d(
            F.conv2d(x, weights, groups=n_channels), weights.transpose(2, 3), groups=n_channels
        )

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    similarity = (
        (2 * mean_a * mean_b + c1)
        * (2 * covariance + c2)
        / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    return similarity.flatten(1).mean(1)


class Autoencoder(NetworkDetector):
    """The reference for "autoencoders generalise too well": the score is the copy's error.

    Nothing in its loss forbids that anomalies are reproduced too, and what is simpler than the
    normal images is often reproduced better than they are: then the score is lower for the anomaly.

    Made smaller: whole images at 64 px for patches of 128 px, four strided convolutions of 16 to
    128 channels, 800 steps; one score for an image in place of a map.

    References:
        Bergmann, Löwe, Fauser, Sattlegger, Steger, "Improving Unsupervised Defect Segmentation by
        Applying Structural Similarity to Autoencoders", VISAPP 2019, arXiv 1807.02011.
    """

    kind = "autoencoder-l2"
    Settings: ClassVar[type[AutoencoderSettings]] = AutoencoderSettings

    def _network(self) -> nn.Module:
        s = self.settings
        return nn.Sequential(encoder(s.size, s.width, s.latent), decoder(s.size, s.width, s.latent))

    def _errors(self, network: nn.Module, x: Tensor) -> Tensor:
        copy = network(x)
        if self.settings.score == "l2":
            return (copy - x).square().flatten(1).mean(1)
        return 1 - ssim((copy + 1) / 2, (x + 1) / 2)

    def _stepper(self, network: nn.Module, images: Tensor) -> Step:
        return descent(
            network,
            lambda x, generator: self._errors(network, x).mean(),
            lr=self.settings.learning_rate,
        )

    def _score_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        return self._errors(network, x)


class SSIMAutoencoder(Autoencoder):
    """The same network, trained and scored by 1 - SSIM.

    Structure counts, a small shift in brightness hardly.
    """

    kind = "autoencoder-ssim"
    Settings = SSIMAutoencoderSettings
