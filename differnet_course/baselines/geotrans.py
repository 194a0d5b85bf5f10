"""GeoTrans: who can tell how a normal image was turned knows what normal images look like."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_course.baselines.networks import NetworkDensity

N_SYMMETRIES = 8


def symmetries(x: Tensor) -> Tensor:
    """(B, 8, C, H, H) of (B, C, H, H): 4 quarter turns, without and with a mirror."""
    turned = [torch.rot90(base, k, (2, 3)) for base in (x, x.flip(3)) for k in range(4)]
    return torch.stack(turned, 1)


@dataclasses.dataclass
class GeoTrans(NetworkDensity):
    r"""A classifier of geometric transformations; the score is how badly it recognises them:

    .. math:: -\frac{1}{8} \sum_{k=1}^{8} \log p(k \mid T_k x)

    It is blind where the product looks the same after a turn or a mirror. Made smaller: 8
    transformations for 72, four convolutions at 64 px for a wide residual network, the mean log
    probability for the Dirichlet fit.

    References: Golan, El-Yaniv, NeurIPS 2018, arXiv 1805.10917.
    """

    steps: int = 300

    def build(self, images: Tensor) -> nn.Module:
        w = self.width
        layers: list[nn.Module] = []
        for n_in, n_out in ((3, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w)):
            layers.append(nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False))
            layers.extend([nn.BatchNorm2d(n_out), nn.ReLU()])
        head = nn.Linear(4 * w, N_SYMMETRIES)
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        k = torch.arange(N_SYMMETRIES, device=x.device).repeat(len(x))  # (B * 8,)
        return F.cross_entropy(self.network_(symmetries(x).flatten(0, 1)), k)

    def score_batch(self, x: Tensor) -> Tensor:
        # float64: where the classifier is sure, log p is a small difference that float32 makes 0
        logits = self.network_(symmetries(x).flatten(0, 1)).cpu().double()  # (B * 8, 8)
        logits = logits.unflatten(0, (len(x), N_SYMMETRIES))  # (B, 8, 8)
        return -logits.log_softmax(2).diagonal(dim1=1, dim2=2).mean(1)
