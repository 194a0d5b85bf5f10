"""Checks of lab 3 that watch a training: one epoch, and DifferNet as a whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from differnet_lite.course.check.comparing import call, same
from differnet_lite.course.check.draws import Draw
from differnet_lite.course.check.verdicts import Wrong
from differnet_lite.evaluation.metrics import auroc
from differnet_lite.features import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["differnet", "epoch"]

NOISE = 0.05


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
    for seed in (1, 2):
        probe = _Probe(s, t)
        recorder = _Recorder(probe)
        generator = torch.Generator().manual_seed(seed)
        loss = call(answer, probe, recorder, y, noise, batch, generator, name="train_epoch")
        if not probe.given:
            raise Wrong("You never call `flow`.")
        if not recorder.gradients:
            raise Wrong("You never call `optimiser.step()`.")
        runs.append((probe.given, recorder.gradients, float(loss)))
    order = [_order(y, given, batch) for given, _, _ in runs]
    _noise(y, [given for given, _, _ in runs], order, noise)
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
        "You return the loss of the last batch. What is the mean over all rows?": float(losses[-1]),
        "You return the sum over batches. What is the mean over all rows?": float(losses.sum()),
        "You return the sum over rows. Divide by their number.": float((losses * sizes).sum()),
    }
    if not same(loss, right, 1e-5):
        for text, value in known.items():
            if same(loss, value, 1e-5):
                raise Wrong(text)
        raise Wrong(f"The loss that you return is {loss:.4g}; the mean over all rows is another.")


class _Trunk(nn.Module):
    """A small random trunk: (N, 3, h, w) to (N, C, h', w')."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.first = nn.Parameter(0.3 * draw.normal(10, 3, 5, 5))
        self.second = nn.Parameter(0.12 * draw.normal(14, 10, 3, 3))
        self.bias = nn.Parameter(0.2 * draw.normal(14))

    def forward(self, x: Tensor) -> Tensor:
        maps = nn.functional.conv2d(x, self.first, stride=2).relu()
        return nn.functional.conv2d(maps, self.second, self.bias, padding=1).relu()


def _photographs(draw: Draw, n: int, base: Tensor, *, defect: bool) -> Tensor:
    """Made-up photographs (n, 3, 32, 32) in [0, 1]: one pattern, varying light, a blot if asked."""
    light = draw.uniform(0.9, 1.1, n, 3, 1, 1)
    soft = nn.functional.interpolate(draw.normal(n, 3, 4, 4), size=32, mode="bilinear")
    images = base * light + 0.05 * soft + 0.02 * draw.normal(n, 3, 32, 32)
    if defect:
        for image in images:
            row, column = draw.integer(4, 20), draw.integer(4, 20)
            image[:, row : row + 8, column : column + 8] += 0.45 * (-1) ** draw.integer(0, 1)
    return images.clamp(0, 1)


@torch.no_grad()
def _reference(trunk: nn.Module, train: Tensor, images: Tensor) -> tuple[np.ndarray, int]:
    """Squared Mahalanobis distance per dimension, by solving with the inflated covariance."""
    rows = []
    for batch in (train, images):
        x = (batch - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
            3, 1, 1
        )
        each = [x, nn.functional.avg_pool2d(x, 2), nn.functional.avg_pool2d(x, 4)]
        rows.append(torch.cat([trunk(scale).flatten(2).mean(2) for scale in each], 1))
    known, asked = rows
    d = known.shape[1]
    inflated = torch.cov(known.T, correction=0) + NOISE**2 * torch.eye(d)
    off = asked - known.mean(0)
    return (off * torch.linalg.solve(inflated, off.T).T).mean(1).numpy(), d


def differnet(answer: Any, draw: Draw) -> str:
    """Whether a function goes from photographs to scores as DifferNet does."""
    trunk, base = _Trunk(draw), draw.uniform(0.25, 0.75, 1, 3, 32, 32)
    base = nn.functional.avg_pool2d(nn.functional.pad(base, (2,) * 4, mode="reflect"), 5, 1)
    train = _photographs(draw, 40, base, defect=False)
    parts = [_photographs(draw, 14, base, defect=flaw) for flaw in (False, True)]
    order = draw.rng.permutation(28)
    images, labels = torch.cat(parts)[torch.as_tensor(order)], np.repeat([0, 1], 14)[order]
    kept = copy.deepcopy(trunk.state_dict())

    def run(some: Tensor) -> np.ndarray:
        found = call(answer, trunk, train, some, 0, name="differnet")
        scores = torch.as_tensor(found).detach().double().numpy()
        if scores.shape != (len(some),):
            raise Wrong(f"Expected one score an image, ({len(some)},), got shape {scores.shape}.")
        if not np.isfinite(scores).all():
            raise Wrong(
                "Some scores are nan or inf. Whiten with the noise in the covariance first."
            )
        return scores

    scores = run(images)
    if any(not torch.equal(kept[name], now) for name, now in trunk.state_dict().items()):
        raise Wrong(
            "You have trained the trunk as well. Its parameters stay; only the flow learns."
        )
    if not np.allclose(scores, run(images), rtol=1e-6):
        raise Wrong("Two runs with the same seed give other scores. Where is the seed not used?")
    if not np.allclose(scores[::4], run(images[::4]), rtol=1e-3):
        raise Wrong(
            "An image's score depends on the other images that it is scored with. What do you "
            "learn from the images to be scored (a mean, a scale)? They are test images."
        )
    wanted, d = _reference(trunk, train, images)
    area, fair = auroc(labels, scores), auroc(labels, wanted)
    if area < 0.4 and fair > 0.6:
        raise Wrong(f"AUROC {area:.2f}: upside down. Higher is more anomalous.")
    size = float(np.median(scores[labels == 0]) / np.median(wanted[labels == 0]))
    if same(scores, wanted, 1e-3) or same(scores * d, wanted, 1e-3):
        raise Wrong(
            "These are the scores of the whitening alone: your flow has not learnt anything."
        )
    if size > d / 4:
        raise Wrong(
            f"A normal image scores {size:.0f} times as high as by the whitening. Sum over the "
            f"{d} dimensions, where a mean is asked for?"
        )
    if size < 0.1:
        raise Wrong(
            f"A normal image scores {size:.2g} times as high as by the whitening: all z shrink to "
            "0. That makes half of the loss small; what does the log-det say to it, and is it there?"
        )
    agreement = float(spearmanr(scores, wanted).statistic)
    if agreement < 0.85 or area < fair - 0.12:
        raise Wrong(
            f"Rank correlation with the package's distance {agreement:.2f}, AUROC {area:.2f} where "
            f"it has {fair:.2f}. Compare step by step: ImageNet's mean and deviation, three "
            "scales, pooling, whitening with the noise, and training with the noise."
        )
    return f"Rank correlation with the package's Mahalanobis distance {agreement:.2f}."
