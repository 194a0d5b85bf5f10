"""The check of lab 3 that watches one epoch of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from differnet_course.labs.comparing import call, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong

__all__ = ["epoch"]


class _Probe(nn.Module):
    """z = y e^s + t with one s and one t for all dimensions; it remembers what it is given."""

    def __init__(self, s: float, t: float) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s))
        self.t = nn.Parameter(torch.tensor(t))
        self.given: list[Tensor] = []

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.given.append(y.detach().clone())
        return y * self.s.exp() + self.t, self.s * y.shape[1] * torch.ones(len(y))


class _Recorder(torch.optim.SGD):
    """Moves nothing, and remembers the gradients of every step."""

    def __init__(self, probe: _Probe) -> None:
        super().__init__(probe.parameters(), lr=0.0)
        self.probe, self.gradients = probe, list[tuple[float, float]]()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        found = [self.probe.s.grad, self.probe.t.grad]
        if any(g is None for g in found):
            raise Wrong("`optimiser.step()` comes before any gradient is there: `loss.backward()`.")
        self.gradients.append((float(found[0]), float(found[1])))  # type: ignore[arg-type]


def epoch(answer: Any, draw: Draw) -> None:
    """Whether a function runs one epoch of maximum likelihood on noisy rows."""
    d, batch = draw.integer(5, 8), draw.integer(6, 9)
    y = draw.normal(3 * batch + draw.integer(2, 4), d)
    s, t, noise = draw.uniform(-0.5, 0.5, 2).tolist() + [float(draw.uniform(0.02, 0.04, 1))]
    runs = []
    for seed in (1, 2, 1):
        probe = _Probe(s, t)
        recorder = _Recorder(probe)
        generator = torch.Generator().manual_seed(seed)
        loss = call(answer, probe, recorder, y, noise, batch, generator, name="train_epoch")
        if not probe.given:
            raise Wrong("You never call `flow`.")
        if not recorder.gradients:
            raise Wrong("You never call `optimiser.step()`.")
        if isinstance(loss, Tensor) and loss.requires_grad:
            raise Wrong("The loss that you return still carries its graph: add up `loss.item()`.")
        runs.append((probe.given, recorder.gradients, float(loss)))
    order = [_order(y, given, batch) for given, _, _ in runs[:2]]
    _noise(y, [given for given, _, _ in runs[:2]], order, noise)
    if not same(torch.cat(runs[0][0]), torch.cat(runs[2][0])):
        raise Wrong(
            "The same `generator` gives another epoch: the order and the noise must both be drawn "
            "from it, or nobody can repeat your run."
        )
    for given, gradients, loss in runs:
        _steps(given, gradients, loss, s, t)


def _order(y: Tensor, given: list[Tensor], batch: int) -> Tensor:
    """Which rows were seen, in order."""
    if max(map(len, given)) > batch:
        raise Wrong(f"A step sees {max(map(len, given))} rows, the batch size is {batch}.")
    gaps = torch.cdist(torch.cat(given), y)
    seen = gaps.argmin(1)
    if missing := len(y) - len(seen.unique()):
        text = f"{missing} of {len(y)} rows are never seen in an epoch"
        if len(seen) == len(seen.unique()):
            raise Wrong(f"{text}: the last batch is smaller, but it counts.")
        raise Wrong(f"{text}, others twice: draw an order of all rows, not rows at random.")
    if len(seen) > len(y):
        raise Wrong("Some rows are seen more than once in an epoch.")
    if len(given) != -(-len(y) // batch):
        raise Wrong(
            f"{len(given)} steps for {len(y)} rows in batches of {batch}: all batches but the last "
            "are full. (`split(batch)` says how many rows a batch has, `chunk` how many batches.)"
        )
    if torch.equal(seen, torch.arange(len(y))):
        raise Wrong(
            "The rows come in the order of the file in every epoch. Shuffle them: "
            "`torch.randperm(n, generator=generator)`."
        )
    return seen


def _noise(y: Tensor, given: list[list[Tensor]], order: list[Tensor], noise: float) -> None:
    """Is it there, as large as asked for, and fresh?"""
    left = [torch.cat(rows) - y[k] for rows, k in zip(given, order, strict=True)]
    size = float(left[0].std())
    if size < 1e-9:
        raise Wrong(
            "The flow sees the rows without noise. The density it models is that of y + εn."
        )
    if same(left[0][0], left[0][1], 1e-6):
        raise Wrong(
            "Every row of a batch gets the same noise. Draw noise of the shape of the batch."
        )
    if abs(float(left[0].mean())) > noise / 3:
        raise Wrong(
            "The noise has a mean that is not 0: `torch.rand` is uniform in [0, 1); take `randn`."
        )
    if not 0.75 < size / noise < 1.3:
        reason = " You square it." if 0.75 < size / noise**2 < 1.3 else ""
        raise Wrong(f"The noise has deviation {size:.3g}, asked for was {noise:.3g}.{reason}")
    back = [one[k.argsort()] for one, k in zip(left, order, strict=True)]
    if same(back[0], back[1], 1e-6):
        raise Wrong(
            "Every epoch adds the same noise. Draw it anew for each batch, from `generator`."
        )


def _steps(
    given: list[Tensor], gradients: list[tuple[float, float]], loss: float, s: float, t: float
) -> None:
    """Are the gradients those of the loss, batch by batch?"""
    sizes = torch.tensor([float(len(y)) for y in given])
    if len(gradients) != len(given):
        raise Wrong(f"{len(given)} batches, but {len(gradients)} steps: one step for each batch.")
    e = float(np.exp(s))
    squares = torch.stack([(y * e + t).square().mean() / 2 for y in given])
    losses = squares - s
    by_s = torch.stack([((y * e + t) * y * e).mean() for y in given]) - 1
    by_t = torch.stack([(y * e + t).mean() for y in given])
    wanted, got = torch.stack([by_s, by_t], 1), torch.tensor(gradients)
    if same(got, wanted.cumsum(0), 1e-4):
        raise Wrong(
            "Gradients pile up from batch to batch: `backward` adds to what is there. Where do you "
            "set them to zero?"
        )
    if same(got, wanted + torch.tensor([1.0, 0.0]), 1e-4):
        raise Wrong("The log-det is missing in your loss: nothing keeps the flow from shrinking.")
    if same(got, wanted + torch.tensor([2.0, 0.0]), 1e-4):
        raise Wrong("The log-det has the wrong sign in your loss.")
    if same(got, torch.zeros_like(got)):
        raise Wrong(
            "All gradients are 0: you set them to zero after `backward` and before the step."
        )
    if not same(got, wanted, 1e-4):
        raise Wrong(
            "The gradients are not those of `nll(*flow(noisy rows))`, a mean over the batch."
        )
    right = float((losses * sizes).sum() / sizes.sum())
    known = {
        "You return the plain mean over batches; the last one has fewer rows. Weigh each batch by "
        "its rows.": float(losses.mean()),
        "You divide a sum over batches by the number of rows: weigh each batch's mean by its rows "
        "first.": float(losses.sum() / sizes.sum()),
        "You return the loss of the last batch. What is the mean over all rows?": float(losses[-1]),
        "You return the sum over batches. What is the mean over all rows?": float(losses.sum()),
        "You return the sum over rows. Divide by their number.": float((losses * sizes).sum()),
    }
    if not same(loss, right, 1e-5):
        for text, value in known.items():
            if same(loss, value, 1e-5):
                raise Wrong(text)
        raise Wrong(f"The loss that you return is {loss:.4g}; the mean over all rows is another.")
