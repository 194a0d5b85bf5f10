"""Lab 3: right answers in several styles, and mistakes with a part of what the check says."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KDTree


def auroc_by_loops(labels, scores):
    won = 0.0
    for a in scores[labels]:
        for b in scores[np.logical_not(labels)]:
            won += 1.0 if a > b else 0.5 if a == b else 0.0
    return won / (labels.sum() * (~labels).sum())


def auroc_by_ranks(labels, scores):
    ranks = stats.rankdata(scores)
    n = labels.sum()
    return (ranks[labels].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))


def resampling(
    *, within=True, replace=True, torn=False, share=1.0, ends=(0.025, 0.975), summary=None, many=0
):
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
        return summary(values) if summary else tuple(np.quantile(values, ends))

    return interval


def interval_by_torch(metric, labels, scores, rng, n_resamples):
    normal = scores[~labels]
    defective = scores[labels]
    values = torch.empty(n_resamples, dtype=torch.float64)
    for k in range(n_resamples):
        drawn = [x[rng.integers(0, len(x), len(x))] for x in (defective, normal)]
        values[k] = metric(np.repeat([True, False], [len(x) for x in drawn]), np.hstack(drawn))
    return torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64))


def same_draws(metric, labels, scores, rng, n_resamples):
    return resampling()(metric, labels, scores, np.random.default_rng(0), n_resamples)


def labels_alone(metric, labels, scores, rng, n_resamples):
    drawn = [rng.choice(len(labels), len(labels)) for _ in range(n_resamples)]
    return tuple(np.quantile([metric(labels[i], scores) for i in drawn], [0.025, 0.975]))


def nearest_by_loops(train, test):
    distance = torch.zeros(len(test))
    index = torch.zeros(len(test), dtype=torch.long)
    for i, row in enumerate(test):
        gaps = torch.stack([(row - other).norm() for other in train])
        distance[i], index[i] = gaps.min(), gaps.argmin()
    return distance, index


def nearest_by_tree(train, test):
    distance, index = KDTree(train.numpy()).query(test.numpy())
    return distance[:, 0], index.ravel()


def nearest_by_products(train, test):
    squares = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
    return squares.clamp(min=0).sqrt().min(dim=1)


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
    "3.5": [
        lambda train, test: torch.cdist(test, train).min(1),
        nearest_by_loops,
        nearest_by_tree,
        nearest_by_products,
    ],
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
}
CLOSE = {"3.3": [(resampling(summary=lambda v: (sorted(v)[5], sorted(v)[194])), "by rank")]}
