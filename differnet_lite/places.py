"""What normal images show at each place: the statistics of the distance map, see `maps`.

A map of a normal image that helped to make the statistics would be too small. So each of them is
measured against the statistics of the others, in closed form (Sherman and Morrison), and the maxima
of these maps give the level that a new normal image passes anywhere with probability alpha.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.maps import WORK, PlaceStatistics, drawn, joined, place_features

__all__ = ["place_statistics"]

EPS = 0.1  # of the mean variance; .003 to .1 are alike on bottle and toothbrush, weave wants .1
DIRECTIONS = 64  # K, in which places have a covariance of their own
WEIGHTS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)  # candidates for w
COARSE = 3  # cells between the places from which the directions are taken
RINGS = 4  # cells at the border that the trunk's padding reaches
USUAL = 0.999  # share of the places of normal images that show no colour


@torch.inference_mode()
def place_statistics(
    extractor: MultiScaleExtractor, images: Sequence[ImageLike], *, white: float | None = None
) -> PlaceStatistics | None:
    """Statistics of n normal images, and the maxima of their own leave-one-out maps; None if n < 3.

    With residuals r_i = Phi_i - mu and S = sum r_i r_i^T over images and places, the residual
    against the others is r_i n / (n - 1) and their scatter S - n / (n - 1) r_i r_i^T: exact.
    """
    n = len(images)
    if n < 3:
        return None
    phi, scale = _phi(extractor, images, white)  # (n, D, h, w)
    mean = phi.mean(0)
    residuals = phi.sub_(mean).flatten(2)  # (n, D, P)
    n_places = residuals.shape[2]
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for r in residuals:
        scatter += r @ r.T
    factor = _factor(scatter / ((n - 1) * n_places))
    axes = _axes(factor, residuals.view(n, *mean.shape)[:, :, ::COARSE, ::COARSE])  # (K, D)
    share = n / (n - 1)
    squares = torch.empty(n, n_places)  # |u|^2
    rows = torch.empty(n_places, n, len(axes))  # a
    for i, r in enumerate(residuals):
        left_out = (scatter - share * (r @ r.T).double()) / ((n - 2) * n_places)
        u = _factor(left_out) @ r
        squares[i] = u.square().sum(0)
        rows[:, i] = (axes @ u).T
    rows -= rows.mean(1, keepdim=True)  # each image has its own factor: nearly 0, made exact
    candidates = {w: _left_out(rows, w) for w in WEIGHTS}
    weight = max(WEIGHTS, key=lambda w: candidates[w][1])
    common = squares - rows.square().sum(2).T  # |u|^2 in the other directions
    distances = (share**2 * common + candidates[weight][0].T).clamp_min(0)
    distances = distances.view(n, *mean.shape[1:]) / mean.shape[0]
    own = torch.linalg.inv(torch.linalg.cholesky(_shrunk(rows, weight, n - 1)))
    border = _border(distances.mean(0))
    normal = drawn(distances / border, extractor.size)
    usual = torch.from_numpy(np.quantile(normal[:, ::WORK, ::WORK].numpy(), [USUAL]))
    statistics = PlaceStatistics(
        scale=scale.float(),
        mean=mean,
        factor=factor,
        directions=axes @ factor,
        own=own,
        border=border.float(),
        maxima=normal.flatten(1).amax(1).float(),
        usual=usual.float(),
    )
    # rounded as in a file, and in its layout, so that a loaded model draws the same
    return PlaceStatistics.from_tensors(statistics.tensors())


def _phi(
    extractor: MultiScaleExtractor, images: Sequence[ImageLike], white: float | None
) -> tuple[Tensor, Tensor]:
    """Phi (n, D, h, w), on the CPU (MPS has no float64), and the layers' norms (L,)."""
    batches: list[list[Tensor]] = []
    for batch in iter_decoded(images, size=extractor.size, batch=8, white=white):
        layers = place_features(extractor, batch.to(extractor.device).float() / 255)
        batches.append([layer.cpu() for layer in layers])
    joint = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    norms = torch.stack([layer.square().sum(1).mean().sqrt() for layer in joint])
    scale = norms.clamp_min(1e-12)
    return joined(joint, scale), scale


def _axes(factor: Tensor, residuals: Tensor) -> Tensor:
    """The directions (K, D) in which the covariances of places differ most from each other.

    They are the first eigenvectors of the mean square of the covariances at each place, of
    residuals (n, D, h, w) that `factor` whitens.
    """
    n, n_features = residuals.shape[:2]
    squares = torch.zeros(n_features, n_features)
    for r in residuals.flatten(2).unbind(2):  # (n, D) at one place
        u = r @ factor.T
        squares += u.T @ ((u @ u.T) @ u)
    vectors = torch.linalg.eigh(squares.double() / n**2)[1].float()
    return vectors.flip(1)[:, :DIRECTIONS].T.contiguous()


def _shrunk(rows: Tensor, weight: float, degrees: int) -> Tensor:
    """(1 - w) I + w times the covariance of rows (P, n, K) at each place: (P, K, K)."""
    own = rows.transpose(1, 2) @ rows / degrees
    return weight * own + (1 - weight) * torch.eye(rows.shape[2])


def _left_out(rows: Tensor, weight: float) -> tuple[Tensor, float]:
    """Distances (P, n) of centred rows (P, n, K) against the others', their mean log-likelihood."""
    n = rows.shape[1]
    share = n / (n - 1)
    lower = torch.linalg.cholesky(_shrunk(rows, weight, n - 2))
    inside = torch.linalg.solve_triangular(lower, rows.transpose(1, 2), upper=False)
    inside = inside.square().sum(1)  # (P, n), with the row itself in the covariance
    kept = (1 - weight * share / (n - 2) * inside).clamp_min(1e-6)  # above 0: rows are centred
    distances = share**2 * inside / kept
    log_det = 2 * lower.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True) + kept.log()
    return distances, -0.5 * float((log_det + distances).mean())


def _factor(covariance: Tensor) -> Tensor:
    """L^-1 with L L^T the inflated covariance: it whitens. (D, D) float32."""
    eye = torch.eye(len(covariance), dtype=covariance.dtype)
    inflated = covariance + EPS * covariance.diagonal().mean().clamp_min(1e-12) * eye
    lower = torch.linalg.cholesky(inflated)
    return torch.linalg.solve_triangular(lower, eye, upper=False).float()


def _border(normal: Tensor) -> Tensor:
    """How much further from normal the rings of cells at the border lie than the inside."""
    h, w = normal.shape
    if min(h, w) <= 2 * RINGS:
        return torch.ones_like(normal)
    rows = torch.arange(h)[:, None]
    columns = torch.arange(w)[None]
    sides = torch.broadcast_tensors(rows, h - 1 - rows, columns, w - 1 - columns)
    ring = torch.stack(sides).amin(0).clamp_max(RINGS)
    levels = torch.stack([normal[ring == k].mean() for k in range(RINGS + 1)])
    return (levels / levels[-1].clamp_min(1e-12)).clamp_min(1)[ring]
