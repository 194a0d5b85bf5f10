"""GeoTrans: who can tell how a normal image was turned knows what normal images look like."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_course.baselines.neural import NetworkDetector, NetworkSettings
from differnet_course.baselines.steps import Step, descent

__all__ = ["GeoTrans", "GeoTransSettings", "symmetries"]

N_SYMMETRIES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeoTransSettings(NetworkSettings):
    """As in `NetworkSettings`; a step sees 8 views of each image."""

    steps: int = 300


def symmetries(x: Tensor) -> Tensor:
    """The 8 views T_k x: 4 quarter turns, without and with a mirror. They only move pixels.

    Args:
        x: (B, C, H, H).

    Returns:
        (B, 8, C, H, H); view 0 is x itself.

    Example:
        >>> symmetries(torch.arange(4.0).view(1, 1, 2, 2)).flatten(2).unique(dim=1).shape
        torch.Size([1, 8, 4])
    """
    return torch.stack(
        [torch.rot90(base, k, (2, 3)) for base in (x, x.flip(3)) for k in range(4)], 1
    )


class GeoTrans(NetworkDetector):
    r"""A classifier of geometric transformations; the score is how badly it recognises them:

    .. math:: -\frac{1}{8} \sum_{k=1}^{8} \log p(k \mid T_k x)

    It is blind where the product looks the same after a turn or a mirror: then no one can tell k,
    anomaly or not.

    Made smaller: 8 transformations (mirror x quarter turns) for 72 (with 9 shifts, which mean
    little for aligned products); four convolutions at 64 px for a wide residual network; the mean
    log probability for the Dirichlet fit (the paper's own simple variant averages the
    probabilities).

    References:
        Golan, El-Yaniv, "Deep Anomaly Detection Using Geometric Transformations", NeurIPS 2018,
        arXiv 1805.10917.
    """

    kind = "geotrans"
    Settings = GeoTransSettings

    def _network(self) -> nn.Module:
        w = self.settings.width
        layers: list[nn.Module] = []
        for n_in, n_out in ((3, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)):
            layers += [
                nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            ]
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, N_SYMMETRIES)
        )

    def _stepper(self, network: nn.Module, images: Tensor) -> Step:
        def loss(x: Tensor, generator: torch.Generator) -> Tensor:
            k = torch.arange(N_SYMMETRIES, device=x.device).repeat(len(x))  # (B * 8,)
            return F.cross_entropy(network(symmetries(x).flatten(0, 1)), k)

        return descent(network, loss, lr=self.settings.learning_rate)

    def _score_batch(self, network: nn.Module, x: Tensor) -> Tensor:
        # float64: where the classifier is sure, log p is a small difference that float32 makes 0
        logits = network(symmetries(x).flatten(0, 1)).cpu().double()  # (B * 8, 8)
        logits = logits.unflatten(0, (len(x), N_SYMMETRIES))  # (B, 8, 8)
        return -logits.log_softmax(2).diagonal(dim1=1, dim2=2).mean(1)
