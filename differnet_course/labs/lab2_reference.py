"""What lab 2 is compared with: FrEIA's coupling blocks around networks of known weights."""

from __future__ import annotations

import FrEIA.modules as Fm
import torch
from torch import Tensor, nn

from differnet_course.labs.draws import Draw
from differnet_lite.flow import CouplingFlow, build_flow, soft_clamp

__all__ = ["Subnets", "glow", "one_sided", "package_flow"]

CLAMP = 3.0


def _clamp(h: Tensor) -> Tensor:
    return soft_clamp(h, CLAMP) / CLAMP  # FrEIA multiplies by the bound itself


class Subnets:
    """Makes networks; two of the same widths have the same weights, in whatever order made."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.weights: dict[tuple[int, int], dict[str, Tensor]] = {}

    def __call__(self, n_in: int, n_out: int) -> nn.Module:
        """A network of one hidden layer, from rows (N, n_in) to (N, n_out)."""
        net = nn.Sequential(nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out))
        if (n_in, n_out) not in self.weights:
            self.weights[n_in, n_out] = {
                name: self.draw.normal(*value.shape, deviation=0.5)
                for name, value in net.state_dict().items()
            }
        net.load_state_dict(self.weights[n_in, n_out])
        return net


def one_sided(net: nn.Module, keep: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """The changed half and the log-det (N,) of an affine coupling, by FrEIA."""
    n_keep = keep.shape[1]
    layer = Fm.AffineCouplingOneSided(
        [(n_keep + change.shape[1],)],
        subnet_constructor=lambda *_: net,
        clamp=CLAMP,
        clamp_activation=_clamp,
        split_len=n_keep,
    )
    (z,), log_det = layer([torch.cat([keep, change], 1)])
    return z[:, n_keep:], log_det


def glow(n_features: int, make_subnet: Subnets) -> nn.Module:
    """FrEIA's block, which DifferNet uses."""
    return Fm.GLOWCouplingBlock(
        [(n_features,)], subnet_constructor=make_subnet, clamp=CLAMP, clamp_activation=_clamp
    )


def package_flow(n_features: int, n_blocks: int, make_subnet: Subnets) -> CouplingFlow:
    """The package's flow with these networks in it; its k-th permutation is that of seed k."""
    flow = build_flow(n_features, n_blocks=n_blocks, hidden=4, clamp=CLAMP, seed=0)
    for module in list(flow.chain.module_list)[1::2]:
        block = glow(n_features, make_subnet)
        module.subnet1, module.subnet2 = block.subnet1, block.subnet2
    return flow
