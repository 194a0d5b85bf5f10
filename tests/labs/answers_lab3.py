"""Lab 3: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KDTree

from differnet_lite.loss import nll


def auroc_by_loops(labels, scores):
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels] for b in scores[~labels]]
    return sum(pairs) / len(pairs)


def auroc_by_ranks(labels, scores):
    won = stats.mannwhitneyu(scores[labels], scores[~labels]).statistic
    return won / labels.sum() / (~labels).sum()


def resampling(*, within=True, replace=True, torn=False, share=1.0, summary=None, many=0):
    """`interval` with one thing done in another way."""

    def interval(metric, labels, scores, rng, n_resamples):
        values = []
        for _ in range(n_resamples + many):
            every = np.arange(len(labels))
            groups = [every[~labels], every[labels]] if within else [every]
            drawn = [rng.choice(g, int(share * len(g)), replace=replace) for g in groups]
            chosen = rng.permutation(np.concatenate(drawn))
            other = rng.permutation(chosen) if torn else chosen
            values.append(metric(labels[other], scores[chosen]))
        return summary(values) if summary else tuple(np.quantile(values, [0.025, 0.975]))

    return interval


def interval_by_torch(metric, labels, scores, rng, n_resamples):
    values = torch.empty(n_resamples, dtype=torch.float64)
    for k in range(n_resamples):
        drawn = [x[rng.integers(0, len(x), len(x))] for x in (scores[labels], scores[~labels])]
        values[k] = metric(np.repeat([True, False], [len(x) for x in drawn]), np.hstack(drawn))
    return torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64))


def same_draws(metric, labels, scores, rng, n_resamples):
    return resampling()(metric, labels, scores, np.random.default_rng(0), n_resamples)


def labels_alone(metric, labels, scores, rng, n_resamples):
    drawn = [rng.choice(len(labels), len(labels)) for _ in range(n_resamples)]
    return tuple(np.quantile([metric(labels[i], scores) for i in drawn], [0.025, 0.975]))


def nearest_by_loops(train, test):
    gaps = torch.stack([torch.stack([(row - other).norm() for other in train]) for row in test])
    return gaps.amin(1), gaps.argmin(1)


def nearest_by_tree(train, test):
    distance, index = KDTree(train.numpy()).query(test.numpy())
    return distance[:, 0], index.ravel()


def epoch(
    *,
    order=torch.randperm,
    noise=torch.randn,
    scale=1.0,
    drop_last=False,
    per_epoch=False,
    walk=True,
):
    """`train_epoch` with one thing done in another way."""

    def train_epoch(flow, optimiser, y, deviation, batch, generator):
        source = torch.Generator().manual_seed(0) if per_epoch else generator
        every = noise(y.shape, generator=source) if per_epoch else None
        total = 0.0
        for k, rows in enumerate(order(len(y), generator=generator).split(batch)):
            if drop_last and len(rows) < batch:
                continue
            drawn = every[rows] if per_epoch else noise(y[rows].shape, generator=source)
            loss = nll(*flow(y[rows] + scale * deviation * drawn))
            optimiser.zero_grad()
            loss.backward()
            if walk or k == 0:
                optimiser.step()
            total += loss.item() * len(rows) / len(y)
        return total

    return train_epoch


def epoch_by_closure(flow, optimiser, y, noise, batch, generator):
    total = 0.0
    order = torch.randperm(len(y), generator=generator)
    for start in range(0, len(y), batch):
        rows = y[order[start : start + batch]]
        noisy = torch.normal(rows, noise, generator=generator)

        def closure(noisy=noisy):
            optimiser.zero_grad()
            loss = nll(*flow(noisy))
            loss.backward()
            return loss

        total += float(optimiser.step(closure)) * len(rows)  # PyTorch warns
    return total / len(y)


def epoch_by_grad(flow, optimiser, y, noise, batch, generator):
    y = y[torch.randperm(len(y), generator=generator)]
    noisy = y + noise * torch.empty_like(y).normal_(generator=generator)
    total = torch.zeros(())
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for rows in torch.split(noisy, batch):
        loss = nll(*flow(rows))
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = g
        optimiser.step()
        total = total + loss.detach() * len(rows) / len(y)
    return total


def epoch_by_loader(flow, optimiser, y, noise, batch, generator):
    losses = []
    data = torch.utils.data.TensorDataset(y)
    for (rows,) in torch.utils.data.DataLoader(data, batch, shuffle=True, generator=generator):
        z, log_det = flow(rows + torch.randn(rows.shape, generator=generator).mul_(noise))
        loss = (z.square().sum(1) / 2 - log_det).div(y.shape[1])
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        losses += loss.tolist()
    return np.mean(losses)


def split(choose):
    """An evaluation whose test set of good photographs is `choose(part, kind, rng)`, a mask."""

    def evaluation(y, part, kind, fit, rng):
        held = choose(part, kind, rng)
        good = kind == "good"
        score = fit(y[good & ~held])
        test = held | ~good
        return kind[test] != "good", score(y[test])

    return evaluation


def quarter(part, kind, rng):
    good = np.unique(part[kind == "good"])
    return np.isin(part, rng.choice(good, round(len(good) / 4), replace=False))


def by_photograph(part, kind, rng):
    return (kind == "good") & (rng.random(len(part)) < 0.25)


def by_sets(y, part, kind, fit, rng):
    good = sorted({int(p) for p, k in zip(part, kind, strict=True) if k == "good"})
    rng.shuffle(good)
    tested = set(good[: len(good) // 4])
    train = [i for i in range(len(y)) if kind[i] == "good" and part[i] not in tested]
    test = [i for i in range(len(y)) if i not in train]
    return [kind[i] != "good" for i in test], list(fit(y[train])(y[test]))


def by_permutation(part, kind, rng):
    good = rng.permutation(np.unique(part[kind == "good"]))
    return np.isin(part, good[::4])


def by_mapping(part, kind, rng):
    tested = set(rng.choice(sorted(set(part[kind == "good"].tolist())), 8, replace=False).tolist())
    return np.array([p in tested for p in part])


def without_twins(y, part, kind, fit, rng):
    """Split by photograph, and drop the test photographs whose part was trained on."""
    held = rng.random(len(part)) < 0.25
    train, bad = (kind == "good") & ~held, kind != "good"
    test = bad | (held & ~np.isin(part, part[train]))
    return bad[test], fit(y[train])(y[test])


def one_shot_only(y, part, kind, fit, rng):
    _, first = np.unique(part, return_index=True)
    return split(quarter)(y[first], part[first], kind[first], fit, rng)


def with_defects(y, part, kind, fit, rng):
    held = quarter(part, kind, rng)
    return kind[held] != "good", fit(y[~held])(y[held])


def trained_on_test(y, part, kind, fit, rng):
    held = quarter(part, kind, rng) | (kind != "good")
    return kind[held] != "good", fit(y[kind == "good"])(y[held])


def standardised(y, part, kind, fit, rng):
    return split(quarter)((y - y.mean(0)) / y.std(0), part, kind, fit, rng)


def labels_upside_down(y, part, kind, fit, rng):
    labels, scores = split(quarter)(y, part, kind, fit, rng)
    return ~labels, scores


def first_parts(n):
    """Always the same parts are tested."""
    return split(lambda part, kind, rng: np.isin(part, np.unique(part[kind == "good"])[:n]))


def repeated(*shape):
    """Noise that is the same along the axes that the shape leaves out."""
    return lambda rows, generator: torch.randn(
        [size if kept else 1 for size, kept in zip(rows, shape, strict=True)], generator=generator
    ).expand(rows)


RIGHT = {
    "3.1": [
        lambda maps: torch.cat([m.mean((2, 3)) for m in maps], 1),
        lambda maps: torch.cat([torch.einsum("nchw->nc", m) / m[0, 0].numel() for m in maps], 1),
        lambda maps: np.concatenate([m.numpy().mean(axis=(-2, -1)) for m in maps], axis=1),
        lambda maps: torch.hstack([F.adaptive_avg_pool2d(m, 1).flatten(1) for m in maps]),
    ],
    "3.2": [
        auroc_by_loops,
        auroc_by_ranks,
        roc_auc_score,
        lambda y, s: (np.sign(np.subtract.outer(s[y], s[~y])) / 2 + 0.5).mean(),
    ],
    "3.3": [
        resampling(),
        resampling(summary=lambda v: np.quantile(v, [0.025, 0.975])),
        resampling(summary=lambda v: list(np.percentile(v, [2.5, 97.5]))),
        interval_by_torch,
    ],
    "3.4": [epoch(), epoch_by_closure, epoch_by_grad, epoch_by_loader],
    "3.5": [
        lambda train, test: torch.cdist(test, train).min(1),
        nearest_by_loops,
        nearest_by_tree,
        lambda train, test: (test[:, None] - train).square().sum(2).sqrt().min(dim=1),
    ],
    "3.6": [split(quarter), by_sets, split(by_permutation), split(by_mapping)],
}
MISTAKES = {
    "3.2": [(lambda y, s: float((s[y] - s[~y] > 0).mean()), "All PAIRS")],
    "3.3": [
        (labels_alone, "the scores are not"),
        (resampling(within=False), "within each class"),
        (resampling(replace=False), "without replacement"),
        (resampling(torn=True), "torn apart"),
        (resampling(share=0.5), "the real one"),
        (resampling(many=1), "199 resamples"),
        (resampling(summary=lambda v: 0.9), "expected a pair"),
        (resampling(summary=lambda v: np.quantile(v, [0.025, 0.5, 0.975])), "expected a pair"),
        (same_draws, "do not draw from `rng`"),
        (lambda metric, y, s, rng, n: (0.9, 0.95), "never call `metric`"),
    ],
    "3.4": [
        (epoch(order=lambda n, generator: torch.arange(n)), "order of the file"),
        (epoch(order=lambda n, generator: torch.arange(n) // 2 * 2), "draw an order of all rows"),
        (epoch(order=lambda n, generator: torch.randperm(n)), "same `generator`"),
        (epoch(noise=lambda shape, generator: torch.randn(shape)), "same `generator`"),
        (lambda *a: epoch()(*a[:4], a[4] // 2, a[5]), "all batches but the last are full"),
        (epoch(drop_last=True), "last batch is smaller"),
        (epoch(walk=False), "1 step for 4 batches"),
        (epoch(scale=0.0), "without noise"),
        (epoch(noise=torch.rand), "uniform in"),
        (epoch(noise=repeated(False, True)), "Every row of a batch gets the same noise"),
        (epoch(noise=repeated(True, False)), "All features of a row get the same noise"),
        (epoch(per_epoch=True), "Every epoch adds the same noise"),
    ],
    "3.6": [
        (without_twins, "are thrown away"),
        (split(by_photograph), "The leak is still there"),
        (one_shot_only, "neither trained on nor tested"),
        (with_defects, "of defects are in the training set"),
        (trained_on_test, "plainest of leaks"),
        (standardised, "rows that are none of y"),
        (labels_upside_down, "labels do not belong"),
        (first_parts(8), "same whatever `rng`"),
        (first_parts(28), "about a quarter"),
    ],
}
CLOSE = {"3.3": [(resampling(summary=lambda v: (sorted(v)[5], sorted(v)[194])), "by rank")]}
