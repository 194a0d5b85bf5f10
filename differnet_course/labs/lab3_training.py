"""The check of lab 3 that watches one epoch of training."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, count, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong

__all__ = ["epoch"]


class _Probe(nn.Module):
    """z = y e^s + t with one s and one t for all dimensions; it remembers what it is given."""

    def __init__(self, s: float, t: float) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s))
        self.t = nn.Parameter(torch.tensor(t))
        self.batches: list[Tensor] = []

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(y.detach().clone())
        return y * self.s.exp() + self.t, self.s * y.shape[1] * torch.ones(len(y))


def _remember(probe: _Probe, gradients: list[Tensor], *_: Any) -> None:
    if probe.s.grad is None or probe.t.grad is None:
        raise Wrong("optimiser_step_comes")
    gradients.append(torch.stack([probe.s.grad, probe.t.grad]))


def epoch(answer: Answer, draw: Draw) -> None:
    """Whether a function runs one epoch of maximum likelihood on noisy rows."""
    d = draw.integer(5, 8)
    batch = draw.integer(6, 9)
    y = draw.normal(3 * batch + draw.integer(2, 4), d)
    s = draw.number(-0.5, 0.5)
    t = draw.number(-0.5, 0.5)
    noise = draw.number(0.02, 0.04)
    runs = []
    for seed in (1, 2, 1):
        probe = _Probe(s, t)
        gradients: list[Tensor] = []
        recorder = torch.optim.SGD(probe.parameters(), lr=0.0)  # moves nothing
        recorder.register_step_post_hook(partial(_remember, probe, gradients))
        generator = torch.Generator().manual_seed(seed)
        loss = answer(probe, recorder, y, noise, batch, generator)
        if not probe.batches:
            raise Wrong("never_call_flow")
        if not gradients:
            raise Wrong("never_call_optimiser")
        if isinstance(loss, Tensor) and loss.requires_grad:
            raise Wrong("loss_return_still")
        runs.append((probe.batches, torch.stack(gradients), as_numbers(loss, "The loss is")))
    orders = [_order(y, batches, batch) for batches, _, _ in runs[:2]]
    _noise(y, [torch.cat(batches) for batches, _, _ in runs[:2]], orders, noise)
    if not torch.equal(torch.cat(runs[0][0]), torch.cat(runs[2][0])):
        raise Wrong("same_generator_gives")
    for batches, steps, loss in runs:
        _steps(batches, steps, loss, s, t)


def _order(y: Tensor, batches: list[Tensor], batch: int) -> Tensor:
    """Which rows were seen, in order."""
    if max(map(len, batches)) > batch:
        raise Wrong("step_sees_rows", max=max(map(len, batches)), batch=batch)
    seen = torch.cdist(torch.cat(batches), y).argmin(1)
    if missing := len(y) - len(seen.unique()):
        text = f"{missing} of {len(y)} rows are never seen in an epoch"
        if len(seen) == len(seen.unique()):
            raise Wrong("the_last_batch", text=text)
        raise Wrong("others_twice", text=text)
    if len(seen) > len(y):
        raise Wrong("some_rows_seen")
    if len(batches) != -(-len(y) // batch):
        raise Wrong("rows_batches", count=count(len(batches), "step"), n_y=len(y), batch=batch)
    if torch.equal(seen, torch.arange(len(y))):
        raise Wrong("rows_come_order")
    return seen


def _noise(y: Tensor, given: list[Tensor], orders: list[Tensor], noise: float) -> None:
    """Is it there, as large as asked for, and fresh?"""
    left = [rows - y[k] for rows, k in zip(given, orders, strict=True)]
    size = float(left[0].std())
    if size < noise / 1e4:
        raise Wrong("flow_sees_rows")
    if same(left[0][0], left[0][1], 1e-3):
        raise Wrong("every_row_batch")
    if same(left[0][:, 0], left[0][:, 1], 1e-3):
        raise Wrong("all_features_row")
    if abs(float(left[0].mean())) > noise / 3:
        raise Wrong("noise_mean_0")
    if not 0.75 < size / noise < 1.3:
        reason = " You square it." if 0.75 < size / noise**2 < 1.3 else ""
        raise Wrong("noise_deviation_asked", size=size, noise=noise, reason=reason)
    if float(left[0].abs().max()) < 1.8 * noise:
        raise Wrong("noise_not_normal")
    back = [noises[k.argsort()] for noises, k in zip(left, orders, strict=True)]
    if same(back[0], back[1], 1e-3):
        raise Wrong("every_epoch_adds")


def _steps(batches: list[Tensor], got: Tensor, loss: Tensor, s: float, t: float) -> None:
    """Are the gradients those of the loss, batch by batch?"""
    if len(got) != len(batches):
        steps = f"{count(len(got), 'step')} for {len(batches)} batches"
        raise Wrong("take_one_step", steps=steps)
    e = float(np.exp(s))
    latents = [y * e + t for y in batches]
    by_s = [float((z * y * e).mean()) - 1 for y, z in zip(batches, latents, strict=True)]
    by_t = [float(z.mean()) for z in latents]
    wanted = torch.tensor([by_s, by_t]).T
    mistakes = {
        "gradients_pile_up": wanted.cumsum(0),
        "log_det_missing": wanted + torch.tensor([1.0, 0.0]),
        "log_det_wrong": wanted + torch.tensor([2.0, 0.0]),
        "all_gradients_0": torch.zeros_like(wanted),
    }
    compare("The gradients are", got, wanted, mistakes)
    sizes = torch.tensor([float(len(y)) for y in batches])
    losses = torch.stack([z.square().mean() / 2 - s for z in latents])
    mistakes = {
        "return_plain_mean": losses.mean(),
        "divide_sum_over": losses.sum() / sizes.sum(),
        "return_loss_last": losses[-1],
        "return_sum_over": losses.sum(),
        "return_sum_over_rows": (losses * sizes).sum(),
    }
    compare("The loss that you return is", loss, (losses * sizes).sum() / sizes.sum(), mistakes)
