r"""The anomaly score tau: how far an image's views lie from the origin of the latent space.

.. math:: \tau(x) = \frac{1}{T D} \sum_{t=1}^{T} \lVert f(f_\mathrm{ex}(T_t(x))) \rVert^2

The paper's score is the expected negative log-likelihood of z under the standard normal, over
transformations: D/2 times tau, plus a constant. The log-determinant of the flow is no part of
it; `use_log_det` adds it. With `pool_views` the flow sees one vector, the mean of the views.

A row is one vector of D features that the flow sees: a view, or the mean of an image's views.

Couplings are exponential, so far from normal images tau reaches 10^12. Above a soft limit it grows
with the logarithm: the order of images is the same, and the number can be read (ours).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from differnet_lite.flow import CouplingFlow
from differnet_lite.settings import Settings

__all__ = ["Scorer", "flow_rows", "flow_score", "score_views", "scorer_of", "soften"]

RowScore = Callable[[Tensor], Tensor]  # rows (M, D) to scores (M,), differentiable


def score_views(z: Tensor, log_det: Tensor, *, use_log_det: bool = False) -> Tensor:
    """The score of each view: mean z^2 over dimensions.

    With `use_log_det`, mean z^2 - 2 log_det / D: twice the negative log-likelihood of the features
    per dimension, but for a constant. May be negative.

    Args:
        z: (..., D).
        log_det: (...).
    """
    if log_det.shape != z.shape[:-1]:
        shapes = f"{tuple(z.shape)} and {tuple(log_det.shape)}"
        raise ValueError(f"expected z (..., D) and log_det (...), got {shapes}")
    scores = z.square().mean(-1)
    return scores - 2 * log_det / z.shape[-1] if use_log_det else scores


def soften(scores: Tensor, limit: float) -> Tensor:
    """Scores as they are up to a limit c, and c (1 + log(score / c)) above it; c = 0: no limit.

    Example:
        >>> soften(torch.tensor([1.0, 100.0, 1e12]), 100.0).round().tolist()
        [1.0, 100.0, 2403.0]
    """
    if limit == 0:
        return scores
    return torch.where(scores <= limit, scores, limit * (1 + (scores / limit).clamp_min(1).log()))


def flow_score(
    *flows: CouplingFlow, use_log_det: bool = False, soft_limit: float = 0.0
) -> RowScore:
    """The score of rows (M, D), the mean of the flows', on their device.

    Args:
        use_log_det: see `score_views`.
        soft_limit: see `soften`; of each flow's score, so that none outvotes the others.
    """

    def score_rows(rows: Tensor) -> Tensor:
        latent = [flow(rows.to(flow.mean.device)) for flow in flows]
        scores = [score_views(z, log_det, use_log_det=use_log_det) for z, log_det in latent]
        return torch.stack([soften(score, soft_limit) for score in scores]).mean(0)

    return score_rows


def flow_rows(features: Tensor, pool_views: bool) -> Tensor:
    """What the flow sees of each image: its T views, or their mean as one, (N, T or 1, D)."""
    return features.mean(1, keepdim=True) if pool_views else features


@dataclasses.dataclass(frozen=True)
class Scorer:
    """From features to scores: `score_rows` (see `flow_score`) of `flow_rows`.

    Example:
        >>> scorer = Scorer(lambda rows: rows.square().mean(1))
        >>> scorer.scores(torch.ones(3, 2, 4)), scorer.gradient(torch.ones(3, 2, 4)).shape
        (array([1., 1., 1.]), torch.Size([3, 2, 4]))
    """

    score_rows: RowScore
    pool_views: bool = True

    @torch.inference_mode()
    def scores(self, features: Tensor, *, batch_size: int = 4096) -> np.ndarray:
        """tau: (N,) float64, of features (N, T, D); higher is more anomalous."""
        rows = flow_rows(features, self.pool_views)
        parts = [self.score_rows(part).cpu() for part in rows.flatten(0, 1).split(batch_size)]
        return torch.cat(parts).view(rows.shape[:2]).double().mean(1).numpy()

    def gradient(self, features: Tensor) -> Tensor:
        """d tau_t / d y_t, the gradient of each view's own score, (N, T, D); not divided by T.

        With pooled views it is the gradient with respect to their mean, the same for all views.
        """
        rows = flow_rows(features, self.pool_views).detach().requires_grad_(True)
        with torch.enable_grad():
            total = self.score_rows(rows.flatten(0, 1)).sum()
        return torch.autograd.grad(total, rows)[0].expand_as(features)


def scorer_of(flows: Sequence[CouplingFlow], settings: Settings) -> Scorer:
    """From features to the mean score of some flows, as the settings say."""
    score_rows = flow_score(
        *flows, use_log_det=settings.use_log_det, soft_limit=settings.soft_limit
    )
    return Scorer(score_rows, settings.pool_views)
