r"""The anomaly score tau: how far a normal image's views lie from the origin of the latent space.

.. math:: \tau(x) = \frac{1}{T D} \sum_{t=1}^{T} \lVert f(f_\mathrm{ex}(T_t(x))) \rVert^2

The paper defines the score as the expected negative log-likelihood of z under the standard normal,
over transformations. The log-determinant of the flow is no part of it; `use_log_det` adds it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from differnet_lite.flow import CouplingFlow

__all__ = ["latents", "score_views", "anomaly_score"]


@torch.inference_mode()
def latents(
    flow: CouplingFlow, features: Tensor, *, batch_size: int = 4096
) -> tuple[Tensor, Tensor]:
    """Latents and log-determinants of every view.

    Args:
        flow: the flow.
        features: (N, T, D).
        batch_size: rows passed through the flow together.

    Returns:
        z (N, T, D) and log |det dz/dy| (N, T), on the CPU.
    """
    n_images, n_views, _ = features.shape
    device = next(flow.parameters()).device
    parts = [
        flow(rows.to(device)) for rows in features.flatten(0, 1).split(batch_size)
    ]  # (N * T, D)
    z = torch.cat([part[0].cpu() for part in parts]).unflatten(0, (n_images, n_views))
    log_det = torch.cat([part[1].cpu() for part in parts]).unflatten(0, (n_images, n_views))
    return z, log_det


def score_views(z: Tensor, log_det: Tensor, *, use_log_det: bool = False) -> Tensor:
    """The score of each view, (N, T): mean z^2 over dimensions.

    With `use_log_det`, mean z^2 - 2 log_det / D: twice the negative log-likelihood of the features
    per dimension, but for a constant. May be negative.

    Args:
        z: (N, T, D).
        log_det: (N, T).
    """
    scores = z.square().mean(-1)
    return scores - 2 * log_det / z.shape[-1] if use_log_det else scores


def anomaly_score(flow: CouplingFlow, features: Tensor, *, use_log_det: bool = False) -> np.ndarray:
    """tau: the mean score over views, (N,) float64, of features (N, T, D).

    Example:
        >>> from differnet_lite.flow import build_flow
        >>> anomaly_score(build_flow(4, n_blocks=1, hidden=8, seed=0), torch.zeros(3, 2, 4)).shape
        (3,)
    """
    z, log_det = latents(flow, features)
    return score_views(z, log_det, use_log_det=use_log_det).double().mean(1).numpy()
