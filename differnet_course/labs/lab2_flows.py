"""Checks of lab 2: blocks and the whole flow, beside FrEIA's with the same networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import FrEIA.modules as Fm
import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import compare, compare_gradients, log_det_mistakes, slopes
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import NotDone, Wrong
from differnet_lite.flow import CouplingFlow, build_flow, soft_clamp

__all__ = ["Subnets", "block", "glow", "one_sided", "package_flow", "whole_flow"]

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


def _module(answer: Answer, *arguments: Any) -> nn.Module:
    """An object of the student's class, with parameters that an optimiser finds."""
    module = answer(*arguments)
    if not isinstance(module, nn.Module):
        raise Wrong("expected_nn_module", module=type(module).__name__)
    if not list(module.parameters()):
        raise Wrong("optimiser_would_find")
    return module


def _trainable(module: nn.Module) -> list[Tensor]:
    return [p for p in module.parameters() if p.requires_grad]


def _way_back(module: nn.Module, y: Tensor, z: Tensor, log_det: Tensor, in_order: Tensor) -> None:
    """The inverse of the reference's z; `in_order`: what undoing in the order of making gives."""
    inverse = getattr(module, "inverse", None)
    if inverse is None:
        raise NotDone("forward_right")
    back, log_det_back = Answer(inverse, "inverse").pair(z)
    mistakes = {"inverse_goes_forwards": module(z)[0], "inverse_undoes_steps": in_order}
    compare("forward is right, but inverse(z) is", back, y, mistakes)
    mistakes = {"forward_right_log": log_det}
    compare("The log-det of inverse is", log_det_back, -log_det, mistakes)


def _undone(net: nn.Module, keep: Tensor, changed: Tensor) -> Tensor:
    """The half that a coupling has changed, from its values at 0 and at 1: it is affine."""
    at_0 = one_sided(net, keep, torch.zeros_like(changed))[0]
    at_1 = one_sided(net, keep, torch.ones_like(changed))[0]
    return (changed - at_0) / (at_1 - at_0)


def block(answer: Answer, draw: Draw) -> None:
    """2.5: both halves in turn."""
    for d in (5, 4):
        nets = Subnets(draw)
        n = d // 2
        reference = glow(d, nets)
        y = draw.normal(draw.integer(6, 8), d)
        (z,), log_det = reference([y])
        module = _module(answer, d, nets)
        got, got_log_det = Answer(module, "block").pair(y)
        y1, y2 = y[:, :n], y[:, n:]
        first = nets(d - n, 2 * n)
        second = nets(n, 2 * (d - n))
        z1, one = one_sided(first, y2, y1)
        z2, two = one_sided(second, z1, y2)
        from_old, _ = one_sided(second, y1, y2)
        from_new, _ = one_sided(first, from_old, y1)
        mistakes = {
            "second_coupling_looks": torch.cat([z1, from_old], 1),
            "change_y_2": torch.cat([from_new, from_old], 1),
            "second_half_changed": torch.cat([z1, y2], 1),
            "first_half_changed": torch.cat([y1, from_old], 1),
        }
        compare("z is", got, z, mistakes)
        mistakes = log_det_mistakes(log_det) | {"log_det_second": one, "log_det_first": two}
        compare("The log-det is", got_log_det, log_det, mistakes)
        in_order = _undone(first, z2, z1)  # z1 first, with the help of z2
        in_order = torch.cat([in_order, _undone(second, in_order, z2)], 1)
        reached = slopes((got, got_log_det), _trainable(module))
        compare_gradients(reached, slopes((z, log_det), _trainable(reference)))
        _way_back(module, y, z.detach(), log_det, in_order)


def whole_flow(answer: Answer, draw: Draw) -> None:
    """2.8: permutations and blocks, as the package has them."""
    for d, n_blocks in ((5, 3), (6, 4)):
        nets = Subnets(draw)
        reference = package_flow(d, n_blocks, nets)
        y = draw.normal(7, d)
        z, log_det = reference(y)
        module = _module(answer, d, n_blocks, nets)
        got, got_log_det = Answer(module, "flow").pair(y)
        parts = [glow(d, nets) for _ in range(n_blocks)]
        orders = [torch.as_tensor(np.random.RandomState(k).permutation(d)) for k in range(n_blocks)]
        same = torch.arange(d)
        inverted = [order.argsort() for order in orders]
        mistakes = {
            "no_permutations": _run(parts, [same] * n_blocks, y),
            "every_block_same": _run(parts, orders[:1] * n_blocks, y),
            "permutations_stand_behind": _run(parts, [same, *orders[:-1]], y)[:, orders[-1]],
            "permutations_inverse_ones": _run(parts, inverted, y),
        }
        compare("z is", got, z, mistakes)
        last = _run(parts[:-1], orders[:-1], y)[:, orders[-1]]
        mistakes = log_det_mistakes(log_det) | {"log_det_last": parts[-1]([last])[1]}
        compare("The log-det is", got_log_det, log_det, mistakes)
        wanted = sum(p.numel() for part in parts for p in part.parameters())
        size = sum(p.numel() for p in _trainable(module))
        if size != wanted:
            raise Wrong("z_right_but", size=size, wanted=wanted)
        reached = slopes((got, got_log_det), _trainable(module))
        compare_gradients(reached, slopes((z, log_det), _trainable(reference)))
        in_order = z
        for part, order in zip(parts, orders, strict=True):  # undone from the wrong end
            ((in_order,), _) = part([in_order], rev=True)
            in_order = in_order[:, order.argsort()]
        _way_back(module, y, z.detach(), log_det, in_order)


def _run(parts: Sequence[nn.Module], orders: Sequence[Tensor], y: Tensor) -> Tensor:
    for part, order in zip(parts, orders, strict=True):
        ((y,), _) = part([y[:, order]])
    return y
