"""Checks of lab 3: features, an interval, training. The leak is in `lab3_leak`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, count, has_graph, same
from differnet_course.labs.exercises import Close, Draw, Exercise, Wrong, wrong_if
from differnet_course.labs.lab3_leak import honest
from differnet_lite.loss import nll

__all__ = ["EXERCISES"]


def _pooled(answer: Answer, draw: Draw) -> None:
    for n_scales in (3, draw.integer(4, 5)):
        shape = draw.integer(3, 5), draw.integer(6, 9)
        side = draw.integer(16, 20)
        sides = [max(side // 2**s, 1) for s in range(n_scales)]
        maps = [draw.normal(*shape, h, h + 1).relu() for h in sides]
        scales = [F.adaptive_avg_pool2d(m, 1).flatten(1) for m in maps]
        right = {"The feature matrix is": torch.cat(scales, 1)}
        answer.check({"maps": maps}, right, scales=scales)


def _labels(draw: Draw, n_normal: int, n_defect: int) -> np.ndarray:
    return draw.rng.permutation(np.repeat([False, True], [n_normal, n_defect]))


def _auroc(answer: Answer, draw: Draw) -> None:
    for shift in (1.1, -1.1):  # a detector, and one that is worse than guessing
        labels = _labels(draw, draw.integer(11, 16), draw.integer(6, 9))
        scores = np.round(draw.rng.normal(0, 1.5, len(labels)) + shift * labels)  # ties
        scores[np.flatnonzero(~labels)[0]] = scores[labels].max()
        above = scores[labels][:, None] - scores[~labels]
        right = {"The AUROC is": roc_auc_score(labels, scores)}
        answer.check({"labels": labels, "scores": scores}, right, above=above)


def _interval(answer: Answer, draw: Draw) -> None:
    n_normal = draw.integer(14, 20)
    n_defect = draw.integer(7, 10)
    labels = _labels(draw, n_normal, n_defect)
    scores = draw.rng.permutation(len(labels)) + draw.rng.uniform(0.1, 0.4)
    label_of = dict(zip(scores.tolist(), labels.tolist(), strict=True))
    n_resamples = 199
    values = draw.rng.exponential(size=1000)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def metric(some_labels: Any, some_scores: Any) -> float:
        y = np.asarray(some_labels)
        s = np.asarray(some_scores, dtype=float)
        if np.array_equal(s, scores):  # the figure itself
            wrong_if(not np.array_equal(y, labels), "scores_not_drawn")
            return 1.0
        seen.append((y, s))
        return float(values[(len(seen) - 1) % len(values)])

    rng = np.random.default_rng(draw.integer(0, 10**6))
    state = str(rng.bit_generator.state)
    ends = answer.pair(metric, labels, scores, rng, n_resamples)
    wrong_if(not seen, "metric_not_called")
    wrong_if(str(rng.bit_generator.state) == state, "rng_not_used")
    for y, s in seen:
        wrong_if(len(y) != len(s), "unequal_lengths", n_y=len(y), n_s=len(s))
        torn = any(label_of.get(score) != label for label, score in zip(y, s, strict=True))
        wrong_if(torn, "torn_apart")
        wrong_if(len(y) != len(labels), "other_size", n_y=len(y), n_labels=len(labels))
    for kind, name in enumerate(("normal", "defective")):
        once = all(len(set(s[y == kind].tolist())) == (y == kind).sum() for y, s in seen)
        wrong_if(once, "without_replacement", kind=name)
    varies = any(y.sum() != n_defect for y, _ in seen)
    wrong_if(varies, "classes_vary", n_normal=n_normal, n_defect=n_defect)
    wrong_if(len(seen) != n_resamples, "other_number", n_resamples=n_resamples, n_seen=len(seen))
    values = values[:n_resamples]
    wanted = np.quantile(values, [0.025, 0.975])
    ordered = np.sort(values)
    ranks = np.searchsorted(ordered, wanted)
    got = as_numbers(ends, "The interval is").numpy()
    beside = got.shape == (2,) and ((ordered[ranks - 2] <= got) & (got <= ordered[ranks + 1])).all()
    if beside and not np.allclose(got, wanted):
        raise Close("by_rank")
    answer.compare("The interval is", got, wanted, values=values)


def _nearest(answer: Answer, draw: Draw) -> None:
    d = draw.integer(4, 9)
    train = draw.normal(draw.integer(12, 18), d)
    test = draw.normal(draw.integer(6, 10), d)
    search = NearestNeighbors(n_neighbors=1).fit(train.numpy())
    distance, index = (torch.as_tensor(x[:, 0]) for x in search.kneighbors(test.numpy()))
    right = {"The distance is": distance, "The index is": index}
    answer.check({"train": train, "test": test}, right, index=index)


class _Probe(nn.Module):
    """z = y e^s + t with one s and one t for all dimensions; it remembers what it is given."""

    def __init__(self, s: float, t: float) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s))
        self.t = nn.Parameter(torch.tensor(t))
        self.batches: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(y.detach().clone())
        return y * self.s.exp() + self.t, self.s * y.shape[1] * torch.ones(len(y))

    def remember(self, *_: Any) -> None:
        """The gradients that an optimiser finds at its step."""
        if self.s.grad is None or self.t.grad is None:
            raise Wrong("step_before_backward")
        self.gradients.append(torch.stack([self.s.grad, self.t.grad]))


def _epoch(answer: Answer, draw: Draw) -> None:
    d = draw.integer(5, 8)
    batch = draw.integer(6, 9)
    y = draw.normal(3 * batch + draw.integer(2, 4), d)
    s = draw.number(-0.5, 0.5)
    t = draw.number(-0.5, 0.5)
    noise = draw.number(0.02, 0.04)
    probes = []
    losses = []
    for seed in (1, 2, 1):
        probe = _Probe(s, t)
        optimiser = torch.optim.SGD(probe.parameters(), lr=0.0)  # moves nothing
        optimiser.register_step_post_hook(partial(_Probe.remember, probe))
        generator = torch.Generator().manual_seed(seed)
        loss = answer(probe, optimiser, y, noise, batch, generator)
        wrong_if(not probe.batches, "flow_not_called")
        wrong_if(not probe.gradients, "no_step")
        wrong_if(has_graph(loss), "loss_has_graph")
        probes.append(probe)
        losses.append(loss)
    orders = [_order(y, probe.batches, batch) for probe in probes[:2]]
    given = [torch.cat(probe.batches) for probe in probes]
    _noise(y, [x - y[k] for x, k in zip(given, orders, strict=False)], orders, noise)
    wrong_if(not torch.equal(given[0], given[2]), "generator_not_used")
    for probe, loss in zip(probes, losses, strict=True):
        _steps(answer, probe, loss)


def _order(y: Tensor, batches: list[Tensor], batch: int) -> Tensor:
    """Which rows were seen, in order."""
    largest = max(map(len, batches))
    wrong_if(largest > batch, "batch_too_large", largest=largest, batch=batch)
    seen = torch.cdist(torch.cat(batches), y).argmin(1)
    repeated = len(seen) > len(seen.unique())
    if missing := len(y) - len(seen.unique()):
        wrong_if(repeated, "drawn_with_repeats", missing=missing, n_y=len(y))
        raise Wrong("last_batch_missing", missing=missing, n_y=len(y))
    wrong_if(repeated, "rows_repeated")
    steps = count(len(batches), "step")
    wrong_if(len(batches) != -(-len(y) // batch), "not_full", n_y=len(y), steps=steps, batch=batch)
    wrong_if(torch.equal(seen, torch.arange(len(y))), "not_shuffled")
    return seen


def _noise(y: Tensor, left: list[Tensor], orders: list[Tensor], noise: float) -> None:
    """Is it there, as large as asked for, and fresh?"""
    first = left[0]
    size = float(first.std())
    wrong_if(size < noise / 1e4, "no_noise")
    wrong_if(same(first[0], first[1], 1e-3), "noise_of_rows")
    wrong_if(same(first[:, 0], first[:, 1], 1e-3), "noise_of_features")
    wrong_if(abs(float(first.mean())) > noise / 3, "noise_mean")
    reason = " You square it." if 0.75 < size / noise**2 < 1.3 else ""
    values = {"size": size, "noise": noise, "reason": reason}
    wrong_if(not 0.75 < size / noise < 1.3, "noise_deviation", **values)
    wrong_if(float(first.abs().max()) < 1.8 * noise, "noise_not_normal")
    back = [noises[k.argsort()] for noises, k in zip(left, orders, strict=True)]
    wrong_if(same(back[0], back[1], 1e-3), "noise_of_epochs")
    small = y.abs() < y.abs().median()
    wrong_if(float(back[0][small].std()) < 0.55 * noise, "noise_of_size")


def _steps(answer: Answer, probe: _Probe, loss: Any) -> None:
    """Are the gradients those of the loss, batch by batch?"""
    batches = list(probe.batches)
    got = torch.stack(probe.gradients)
    steps = count(len(got), "step")
    wrong_if(len(got) != len(batches), "steps_missing", steps=steps, n_batches=len(batches))
    losses = torch.stack([nll(*probe(y)) for y in batches])
    wanted = torch.stack(
        [torch.stack(torch.autograd.grad(x, [probe.s, probe.t], retain_graph=True)) for x in losses]
    )
    answer.compare("The gradients are", got, wanted)
    sizes = torch.tensor([float(len(y)) for y in batches])
    mean = (losses * sizes).sum() / sizes.sum()
    answer.compare("The loss that you return is", loss, mean, losses=losses, sizes=sizes)


EXERCISES = {
    "3.1": Exercise("pooled features", "pooled", _pooled, None),
    "3.2": Exercise("AUROC by counting pairs", "auroc", _auroc, None),
    "3.3": Exercise("an interval", "interval", _interval, None),
    "3.4": Exercise("one epoch", "train_epoch", _epoch, None),
    "3.5": Exercise("the nearest training image", "nearest", _nearest, None),
    "3.6": Exercise("the leak, mended", "honest_evaluation", honest, None),
}
