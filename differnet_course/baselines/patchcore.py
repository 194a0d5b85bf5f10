"""PatchCore: it remembers patches of normal images; an image is as odd as its oddest patch."""

import dataclasses
from typing import Self

import torch
from torch import Tensor

from differnet_course.baselines.networks import NetworkDensity
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.maps import place_features

PROJECTED = 128  # numbers of a patch that the coreset is chosen by, as in the paper


@dataclasses.dataclass
class PatchCore(NetworkDensity):
    r"""The largest distance of a patch to its nearest neighbour among remembered normal patches.

    A patch is a place of two middle layers of the frozen AlexNet, averaged over 3 x 3 cells: what
    the *distance* map sees. Of the settings of `NetworkDensity` only `size` has a meaning. Made
    simpler: AlexNet for a wide ResNet-50, two layers on one grid, and no re-weighting by the
    density of the memory. It sees images as they lie, without rotations.

    References: Roth et al., CVPR 2022, arXiv 2106.08265.
    """

    size: int = 448  # pixels, 64 or more
    n_patches: int = 2000  # at most so many are remembered
    n_candidates: int = 40_000  # of at most so many, drawn evenly from the images

    @torch.no_grad()
    def fit(self, rows: Tensor, *, seed: int = 0) -> Self:
        generator = torch.Generator().manual_seed(seed)
        self.extractor_ = MultiScaleExtractor(
            size=self.size, n_scales=1, device=rows.device, dtype="float32"
        )
        share = -(-self.n_candidates // len(rows))  # patches of an image
        candidates = []
        for x in rows.split(16):
            for patches in self._patches(x):  # (P, D) of an image
                drawn = torch.randperm(len(patches), generator=generator)[:share]
                candidates.append(patches[drawn.to(patches.device)])
        pool = torch.cat(candidates)
        self.patches_ = pool[greedy_coreset(pool, self.n_patches, generator)]
        return self

    def score_batch(self, x: Tensor) -> Tensor:
        nearest = [torch.cdist(patches, self.patches_).amin(1) for patches in self._patches(x)]
        return torch.stack(nearest).amax(1)

    def _patches(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] as patches (B, P, D)."""
        layers = place_features(self.extractor_, (x + 1) / 2)
        return torch.cat(layers, 1).flatten(2).transpose(1, 2)


def greedy_coreset(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Indices (n,) of rows (M, D), n <= M: each is the one furthest from those chosen before."""
    projection = torch.randn(rows.shape[1], PROJECTED, generator=generator).to(rows.device)
    short = rows @ projection
    squares = short.square().sum(1)
    chosen = [int(torch.randint(len(rows), (), generator=generator))]
    apart = torch.full_like(squares, float("inf"))
    for _ in range(min(n, len(rows)) - 1):
        last = chosen[-1]
        apart = torch.minimum(apart, squares + squares[last] - 2 * (short @ short[last]))
        chosen.append(int(apart.argmax()))
    return torch.tensor(chosen, device=rows.device)
