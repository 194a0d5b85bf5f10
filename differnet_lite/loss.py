r"""The training loss: the negative log-likelihood by the change of variables.

.. math::
    \mathcal{L}(y) = \frac{1}{D} \left( \frac{\lVert z \rVert^2}{2}
    - \log\left|\det\frac{\partial z}{\partial y}\right| \right)

is -log p_Y(y) / D but for the constant log(2 pi) / 2, in nats per dimension. It may be negative: a
density is no probability, and exceeds 1 wherever it is narrow.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["nll"]


def nll(z: Tensor, log_det: Tensor) -> Tensor:
    """Mean negative log-likelihood, nats per dimension, without the constant log(2 pi) / 2.

    Args:
        z: latents (N, D).
        log_det: log |det dz/dy|, (N,).

    Returns:
        A scalar.

    References:
        Rudolph, Wandt, Rosenhahn, arXiv 2008.12577, section 3.

    Example:
        >>> import torch
        >>> nll(torch.ones(5, 8), torch.zeros(5)).item()
        0.5
    """
    if z.ndim != 2 or log_det.shape != z.shape[:1]:  # (N, 1) would be averaged over N x N pairs
        shapes = f"{tuple(z.shape)} and {tuple(log_det.shape)}"
        raise ValueError(f"expected z (N, D) and log_det (N,), got {shapes}")
    return (0.5 * z.square().sum(1) - log_det).mean() / z.shape[1]
