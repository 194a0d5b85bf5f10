"""Checks of lab 2: blocks, and the whole flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.comparing import call, compare, pair, students_code
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_reference import Subnets, glow, one_sided, package_flow
from differnet_course.labs.verdicts import NotDone, Wrong

__all__ = ["block", "whole_flow"]


def _module(answer: Any, *arguments: Any, name: str) -> nn.Module:
    """An object of the student's class, with parameters that an optimiser finds."""
    made = call(answer, *arguments, name=name)
    if not isinstance(made, nn.Module):
        raise Wrong(f"Expected an `nn.Module`, got {type(made).__name__}.")
    if not list(made.parameters()):
        raise Wrong(
            "An optimiser would find no parameters in it. A network in a plain list is not seen: "
            "make it an attribute of its own, or put the list into an `nn.ModuleList`."
        )
    return made


def _way_back(
    flow: nn.Module, y: Tensor, z: Tensor, log_det: Tensor, before: Tensor | None
) -> None:
    """The inverse of the reference's z; `before`: what an inverse in the wrong order gives."""
    with students_code("inverse(z)"):
        inverse = getattr(flow, "inverse", None)
    if inverse is None:
        raise NotDone("forward is right. The method `inverse(z)` is still to be written.")
    back, log_det_back = pair(inverse, z, name="inverse")
    mistakes = [(flow(z)[0], "Your inverse goes forwards once more.")]
    if before is not None:
        mistakes.append(
            (
                before,
                "Your inverse undoes the steps in the order in which they were made. What "
                "came last, must go first.",
            )
        )
    compare("forward is right, but inverse(z)", back, y, mistakes, hint="It should give y back.")
    compare(
        "The log-det of inverse",
        log_det_back,
        -log_det,
        [(log_det, "forward is right; the log-det of the way back has the other sign.")],
    )


def block(answer: Any, draw: Draw) -> None:
    """2.5: both halves in turn."""
    for d in (5, 4):
        nets, n = Subnets(draw), d // 2
        reference, y = glow(d, nets), draw.normal(draw.integer(6, 8), d)
        with torch.no_grad():
            (z,), log_det = reference([y])
        made = _module(answer, d, nets, name="Block")
        got, got_log_det = pair(made, y, name="block")
        y1, y2 = y[:, :n], y[:, n:]
        first, second = nets(d - n, 2 * n), nets(n, 2 * (d - n))
        z1, one = one_sided(first, y2, y1)
        z2, two = one_sided(second, z1, y2)
        from_old, _ = one_sided(second, y1, y2)
        other_2, _ = one_sided(second, y1, y2)
        wide, rest = y[:, : d - n], y[:, d - n :]
        wide_1, _ = one_sided(nets(n, 2 * (d - n)), rest, wide)
        wide_2, _ = one_sided(nets(d - n, 2 * n), wide_1, rest)
        other_1, _ = one_sided(first, other_2, y1)
        compare(
            "z",
            got,
            z,
            [
                (
                    torch.cat([z1, from_old], 1),
                    "Your second coupling looks at the old y1. On the way back only the new z1 is "
                    "there: let it look at that.",
                ),
                (
                    torch.cat([other_1, other_2], 1),
                    "You change y2 first, then y1. Here y1 changes first, with the help of y2.",
                ),
                (
                    torch.cat([z2, z1], 1),
                    "Both halves are right, but put together in the wrong order.",
                ),
                (
                    torch.cat([wide_1, wide_2], 1),
                    "Your first half is the wider one for odd D: it has D // 2 columns.",
                ),
                (torch.cat([z1, y2], 1), "The second half is not changed yet."),
                (torch.cat([y1, from_old], 1), "The first half is not changed."),
            ],
            hint="First z1 = y1 coupled with the help of y2, then z2 = y2 with the help of z1.",
        )
        compare(
            "The log-det",
            got_log_det,
            log_det,
            [
                (one, "The log-det of the second coupling is missing."),
                (two, "The log-det of the first coupling is missing."),
                (one * two, "You multiply the log-dets. Determinants multiply, so ..."),
                (-log_det, "Your log-det has the sign of the inverse."),
            ],
        )
        # undone in the wrong order: z1 first, with the help of z2
        wrong_1 = _undone(first, z2, z1)
        _way_back(made, y, z, log_det, torch.cat([wrong_1, _undone(second, wrong_1, z2)], 1))


def _undone(net: nn.Module, keep: Tensor, changed: Tensor) -> Tensor:
    """The half that a coupling has changed, from its values at 0 and at 1: it is affine."""
    at_0 = one_sided(net, keep, torch.zeros_like(changed))[0]
    at_1 = one_sided(net, keep, torch.ones_like(changed))[0]
    return (changed - at_0) / (at_1 - at_0)


def whole_flow(answer: Any, draw: Draw) -> None:
    """2.8: permutations and blocks, as the package has them."""
    for d, n_blocks in ((5, 3), (6, 4)):
        nets = Subnets(draw)
        reference, y = package_flow(d, n_blocks, nets), draw.normal(7, d)
        with torch.no_grad():
            z, log_det = reference(y)
        made = _module(answer, d, n_blocks, nets, name="Flow")
        got, got_log_det = pair(made, y, name="flow")
        parts = [glow(d, nets) for _ in range(n_blocks)]
        orders = [torch.as_tensor(np.random.RandomState(k).permutation(d)) for k in range(n_blocks)]
        none = [torch.arange(d)] * n_blocks
        inverted = [order.argsort() for order in orders]
        compare(
            "z",
            got,
            z,
            [
                (_run(parts, none, y)[0], "There are no permutations: the halves never mix."),
                (
                    _run(parts, orders[:1] * n_blocks, y)[0],
                    "Every block has the same permutation. The k-th has that of seed k.",
                ),
                (
                    _run(parts, [none[0], *orders[:-1]], y)[0][:, orders[-1]],
                    "Your permutations stand behind the blocks, and should before them.",
                ),
                (_run(parts, inverted, y)[0], "Your permutations are the inverse ones."),
                (_run(parts[:1], orders[:1], y)[0], "Only the first block is run."),
            ],
            hint="For each k: the permutation of seed k, then a block.",
        )
        each = _run(parts, orders, y)[1]
        compare(
            "The log-det",
            got_log_det,
            log_det,
            [
                (each[-1], "Your log-det is that of the last block. Add up all of them."),
                (each[0], "Your log-det is that of the first block. Add up all of them."),
                (log_det.sum(), "You summed over the batch too."),
                (-log_det, "Your log-det has the sign of the inverse."),
            ],
        )
        wanted = sum(p.numel() for part in parts for p in part.parameters())
        found = sum(p.numel() for p in made.parameters() if p.requires_grad)
        if found != wanted:
            raise Wrong(
                f"z is right, but an optimiser would find {found} numbers to train, not {wanted}. "
                "Does each block have networks of its own, all in an `nn.ModuleList`?"
            )
        forwards = z
        for part, order in zip(parts, orders, strict=True):  # undone from the wrong end
            with torch.no_grad():
                ((forwards,), _) = part([forwards], rev=True)
            forwards = forwards[:, order.argsort()]
        _way_back(made, y, z, log_det, forwards)


def _run(
    parts: Sequence[nn.Module], orders: Sequence[Tensor], y: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Latents, and the log-det of each block."""
    each = []
    with torch.no_grad():
        for part, order in zip(parts, orders, strict=True):
            (y,), log_det = part([y[:, order]])
            each.append(log_det)
    return y, each
