"""A convolutional autoencoder, scored by what it fails to reproduce: squared error or structure."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_course.baselines.networks import NetworkDensity, decoder, encoder

__all__ = ["Autoencoder", "SSIMAutoencoder", "ssim"]


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

    def build(self) -> nn.Module:
        """x -> code -> copy of x."""
        code = encoder(self.size, self.width, self.latent)
        return nn.Sequential(code, decoder(self.size, self.width, self.latent))

    def score_batch(self, x: Tensor) -> Tensor:
        """(B,) mean squared errors of the copies."""
        return (self.network_(x) - x).square().flatten(1).mean(1)


@dataclasses.dataclass
class SSIMAutoencoder(Autoencoder):
    """The same, trained and scored by 1 - SSIM: structure counts, a shift in brightness hardly."""

    def score_batch(self, x: Tensor) -> Tensor:
        """(B,) structural dissimilarities of the copies."""
        return 1 - ssim((self.network_(x) + 1) / 2, (x + 1) / 2)


def ssim(a: Tensor, b: Tensor, *, window: int = 11, sigma: float = 1.5) -> Tensor:
    r"""Mean structural similarity (B,) of images (B, C, H, W) in [0, 1]; 1 for equal images.

    .. math::

        \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}
             {(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

    Moments are weighted by a Gaussian; windows that leave the image do not count.

    References:
        Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to
        Structural Similarity", IEEE TIP 13(4), 2004, eq. 13, with K1 = 0.01 and K2 = 0.03.
    """
    n_channels = a.shape[1]
    offsets = torch.arange(window, dtype=a.dtype, device=a.device) - (window - 1) / 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(n_channels, 1, 1, -1)

    def local_mean(x: Tensor) -> Tensor:
        along_rows = F.conv2d(x, weights, groups=n_channels)
        return F.conv2d(along_rows, weights.transpose(2, 3), groups=n_channels)

    c1 = 0.01**2
    c2 = 0.03**2
    mean_a = local_mean(a)
    mean_b = local_mean(b)
    var_a = local_mean(a * a) - mean_a**2
    var_b = local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return (above / below).flatten(1).mean(1)
