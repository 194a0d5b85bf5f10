"""Checks of lab 2: blocks, and the whole flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import compare, compare_gradients, slopes
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_reference import Subnets, glow, one_sided, package_flow
from differnet_course.labs.verdicts import NotDone, Wrong

__all__ = ["block", "whole_flow"]


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
    mistakes = {
        "inverse_goes_forwards": module(z)[0],
        "inverse_undoes_steps": in_order,
    }
    what = "forward is right, but inverse(z) is"
    compare(what, back, y, mistakes)
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
            "both_halves_right": torch.cat([z2, z1], 1),
            "second_half_changed": torch.cat([z1, y2], 1),
            "first_half_changed": torch.cat([y1, from_old], 1),
        }
        compare("z is", got, z, mistakes)
        mistakes = {
            "log_det_second": one,
            "log_det_first": two,
            "multiply_log_dets": one * two,
            "log_det_sign": -log_det,
        }
        compare("The log-det is", got_log_det, log_det, mistakes)
        in_order = _undone(first, z2, z1)  # z1 first, with the help of z2
        in_order = torch.cat([in_order, _undone(second, in_order, z2)], 1)
        _gradients(module, (got, got_log_det), reference, (z, log_det))
        _way_back(module, y, z.detach(), log_det, in_order)


def _gradients(module: nn.Module, got: Sequence[Any], right: nn.Module, wanted: Any) -> None:
    """Backward through forward, to every parameter."""
    compare_gradients(slopes(got, _trainable(module)), slopes(wanted, _trainable(right)))


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
            "first_block_run": _run(parts[:1], orders[:1], y),
        }
        compare("z is", got, z, mistakes)
        last = _run(parts[:-1], orders[:-1], y)[:, orders[-1]]
        mistakes = {
            "log_det_last": parts[-1]([last])[1],
            "log_det_first": parts[0]([y[:, orders[0]]])[1],
            "summed_over_batch": log_det.sum(),
            "log_det_sign": -log_det,
        }
        compare("The log-det is", got_log_det, log_det, mistakes)
        wanted = sum(p.numel() for part in parts for p in part.parameters())
        size = sum(p.numel() for p in _trainable(module))
        if size != wanted:
            raise Wrong("z_right_but", size=size, wanted=wanted)
        _gradients(module, (got, got_log_det), reference, (z, log_det))
        in_order = z
        for part, order in zip(parts, orders, strict=True):  # undone from the wrong end
            ((in_order,), _) = part([in_order], rev=True)
            in_order = in_order[:, order.argsort()]
        _way_back(module, y, z.detach(), log_det, in_order)


def _run(parts: Sequence[nn.Module], orders: Sequence[Tensor], y: Tensor) -> Tensor:
    for part, order in zip(parts, orders, strict=True):
        ((y,), _) = part([y[:, order]])
    return y
