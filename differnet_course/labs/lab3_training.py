"""The check of lab 3 that watches one epoch of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, count, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong

__all__ = ["epoch"]

SAME = 1e-4  # the session's dtype is float32, mostly


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


class _Recorder(torch.optim.SGD):
    """Moves nothing, and remembers the gradients of every step."""

    def __init__(self, probe: _Probe) -> None:
        super().__init__(probe.parameters(), lr=0.0)
        self.probe = probe
        self.gradients: list[list[float]] = []

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        gradients = [self.probe.s.grad, self.probe.t.grad]
        if any(g is None for g in gradients):
            raise Wrong("`optimiser.step()` comes before any gradient is there: `loss.backward()`.")
        self.gradients.append([float(g) for g in gradients if g is not None])
        return loss


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
        recorder = _Recorder(probe)
        generator = torch.Generator().manual_seed(seed)
        loss = answer(probe, recorder, y, noise, batch, generator)
        if not probe.batches:
            raise Wrong("You never call `flow`.")
        if not recorder.gradients:
            raise Wrong("You never call `optimiser.step()`.")
        if isinstance(loss, Tensor) and loss.requires_grad:
            raise Wrong("The loss that you return still carries its graph: add up `loss.item()`.")
        runs.append((probe.batches, recorder.gradients, as_numbers(loss, "The loss is")))
    orders = [_order(y, batches, batch) for batches, _, _ in runs[:2]]
    _noise(y, [torch.cat(batches) for batches, _, _ in runs[:2]], orders, noise)
    if not torch.equal(torch.cat(runs[0][0]), torch.cat(runs[2][0])):
        raise Wrong(
            "The same `generator` gives another epoch: the order and the noise must both be drawn "
            "from it, or nobody can repeat your run."
        )
    for batches, gradients, loss in runs:
        _steps(batches, gradients, loss, s, t)


def _order(y: Tensor, batches: list[Tensor], batch: int) -> Tensor:
    """Which rows were seen, in order."""
    if max(map(len, batches)) > batch:
        raise Wrong(f"A step sees {max(map(len, batches))} rows, the batch size is {batch}.")
    seen = torch.cdist(torch.cat(batches), y).argmin(1)
    if missing := len(y) - len(seen.unique()):
        text = f"{missing} of {len(y)} rows are never seen in an epoch"
        if len(seen) == len(seen.unique()):
            raise Wrong(f"{text}: the last batch is smaller, but it counts.")
        raise Wrong(f"{text}, others twice: draw an order of all rows, not rows at random.")
    if len(seen) > len(y):
        raise Wrong("Some rows are seen more than once in an epoch.")
    if len(batches) != -(-len(y) // batch):
        raise Wrong(
            f"{count(len(batches), 'step')} for {len(y)} rows in batches of {batch}: all batches "
            "but the last are full. (`split(batch)` says how many rows a batch has, `chunk` how "
            "many batches.)"
        )
    if torch.equal(seen, torch.arange(len(y))):
        raise Wrong(
            "The rows come in the order of the file in every epoch. Shuffle them: "
            "`torch.randperm(n, generator=generator)`."
        )
    return seen


def _noise(y: Tensor, given: list[Tensor], orders: list[Tensor], noise: float) -> None:
    """Is it there, as large as asked for, and fresh?"""
    left = [rows - y[k] for rows, k in zip(given, orders, strict=True)]
    size = float(left[0].std())
    if size < noise / 1e4:
        raise Wrong(
            "The flow sees the rows without noise. The density it models is that of y + εn."
        )
    if same(left[0][0], left[0][1], 1e-3):
        raise Wrong(
            "Every row of a batch gets the same noise. Draw noise of the shape of the batch."
        )
    if same(left[0][:, 0], left[0][:, 1], 1e-3):
        raise Wrong(
            "All features of a row get the same noise. Draw noise of the shape of the batch."
        )
    if abs(float(left[0].mean())) > noise / 3:
        raise Wrong(
            "The noise has a mean that is not 0: `torch.rand` is uniform in [0, 1); take `randn`."
        )
    if not 0.75 < size / noise < 1.3:
        reason = " You square it." if 0.75 < size / noise**2 < 1.3 else ""
        raise Wrong(f"The noise has deviation {size:.3g}, asked for was {noise:.3g}.{reason}")
    back = [noises[k.argsort()] for noises, k in zip(left, orders, strict=True)]
    if same(back[0], back[1], 1e-3):
        raise Wrong(
            "Every epoch adds the same noise. Draw it anew for each batch, from `generator`."
        )


def _steps(
    batches: list[Tensor], gradients: list[list[float]], loss: Tensor, s: float, t: float
) -> None:
    """Are the gradients those of the loss, batch by batch?"""
    if len(gradients) != len(batches):
        steps = f"{count(len(gradients), 'step')} for {len(batches)} batches"
        raise Wrong(f"{steps}: take one step for each batch.")
    e = float(np.exp(s))
    latents = [y * e + t for y in batches]
    by_s = [float((z * y * e).mean()) - 1 for y, z in zip(batches, latents, strict=True)]
    by_t = [float(z.mean()) for z in latents]
    wanted = torch.tensor([by_s, by_t]).T
    got = torch.tensor(gradients)
    mistakes = {
        "Gradients pile up from batch to batch: `backward` adds to what is there. Where do you set "
        "them to zero?": wanted.cumsum(0),
        "The log-det is missing in your loss: nothing keeps the flow from shrinking.": wanted
        + torch.tensor([1.0, 0.0]),
        "The log-det has the wrong sign in your loss.": wanted + torch.tensor([2.0, 0.0]),
        "All gradients are 0: you set them to zero after `backward` and before the step.": (
            torch.zeros_like(wanted)
        ),
        "The gradients are not those of `nll(*flow(noisy rows))`, a mean over the batch.": got,
    }
    _first(got, wanted, mistakes)
    sizes = torch.tensor([float(len(y)) for y in batches])
    losses = torch.stack([z.square().mean() / 2 - s for z in latents])
    mistakes = {
        "You return the plain mean over batches; the last one has fewer rows. Weigh each batch by "
        "its rows.": losses.mean(),
        "You divide a sum over batches by the number of rows: weigh each batch's mean by its rows "
        "first.": losses.sum() / sizes.sum(),
        "You return the loss of the last batch. What is the mean over all rows?": losses[-1],
        "You return the sum over batches. What is the mean over all rows?": losses.sum(),
        "You return the sum over rows. Divide by their number.": (losses * sizes).sum(),
        "The loss that you return is not the mean over all rows.": loss,
    }
    _first(loss, (losses * sizes).sum() / sizes.sum(), mistakes)


def _first(got: Tensor, wanted: Tensor, mistakes: dict[str, Tensor]) -> None:
    if not same(got, wanted, SAME):
        raise Wrong(next(text for text, value in mistakes.items() if same(got, value, SAME)))
