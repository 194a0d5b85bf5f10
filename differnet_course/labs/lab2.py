"""Checks of lab 2: a coupling flow from scratch. The whole flows are in `lab2_flows`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from differnet_course.labs import lab2_flows
from differnet_course.labs.comparing import call, compare, pair
from differnet_course.labs.draws import Draw
from differnet_course.labs.lab2_reference import Subnets, one_sided
from differnet_course.labs.lab2_training import train_step
from differnet_course.labs.verdicts import Exercise, Wrong
from differnet_lite.flow import soft_clamp

__all__ = ["EXERCISES"]


def _undo_round(answer: Any, draw: Draw) -> None:
    for _ in range(3):
        key, left, right = (draw.integer(2**20, 2**31) for _ in range(3))

        def scramble(x: int, key: int = key) -> int:
            return (x * key ^ x >> 7) % 2**32

        kept, changed = right, left ^ scramble(right)
        got = tuple(pair(answer, kept, changed, scramble, name="undo_round"))
        if got == (left, right):
            continue
        known = {
            (changed, kept ^ scramble(changed)): "You encrypt once more. The way back begins with "
            "the half that the round only moved: which one is it?",
            (right, left): "Both halves are right, in the wrong order: the round swapped them.",
            (changed ^ scramble(changed), kept): "You scramble the half that was changed. The "
            "other one was kept, so that you can scramble it again.",
            (kept ^ scramble(kept), changed): "You change the half that was kept.",
            (kept, changed): "You give back what came in.",
            (changed - scramble(kept), kept): "Not minus: it is `^` that undoes `^`.",
            (changed, kept): "F(R) is still in it. Work it out once more, and take it off.",
            (kept ^ scramble(changed), changed): "You change the half that was kept.",
        }
        raise Wrong(known.get(got, "That is not what went into the round. Which half do you know?"))


def _soft_clamp(answer: Any, draw: Draw) -> None:
    c = float(draw.uniform(1.5, 4.0))
    h = draw.normal(9, deviation=2 * c)
    ray = torch.complex(torch.full_like(h, c), h)
    wanted = ray.angle() / (math.pi / 2) * c  # the ray's angle as a share of a right one
    compare(
        "The clamped h",
        call(answer, h, c, name="soft_clamp"),
        wanted,
        [
            (
                2 * c / math.pi * torch.atan(h),
                "You do not divide by the bound inside the arctangent (nor does FrEIA's own "
                "clamp): the slope at 0 then grows with the bound.",
            ),
            (
                c * torch.atan(h / c),
                "Your bound is pi / 2 times too large: an arctangent ends at pi / 2, not at 1.",
            ),
            (wanted / 2, "Your bound is half as large as asked for: the 2 is missing."),
            (6 / math.pi * torch.atan(h / 3), "You always bound by 3; the argument `clamp` says."),
            (0.636 * c * torch.atan(h / c), "0.636 is 2 / pi, rounded: write 2 / pi."),
            (wanted / c, "Your result stays within -1 and 1, whatever the bound. Scale it up."),
            (c * torch.tanh(h / c), "A tanh is bounded, too; the paper takes an arctangent."),
            (h.clamp(-c, c), "A hard clamp has no gradient outside: what is there, stays there."),
        ],
    )


def _couple(answer: Any, draw: Draw) -> None:
    n, d = draw.integer(5, 6), draw.integer(3, 4)
    net, keep, change = Subnets(draw)(d, 2 * d), draw.normal(n, d), draw.normal(n, d)
    wanted, log_det = one_sided(net, keep, change)
    with torch.no_grad():
        h, t = net(keep).chunk(2, 1)
        h_of_change, t_of_change = net(change).chunk(2, 1)
    e = (wanted - t) / change  # what the half is multiplied by
    z, got = pair(answer, keep, change, net, name="couple")
    compare(
        "The changed half",
        z,
        wanted,
        [
            ((change + t) * e, "You shift before you scale; scale first."),
            (change * h.exp() + t, "You forgot the soft clamp: s is the clamped h."),
            (change * e.log() + t, "You scale by s itself, and should by exp(s), never 0."),
            (change / e + t, "You scale by exp(-s): that belongs to the way back."),
            (change * e, "The shift t is missing."),
            (
                change * soft_clamp(t).exp() + h,
                "You took t for h: the first half of the net's output is h, the second t.",
            ),
            (
                change * soft_clamp(h_of_change).exp() + t_of_change,
                "You ask the net about the half that is changed; ask it about the kept one.",
            ),
            (change * e + soft_clamp(t), "You clamped the shift t, too: only h is clamped."),
            (torch.cat([keep, wanted], 1), "Return the changed half alone, not both."),
        ],
    )
    s = e.log()
    compare(
        "The log-det",
        got,
        log_det,
        [
            (s, "You give s itself. What is the log of the product of the exp(s) in a row?"),
            (-log_det, "Your log-det has the sign of the inverse."),
            (s.sum(), "You summed over the batch too. Each row has a log-det of its own."),
            (s.sum(0), "You summed over the batch, and not over the features."),
            (s.mean(1), "You took the mean over the features. A log-det is a sum."),
            (e.sum(1), "You summed exp(s). The log of a product is the sum of what?"),
            (e.prod(1), "You give the determinant; its logarithm is asked for."),
            (h.sum(1), "You summed h. The half is scaled by exp(s), with the clamped s."),
        ],
    )


def _uncouple(answer: Any, draw: Draw) -> None:
    n, d = draw.integer(5, 6), draw.integer(3, 4)
    net, keep, change = Subnets(draw)(d, 2 * d), draw.normal(n, d), draw.normal(n, d)
    z, log_det = one_sided(net, keep, change)
    with torch.no_grad():
        t = net(keep).chunk(2, 1)[1]
        h_of_changed, t_of_changed = net(z).chunk(2, 1)
    e = (z - t) / change
    y, got = pair(answer, keep, z, net, name="uncouple")
    compare(
        "The restored half",
        y,
        change,
        [
            (z / e - t, "You undo the scale before the shift. What came last, goes first."),
            (z * e + t, "You couple once more; undo it instead."),
            ((z - t) * e, "You scale by exp(s) again; the way back divides by it."),
            ((z - t) / e.log(), "You divide by s itself; the half was scaled by exp(s)."),
            ((z + t) / e, "You add the shift a second time."),
            (
                (z - t_of_changed) / soft_clamp(h_of_changed).exp(),
                "You ask the net about the changed half. On the way there it was asked about the "
                "kept one, which you have.",
            ),
        ],
    )
    compare(
        "The log-det",
        got,
        -log_det,
        [
            (log_det, "This is the log-det of the way there; there and back must add up to 0."),
            (-log_det.sum(), "You summed over the batch too. Each row has one of its own."),
            (-e.log(), "You give -s itself; sum it over the features."),
        ],
    )


def _unpermute(answer: Any, draw: Draw) -> None:
    """The columns back in their old order."""
    n, d = draw.integer(7, 8), 6
    order = draw.rng.permutation(d)
    while (order[order] == np.arange(d)).all() or (order == np.arange(d)).all():
        order = draw.rng.permutation(d)
    y = draw.normal(n, d)
    z = y[:, torch.as_tensor(order)]
    compare(
        "The columns",
        call(answer, z, torch.as_tensor(order), name="unpermute"),
        y,
        [
            (
                z[:, torch.as_tensor(order)],
                "You apply the same order once more. That undoes a swap, but no longer cycle: "
                "where has column 0 gone to?",
            ),
            (z, "Nothing has moved."),
            (z.flip(1), "You turn the columns round; the order says where each one came from."),
            (z[torch.as_tensor(order).argsort()], "You move the rows, which are the images."),
        ],
    )


EXERCISES = {
    "2.1": Exercise("round of a cipher", _undo_round),
    "2.2": Exercise("soft clamp", _soft_clamp),
    "2.3": Exercise("affine coupling", _couple),
    "2.4": Exercise("its way back", _uncouple),
    "2.5": Exercise("block", lab2_flows.block),
    "2.6": Exercise("permutation undone", _unpermute),
    "2.7": Exercise("training step", train_step),
    "2.8": Exercise("DifferNet's flow", lab2_flows.whole_flow),
}
