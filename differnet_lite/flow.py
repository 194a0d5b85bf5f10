r"""The normalizing flow f: y -> z, a Real-NVP of FrEIA's coupling blocks.

Sign convention, here and everywhere in this package:

.. math:: \log p_Y(y) = \log p_Z(f(y)) + \log\left|\det \partial f / \partial y\right|

and `flow(y)` returns the pair z, log_det with log_det = log |det dz/dy|, one number for each row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if (
    TYPE_CHECKING
):  # FrEIA imports scipy.stats, half a second: `build_flow` does it when the first flow is built
    import FrEIA.framework as Ff

__all__ = ["CouplingFlow", "build_flow", "soft_clamp", "whitening_matrix"]


def soft_clamp(h: Tensor, alpha: float = 3.0) -> Tensor:
    r"""Bound a log-scale smoothly: :math:`\sigma_\alpha(h) = \frac{2\alpha}{\pi} \arctan(h / \alpha)`.

    Near 0 it is 2/pi times the identity; at infinity it is +-alpha, so that one coupling stretches
    by exp(alpha) at most.

    Args:
        h: any shape.
        alpha: the bound; 3 in the paper.

    References:
        Rudolph, Wandt, Rosenhahn, arXiv 2008.12577, section 3.

    Example:
        >>> soft_clamp(torch.tensor([0.0, 3.0, 1e9])).tolist()
        [0.0, 1.5, 3.0]
    """
    return alpha * _unit_clamp(h, alpha)


def _unit_clamp(h: Tensor, alpha: float) -> Tensor:
    """FrEIA multiplies by alpha itself, and its own "ATAN" does not divide by it inside."""
    return (2 / math.pi) * torch.atan(h / alpha)


class Subnet(nn.Sequential):
    """One subnet of a coupling: three hidden ReLU layers; gives s and t together, at first 0 if `zero`.

    Attributes:
        products: dtype of its matrix products while it is being trained, float32 if None; see `CouplingFlow.mixed`.
    """

    products: torch.dtype | None = None

    def __init__(self, n_in: int, n_out: int, *, hidden: int, zero: bool = False) -> None:
        last = nn.Linear(hidden, n_out)
        if zero:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        super().__init__(
            nn.Linear(n_in, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.products is None or not self.training:
            return super().forward(x)
        with torch.autocast(x.device.type, dtype=self.products):
            return super().forward(x).float()


class CouplingFlow(nn.Module):
    """A chain of invertible FrEIA modules with one contract: outputs and log-det, both ways.

    Args:
        chain: the invertible modules, ending in the latent space.
        mean: (D,), taken from the features first. Inside a linear module it would cancel most digits of a float32.

    Example:
        >>> flow = build_flow(6, n_blocks=2, hidden=16, seed=0)
        >>> y = torch.randn(4, 6)
        >>> z, log_det = flow(y)
        >>> z.shape, log_det.shape
        (torch.Size([4, 6]), torch.Size([4]))
        >>> torch.allclose(flow.inverse(z)[0], y, atol=1e-5)
        True
    """

    mean: Tensor

    def __init__(self, chain: Ff.SequenceINN, mean: Tensor) -> None:
        super().__init__()
        self.chain = chain
        self.register_buffer("mean", mean)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latent z (N, D) and log |det dz/dy| (N,), of features y (N, D)."""
        return self.chain(y - self.mean)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Features y (N, D) and log |det dy/dz| (N,), of latents z (N, D)."""
        centred, log_det = self.chain(z, rev=True)
        return centred + self.mean, log_det

    def mixed(self, dtype: torch.dtype | None) -> CouplingFlow:
        """Multiply the subnets' matrices in `dtype` while training; None: in their own.

        Couplings, log-det and weights stay float32, and so does everything after `eval()`: the flow is as
        invertible and its density as exact as without. What is rounded is the gradient.
        """
        for module in self.modules():
            if isinstance(module, Subnet):
                module.products = dtype
        return self

    def trainable(self) -> list[nn.Parameter]:
        """What an optimiser should see; FrEIA keeps permutations as integer parameters beside it."""
        return [p for p in self.parameters() if p.requires_grad]


def build_flow(
    n_features: int,
    *,
    n_blocks: int = 8,
    hidden: int = 128,
    alpha: float = 3.0,
    whitening: tuple[Tensor, Tensor] | None = None,
    start_as_identity: bool = False,
    seed: int | None = None,
) -> CouplingFlow:
    """The flow of DifferNet: `n_blocks` times a fixed permutation and a two-sided affine coupling.

    Args:
        n_features: D, at least 2.
        n_blocks: number of coupling blocks; 8 in the paper.
        hidden: width of the subnets; 2048 in the paper (172 million parameters), 128 gives 2.9 million.
        alpha: bound of the soft clamp; 3 in the paper.
        whitening: mean (D,) and matrix (D, D) of a linear first step (y - mean) @ matrix, see
            `whitening_matrix`; None starts with the features as they are. Its log-det counts.
        start_as_identity: set the last layer of every subnet to 0, so that every coupling starts with s = t = 0.
        seed: of the initial weights; None takes them from torch's global generator.

    Raises:
        ValueError: fewer than 2 features, or no block.
    """
    import FrEIA.framework as Ff
    import FrEIA.modules as Fm

    from differnet_lite.invertible import FastPermutation, PreciseLinear

    if n_features < 2 or n_blocks < 1 or hidden < 1:
        raise ValueError(
            f"expected n_features >= 2, n_blocks >= 1, hidden >= 1, got {n_features}, {n_blocks}, {hidden}"
        )
    with _contained_randomness(seed):
        chain, mean = Ff.SequenceINN(n_features), torch.zeros(n_features)
        if whitening is not None:
            # contiguous: eigh gives columns, and a saved and loaded model would multiply in another order of rounding
            mean, matrix = (part.to(torch.get_default_dtype()).contiguous() for part in whitening)
            chain.append(PreciseLinear, M=matrix.T)
        for k in range(n_blocks):
            chain.append(FastPermutation, seed=k)
            chain.append(
                Fm.GLOWCouplingBlock,
                subnet_constructor=functools.partial(Subnet, hidden=hidden, zero=start_as_identity),
                clamp=alpha,
                clamp_activation=functools.partial(_unit_clamp, alpha=alpha),
            )
    return CouplingFlow(chain, mean)


@contextmanager
def _contained_randomness(seed: int | None) -> Iterator[None]:
    """Leave NumPy's and torch's global generators as they were; PermuteRandom reseeds NumPy's."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(
                seed
            )  # not torch.manual_seed, which reseeds a GPU's generator too
        try:
            yield
        finally:
            np.random.set_state(numpy_state)


def whitening_matrix(y: Tensor, *, eps: float, symmetric: bool = True) -> tuple[Tensor, Tensor]:
    r"""Mean and matrix that whiten features with a noise-inflated covariance.

    With :math:`\mathrm{cov}(y) = V \Lambda V^T` the matrix is :math:`V (\Lambda + \epsilon^2)^{-1/2} V^T`: the
    whitening of y + noise, where the noise is normal with deviation eps. Dead channels, whose own
    variance is 0, then come out small and not blown up.

    Any rotation behind it whitens as well, and the last factor is one. Without it the matrix depends on the basis
    that eigh gives of directions that vary alike (with fewer images than features: hundreds that do not vary),
    another one after a rounding error. The symmetric matrix is unique, and moves as little as the features do.

    Args:
        y: (N, D) features.
        eps: deviation of the noise, in units of the features; above 0.
        symmetric: False leaves the last factor out.

    Returns:
        The mean (D,) and the matrix (D, D), float64, for (y - mean) @ matrix.

    Raises:
        ValueError: eps is not above 0, or y is not a matrix with rows.
    """
    if eps <= 0:
        raise ValueError(
            f"eps: expected above 0 (dead channels have no variance of their own), got {eps}"
        )
    if y.ndim != 2 or len(y) < 1:
        raise ValueError(f"y: expected (N, D) with N >= 1, got {tuple(y.shape)}")
    y = y.double()
    mean = y.mean(0)
    centred = y - mean
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(y))
    matrix = vectors / (variances.clamp_min(0) + eps**2).sqrt()
    return mean, matrix @ vectors.T if symmetric else matrix
