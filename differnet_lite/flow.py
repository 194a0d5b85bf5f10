r"""The normalizing flow f: y -> z, a Real-NVP of FrEIA's coupling blocks.

Sign convention, here and everywhere in this package:

.. math:: \log p_Y(y) = \log p_Z(f(y)) + \log\left|\det \partial f / \partial y\right|

and `flow(y)` returns the pair z, log_det with log_det = log |det dz/dy|, one number for each row.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import FrEIA.framework as Ff
import FrEIA.modules as Fm
import numpy as np
import torch
from torch import Tensor, nn

from differnet_lite.checks import real, whole

__all__ = ["CouplingFlow", "FastPermutation", "PreciseLinear", "Subnet", "build_flow", "soft_clamp"]

_GENERATORS = threading.Lock()  # one flow at a time is built with the global generators


def soft_clamp(h: Tensor, clamp: float = 3.0, *, factor: float = 2 / math.pi) -> Tensor:
    r"""Bound a log-scale smoothly: :math:`\sigma_c(h) = \frac{2 c}{\pi} \arctan(h / c)`.

    Near 0 it is 2/pi times the identity; at infinity it is +-c, so that one coupling stretches
    by exp(c) at most.

    Args:
        h: any shape.
        clamp: the bound c; 3 in the paper, which calls it alpha.
        factor: 2/pi; the authors' program writes 0.636, and is bounded by 0.999 c.

    References:
        Rudolph, Wandt, Rosenhahn, arXiv 2008.12577, section 3.

    Example:
        >>> soft_clamp(torch.tensor([0.0, 3.0, 1e9])).tolist()
        [0.0, 1.5, 3.0]
    """
    return clamp * _unit_clamp(h, clamp, factor)


def _unit_clamp(h: Tensor, clamp: float, factor: float) -> Tensor:
    """The log-scale over its bound, by which FrEIA multiplies; its own "ATAN" takes atan(h)."""
    return factor * torch.atan(h / clamp)


class Subnet(nn.Sequential):
    """One subnet of a coupling: three hidden ReLU layers; s and t side by side (N, n_out).

    Args:
        n_in, n_out, hidden: widths.
        zero: start with s = t = 0.
    """

    def __init__(self, n_in: int, n_out: int, *, hidden: int, zero: bool = False) -> None:
        last = nn.Linear(hidden, n_out)
        if zero:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        first, second, third = (nn.Linear(n, hidden) for n in (n_in, hidden, hidden))
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), last)


class PreciseLinear(Fm.FixedLinearTransform):
    """FrEIA's fixed linear map, whose product and inverse are taken in float64 and then rounded.

    A whitening stretches some directions hundreds of times more than others: in float32 the way
    there and back loses three more digits than a row has. Apple's MPS has float32 alone.
    """

    def __init__(self, dims_in: Sequence[tuple[int, ...]], *, M: Tensor) -> None:
        super().__init__(dims_in, M=M)
        del self.M_inv  # its float32 inverse is not used

    def forward(self, x: tuple[Tensor], rev: bool = False, jac: bool = True) -> tuple:
        """The mapped rows (N, D) and log |det| (N,), of rows (N, D)."""
        exact = x[0].dtype if x[0].device.type == "mps" else torch.float64
        matrix = self.M.to(exact)
        rows = x[0].to(exact)
        out = torch.linalg.solve(matrix, rows, left=False) if rev else rows @ matrix
        log_det = self.logDetM.expand(rows.shape[0])
        return (out.to(x[0].dtype),), -log_det if rev else log_det


class FastPermutation(Fm.PermuteRandom):
    """FrEIA's random permutation of the columns by `index_select`: a sixth of the time."""

    def forward(self, x: tuple[Tensor], rev: bool = False, jac: bool = True) -> tuple:
        """The rows (N, D) with their columns in another order, and log |det| = 0."""
        return (x[0].index_select(1, self.perm_inv if rev else self.perm),), 0.0


class CouplingFlow(nn.Module):
    """A chain of invertible FrEIA modules with one contract: outputs and log-det, both ways.

    Args:
        chain: the invertible modules, ending in the latent space.
        mean: (D,), subtracted first; as the offset of a linear layer it would be lost in rounding.

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

    def trainable(self) -> list[nn.Parameter]:
        """What an optimiser should see; FrEIA keeps permutations as integer parameters, too."""
        return [p for p in self.parameters() if p.requires_grad]


def build_flow(
    n_features: int,
    *,
    n_blocks: int = 8,
    hidden: int = 128,
    clamp: float = 3.0,
    clamp_factor: float = 2 / math.pi,
    whitening: tuple[Tensor, Tensor] | None = None,
    start_as_identity: bool = False,
    seed: int | None = None,
) -> CouplingFlow:
    """The flow of DifferNet: `n_blocks` times a fixed permutation and a two-sided affine coupling.

    Args:
        n_features: D, at least 2.
        n_blocks: number of coupling blocks; 8 in the paper.
        hidden: width of the subnets; 2048 in the paper (172 million parameters), 128: 2.9 million.
        clamp: bound of the soft clamp; 3 in the paper.
        clamp_factor: 2/pi, or the 0.636 of the authors' program, see `soft_clamp`.
        whitening: mean (D,) and matrix (D, D) of a linear first step (y - mean) @ matrix, see
            `sampling.whitening_matrix`; None: the features as they are. Its log-det counts.
        start_as_identity: every coupling starts with s = t = 0.
        seed: of the initial weights; None takes them from torch's global generator.
    """
    whole("n_features", n_features, least=2)
    whole("n_blocks", n_blocks, least=1)
    whole("hidden", hidden, least=1)
    real("clamp", clamp, above=0)
    subnet = functools.partial(Subnet, hidden=hidden, zero=start_as_identity)
    activation = functools.partial(_unit_clamp, clamp=clamp, factor=clamp_factor)
    with _contained_randomness(seed):
        chain = Ff.SequenceINN(n_features)
        mean = torch.zeros(n_features)
        if whitening is not None:
            # contiguous, as a loaded matrix is: products of another layout round otherwise
            mean, matrix = (x.to(torch.get_default_dtype()).contiguous() for x in whitening)
            chain.append(PreciseLinear, M=matrix.T)  # FrEIA keeps it transposed: `matrix` again
        for k in range(n_blocks):
            chain.append(FastPermutation, seed=k)
            chain.append(
                Fm.GLOWCouplingBlock,
                subnet_constructor=subnet,
                clamp=clamp,
                clamp_activation=activation,
            )
    return CouplingFlow(chain, mean)


@contextmanager
def _contained_randomness(seed: int | None) -> Iterator[None]:
    """Leave NumPy's and torch's global generators as they were; PermuteRandom reseeds NumPy's."""
    with _GENERATORS, torch.random.fork_rng(devices=[], enabled=seed is not None):
        numpy_state = np.random.get_state()
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed a GPU's too
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
