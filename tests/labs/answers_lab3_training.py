"""Lab 3, the epoch and the leak: right answers in several styles, and mistakes."""

from __future__ import annotations

import numpy as np
import torch

from differnet_lite.loss import nll


def epoch(
    *,
    order=torch.randperm,
    noise=torch.randn,
    scale=1.0,
    drop_last=False,
    per_epoch=False,
    walk=True,
    answer=lambda total: total,
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
        return answer(total)

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


def in_half_batches(flow, optimiser, y, noise, batch, generator):
    return epoch()(flow, optimiser, y, noise, batch // 2, generator)


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
    tested = dict.fromkeys(part[kind == "good"].tolist(), False)
    tested |= dict.fromkeys(rng.choice(list(tested), 8, replace=False).tolist(), True)
    return np.array([tested.get(p, False) for p in part.tolist()])


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


def in_file_order(n, generator):
    return torch.arange(n)


def with_repeats(n, generator):
    return torch.randint(n, (n,), generator=generator)


def one_for_all(shape, generator):
    return torch.randn(shape[1:], generator=generator).expand(shape)


def one_for_a_row(shape, generator):
    return torch.randn(shape[0], 1, generator=generator).expand(shape)


RIGHT = {
    "3.4": [epoch(), epoch_by_closure, epoch_by_grad, epoch_by_loader],
    "3.6": [split(quarter), by_sets, split(by_permutation), split(by_mapping)],
}
MISTAKES = {
    "3.4": [
        (epoch(order=in_file_order), "order of the file"),
        (epoch(order=with_repeats), "draw an order of all rows"),
        (epoch(order=lambda n, generator: torch.randperm(n)), "same `generator`"),
        (epoch(noise=lambda shape, generator: torch.randn(shape)), "same `generator`"),
        (in_half_batches, "all batches but the last are full"),
        (epoch(drop_last=True), "last batch is smaller"),
        (epoch(walk=False), "1 step for 4 batches"),
        (epoch(scale=0.0), "without noise"),
        (epoch(noise=torch.rand), "uniform in"),
        (epoch(noise=one_for_all), "Every row of a batch gets the same noise"),
        (epoch(noise=one_for_a_row), "All features of a row get the same noise"),
        (epoch(per_epoch=True), "Every epoch adds the same noise"),
        (epoch(answer=lambda total: 2.5), "The loss that you return is off by"),
    ],
    "3.6": [
        (without_twins, "are thrown away"),
        (split(by_photograph), "The leak is still there"),
        (one_shot_only, "neither trained on nor tested"),
        (with_defects, "of defects are in the training set"),
        (trained_on_test, "plainest of leaks"),
        (standardised, "rows that are none of y"),
        (labels_upside_down, "labels do not belong"),
        (split(lambda p, k, rng: np.isin(p, np.unique(p[k == "good"])[:8])), "same whatever `rng`"),
        (split(lambda p, k, rng: np.isin(p, np.unique(p[k == "good"])[:28])), "about a quarter"),
    ],
}
