"""Which views a training step sees, drawn from features or made anew; and their whitening."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from differnet_lite.checks import real
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import ImageLike, decode, iter_decoded
from differnet_lite.transforms import Transformations

__all__ = ["Sampler", "fresh_view_sampler", "view_sampler", "whitening_matrix"]

Sampler = Callable[[Tensor, torch.Generator], Tensor]  # positions (B,) to rows (B, V, D)

KEPT_IN_MEMORY = 4000  # images; 2.4 GB at 448 px


def view_sampler(features: Tensor, *, views_per_image: int, pool_views: bool) -> Sampler:
    """How a step draws views of images whose features (N, T, D) are there.

    Args:
        features: every view of every training image.
        views_per_image: V of its T views are drawn for each image, without repetition while that
            is possible.
        pool_views: each of the V rows is the mean over a random half of the T views instead.

    Returns:
        A function of image indices (B,) and a generator that gives (B, V, D).
    """
    n_angles = features.shape[1]
    n_views = views_per_image

    def draw(indices: Tensor, generator: torch.Generator) -> Tensor:
        chosen = features[indices]  # (B, T, D)
        if pool_views:
            half = (n_angles + 1) // 2
            ranks = torch.rand(len(indices), n_views, n_angles, generator=generator).argsort(2)
            weights = torch.zeros_like(ranks, dtype=chosen.dtype)
            weights.scatter_(2, ranks[..., :half], 1.0 / half)  # (B, V, T)
            return weights.to(chosen.device) @ chosen
        order = torch.rand(len(indices), n_angles, generator=generator).argsort(1)
        order = order.repeat(1, -(-n_views // n_angles))[:, :n_views]  # (B, V)
        index = order.to(chosen.device)[..., None].expand(-1, -1, chosen.shape[-1])
        return chosen.gather(1, index)

    return draw


def fresh_view_sampler(
    extractor: MultiScaleExtractor,
    images: Sequence[ImageLike],
    transformations: Transformations,
    *,
    white: float | None = None,
) -> Sampler:
    """Views at new random angles in every step, as in the paper: the trunk runs again and again.

    Args:
        extractor: the trunk.
        images: training images; decoded once if they are few enough for the memory.
        transformations: `n_train` = V views are made of each image.
        white: of pictures of more than 8 bits, see `as_rgb`.
    """
    size = extractor.size
    n_views = transformations.n_train
    pixels = None
    if len(images) <= KEPT_IN_MEMORY:
        pixels = torch.cat(list(iter_decoded(images, size=size, white=white))).to(extractor.device)

    def draw(indices: Tensor, generator: torch.Generator) -> Tensor:
        if pixels is None:
            batch = torch.stack([decode(images[i], size, white=white) for i in indices])
        else:
            batch = pixels[indices.to(pixels.device)]
        angles = transformations.draw_angles(len(indices) * n_views, generator).view(-1, n_views)
        return extractor.random_views(batch, angles, transformations, generator)

    return draw


def whitening_matrix(y: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    r"""Mean and matrix of the ZCA whitening with a noise-inflated covariance.

    With :math:`\mathrm{cov}(y) = V \Lambda V^T` the matrix is
    :math:`V (\Lambda + \epsilon^2)^{-1/2} V^T`: the whitening of y + noise, where the noise is
    normal with deviation eps. Dead channels, whose own variance is 0, then come out small and not
    blown up. The last factor makes it symmetric ("ZCA"), and so unique: without it the matrix would
    depend on the basis that eigh happens to give of the directions that do not vary.

    Args:
        y: (N, D) features.
        eps: deviation of the noise, in units of the features; above 0.

    Returns:
        The mean (D,) and the matrix (D, D), float64, for (y - mean) @ matrix.

    Raises:
        ValueError: eps is not above 0.
    """
    real("eps", eps, above=0)
    y = y.double()
    mean = y.mean(0)
    centred = y - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(y))
    matrix = vectors / (variances.clamp_min(0) + eps**2).sqrt()
    return mean, matrix @ vectors.T
