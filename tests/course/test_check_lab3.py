"""Lab 3: every typical mistake gets its own message."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from differnet_course.line import second_shots
from differnet_lite.features import IMAGENET_MEAN, IMAGENET_STD
from differnet_lite.loss import nll
from differnet_lite.sampling import whitening_matrix


def pairs(labels, scores, tie):
    gap = scores[labels][:, None] - scores[~labels]
    return (gap > 0) + tie * (gap == 0)


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


def same_draws(metric, labels, scores, rng, n_resamples):
    return resampling()(metric, labels, scores, np.random.default_rng(0), n_resamples)


def epoch(
    *,
    order=torch.randperm,
    noise=torch.randn,
    scale=1.0,
    power=1,
    zero="before",
    loss=lambda z, log_det: nll(z, log_det),
    drop_last=False,
    per_epoch=False,
    answer="mean",
):
    """`train_epoch` with one thing done in another way."""

    def train_epoch(flow, optimiser, y, deviation, batch, generator):
        source = torch.Generator().manual_seed(0) if per_epoch else generator
        every = noise(y.shape, generator=source) if per_epoch else None
        losses, sizes = [], []
        for rows in order(len(y), generator=generator).split(batch):
            if drop_last and len(rows) < batch:
                continue
            drawn = every[rows] if per_epoch else noise(y[rows].shape, generator=source)
            value = loss(*flow(y[rows] + scale * deviation**power * drawn))
            if zero == "before":
                optimiser.zero_grad()
            value.backward()
            if zero == "after":
                optimiser.zero_grad(set_to_none=False)
            optimiser.step()
            losses.append(value.item())
            sizes.append(len(rows))
        weighted = sum(a * n for a, n in zip(losses, sizes, strict=True))
        return {
            "mean": weighted / sum(sizes),
            "batches": sum(losses) / len(losses),
            "last": losses[-1],
            "sum": sum(losses),
            "unweighted": sum(losses) / sum(sizes),
            "rows": weighted,
        }[answer]

    return train_epoch


def in_file_order(n, generator):
    return torch.arange(n)


def in_half_batches(flow, optimiser, y, noise, batch, generator):
    return epoch()(flow, optimiser, y, noise, batch // 2, generator)


def with_repeats(n, generator):
    return torch.randint(n, (n,), generator=generator)


def without_twins(y, part, kind, fit, rng):
    """Split by photograph, and drop the test photographs whose part was trained on."""
    held = rng.random(len(part)) < 0.25
    train, bad = (kind == "good") & ~held, kind != "good"
    test = bad | (held & ~np.isin(part, part[train]))
    return bad[test], fit(y[train])(y[test])


def labels_alone(metric, labels, scores, rng, n_resamples):
    drawn = [rng.choice(len(labels), len(labels)) for _ in range(n_resamples)]
    return tuple(np.quantile([metric(labels[i], scores) for i in drawn], [0.025, 0.975]))


def one_for_all(shape, generator):
    return torch.randn(shape[1:], generator=generator).expand(shape)


def split(choose):
    """An evaluation whose test set of good photographs is `choose(part, kind, rng)`, a mask."""

    def evaluation(y, part, kind, fit, rng):
        held = choose(part, kind, rng)
        good = kind == "good"
        score = fit(y[good & ~held])
        test = held | ~good
        return kind[test] != "good", score(y[test])

    return evaluation


def by_part(part, kind, rng):
    return np.isin(part, rng.choice(np.unique(part[kind == "good"]), 8, replace=False))


def by_photograph(part, kind, rng):
    return (kind == "good") & (rng.random(len(part)) < 0.25)


def always_the_first(part, kind, rng):
    return np.isin(part, np.unique(part[kind == "good"])[:8])


def all_but_one_shot(part, kind, rng):
    held = by_part(part, kind, rng)
    return held & (np.arange(len(part)) > np.flatnonzero(held)[0])


def one_shot_only(y, part, kind, fit, rng):
    _, first = np.unique(part, return_index=True)
    return split(by_part)(y[first], part[first], kind[first], fit, rng)


def with_defects(y, part, kind, fit, rng):
    held = by_part(part, kind, rng)
    return kind[held] != "good", fit(y[~held])(y[held])


def trained_on_test(y, part, kind, fit, rng):
    held = by_part(part, kind, rng) | (kind != "good")
    return kind[held] != "good", fit(y[kind == "good"])(y[held])


def standardised(y, part, kind, fit, rng):
    return split(by_part)((y - y.mean(0)) / y.std(0), part, kind, fit, rng)


def labels_upside_down(y, part, kind, fit, rng):
    labels, scores = split(by_part)(y, part, kind, fit, rng)
    return ~labels, scores


MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))


class Shift(nn.Module):
    """A flow that can only scale and shift each dimension."""

    def __init__(self, d):
        super().__init__()
        self.s, self.t = nn.Parameter(torch.zeros(d)), nn.Parameter(torch.zeros(d))

    def forward(self, y):
        return y * self.s.exp() + self.t, self.s.sum().expand(len(y))


def detector(
    *,
    loss=lambda z, log_det: nll(z, log_det),
    epochs=30,
    result=lambda z: z.square().mean(1),
    centre=lambda known, asked: known.mean(0),
    seeded=True,
    scales=3,
    train_trunk=False,
    normalise=True,
):
    """`differnet` with one thing done in another way."""

    def differnet(trunk, train, images, seed=0):
        with torch.no_grad():
            known, asked = (
                torch.cat(
                    [
                        trunk(
                            nn.functional.avg_pool2d((x - MEAN) / STD if normalise else x, 2**s)
                        ).mean((2, 3))
                        for s in range(scales)
                    ],
                    1,
                )
                for x in (train, images)
            )
            if train_trunk:
                for parameter in trunk.parameters():
                    parameter += 1e-3
        _, matrix = whitening_matrix(known, eps=0.05)
        flow, generator = Shift(known.shape[1]), torch.Generator()
        generator.manual_seed(seed) if seeded else generator.seed()
        optimiser = torch.optim.Adam(flow.parameters(), lr=0.05)
        white = (known - centre(known, asked)) @ matrix
        for _ in range(epochs):
            noise = 0.05 * torch.randn(white.shape, generator=generator) @ matrix
            value = loss(*flow(white + noise))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        with torch.no_grad():
            return result(flow((asked - centre(known, asked)) @ matrix)[0])

    return differnet


MISTAKES = {
    "3.1": [
        (lambda maps: torch.cat([m.sum((2, 3)) for m in maps], 1), "You sum over the places"),
        (lambda maps: torch.cat([m.amax((2, 3)) for m in maps], 1), "largest response"),
        (lambda maps: torch.cat([m.mean((2, 3)) for m in maps[::-1]], 1), "reversed order"),
        (lambda maps: torch.stack([m.mean((2, 3)) for m in maps], 2).flatten(1), "alternate"),
        (lambda maps: torch.cat([m.mean((2, 3)) for m in maps]), "below each other"),
        (lambda maps: torch.cat([m.mean(1).flatten(1) for m in maps], 1), "over the channels"),
        (lambda maps: torch.stack([m.mean((2, 3)) for m in maps]).mean(0), "scales as well"),
    ],
    "3.2": [
        (lambda y, s: pairs(y, s, 0).mean(), "you count it as lost"),
        (lambda y, s: pairs(y, s, 1).mean(), "you count it as won"),
        (lambda y, s: 1 - pairs(y, s, 0.5).mean(), "Upside down"),
        (lambda y, s: pairs(y, s, 0.5).sum() / len(y) ** 2, "all pairs of images"),
        (lambda y, s: float((s[y] - s[~y] > 0).mean()), "All PAIRS"),
        (lambda y, s: pairs(y, s, 0.5).sum(), "number of pairs that are won"),
    ],
    "3.3": [
        (labels_alone, "the scores are not"),
        (resampling(within=False), "within each class"),
        (resampling(replace=False), "without replacement"),
        (resampling(torn=True), "torn apart"),
        (resampling(share=0.5), "the real one"),
        (resampling(many=1), "199 resamples"),
        (resampling(ends=(0.05, 0.95)), "90 % interval"),
        (resampling(ends=(0.975, 0.025)), "ends are exchanged"),
        (resampling(summary=lambda v: (min(v), max(v))), "smallest and the largest"),
        (
            resampling(
                summary=lambda v: (np.mean(v) - 1.96 * np.std(v), np.mean(v) + 1.96 * np.std(v))
            ),
            "1.96 deviations",
        ),
        (same_draws, "do not draw from `rng`"),
        (lambda metric, y, s, rng, n: (0.9, 0.95), "never call `metric`"),
    ],
    "3.4": [
        (epoch(order=in_file_order), "order of the file"),
        (epoch(order=with_repeats), "draw an order of all rows"),
        (epoch(order=lambda n, generator: torch.randperm(n)), "same `generator`"),
        (epoch(noise=lambda shape, generator: torch.randn(shape)), "same `generator`"),
        (in_half_batches, "all batches but the last are full"),
        (epoch(drop_last=True), "last batch is smaller"),
        (epoch(scale=0.0), "without noise"),
        (epoch(power=2), "You square it"),
        (epoch(noise=torch.rand), "uniform in"),
        (epoch(noise=one_for_all), "Every row of a batch gets the same noise"),
        (epoch(per_epoch=True), "Every epoch adds the same noise"),
        (epoch(zero="never"), "pile up"),
        (epoch(zero="after"), "All gradients are 0"),
        (epoch(loss=lambda z, _: z.square().mean() / 2), "log-det is missing"),
        (epoch(loss=lambda z, log_det: nll(z, -log_det)), "wrong sign"),
        (epoch(answer="batches"), "plain mean over batches"),
        (epoch(answer="unweighted"), "weigh each batch's mean"),
        (epoch(answer="last"), "loss of the last batch"),
        (epoch(answer="sum"), "sum over batches"),
        (epoch(answer="rows"), "sum over rows"),
    ],
    "3.5": [
        (lambda a, b: ((d := torch.cdist(b, a).min(1)).values ** 2, d.indices), "squared distance"),
        (lambda a, b: tuple(torch.cdist(b, a).min(0)), "other way round"),
        (lambda a, b: ((d := torch.cdist(b, a)).mean(1), d.argmin(1)), "mean distance"),
        (lambda a, b: tuple(torch.cdist(b, a).max(1)), "FARTHEST"),
        (lambda a, b: tuple(torch.cdist(b, a).min(1))[::-1], "distance first"),
        (lambda a, b: tuple(torch.cdist(b, a, p=1.0).min(1)), "absolute differences"),
    ],
    "3.6": [
        (without_twins, "are thrown away"),
        (split(by_photograph), "The leak is still there"),
        (one_shot_only, "neither trained on nor tested"),
        (
            split(all_but_one_shot),
            "The leak is still there",
        ),
        (with_defects, "of defects are in the training set"),
        (trained_on_test, "plainest of leaks"),
        (standardised, "rows that are none of y"),
        (labels_upside_down, "labels do not belong"),
        (split(always_the_first), "same whatever `rng` is"),
        (
            split(lambda p, k, rng: np.isin(p, rng.choice(np.unique(p[k == "good"]), 28, False))),
            "about a quarter",
        ),
    ],
    "3.7": [
        (detector(loss=lambda z, _: z.square().mean() / 2, epochs=200), "z shrink to 0"),
        (detector(loss=lambda z, log_det: nll(z, -log_det), epochs=200), "z shrink to 0"),
        (detector(result=lambda z: z.square().sum(1)), "Sum over the"),
        (detector(result=lambda z: -z.square().mean(1)), "upside down"),
        (detector(epochs=0), "whitening alone"),
        (detector(centre=lambda known, asked: asked.mean(0)), "depends on the other images"),
        (detector(seeded=False), "same seed"),
        (detector(normalise=False), "no negative number"),
        (detector(scales=1), "three sizes"),
        (detector(train_trunk=True), "trained the trunk"),
        (detector(result=lambda z: z.square()), "one score an image"),
        (detector(result=lambda z: z[:, 0].square() + 0.3), "Compare step by step"),
    ],
}
HARD_CODED = {
    "3.1": lambda maps: torch.ones(4, 24),
    "3.2": lambda y, s: 0.93,
    "3.3": lambda metric, y, s, rng, n: (0.9, 0.95),
    "3.4": lambda flow, optimiser, y, noise, batch, generator: -3.1,
    "3.5": lambda a, b: (torch.ones(len(b)), torch.zeros(len(b), dtype=torch.long)),
    "3.6": lambda y, part, kind, fit, rng: (kind != "good", np.arange(len(kind)) / len(kind)),
    "3.7": lambda trunk, train, images, seed=0: torch.arange(len(images)) + 1.0,
}
EVERY = [(label, *mistake) for label, found in MISTAKES.items() for mistake in found]


@pytest.mark.parametrize(("label", "answer", "says"), EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_a_mistake_gets_its_own_message(verdict, label, answer, says, seed):
    found = verdict(label, answer, seed=seed)
    assert found.kind == "wrong" and says in found.text


@pytest.mark.parametrize("label", MISTAKES)
def test_three_mistakes_of_each(label):
    assert len({says for _, says in MISTAKES[label]}) >= 3


@pytest.mark.parametrize(("label", "answer"), HARD_CODED.items())
def test_a_hard_coded_answer_fails(verdict, label, answer):
    assert not verdict(label, answer).passed


def test_a_reason_with_a_full_stop_gets_no_second_one(verdict):
    def fails(maps):
        raise TypeError("no tensor in the list.")

    assert "in the list. It" in verdict("3.1", fails).text


def test_other_right_ways_pass(verdict):
    for seed in range(3):
        assert verdict("3.4", epoch(), seed=seed).kind == "right"
        assert verdict("3.6", split(by_part), seed=seed).kind == "right"
        assert verdict("3.7", detector(), seed=seed).kind == "right"


def test_the_ends_of_an_interval_may_be_taken_by_rank(verdict):
    by_rank = resampling(summary=lambda v: (sorted(v)[5], sorted(v)[194]))
    assert verdict("3.3", by_rank).kind == "close"


def test_an_interval_may_be_an_array(verdict):
    as_array = resampling(summary=lambda v: np.quantile(v, [0.025, 0.975]))
    assert verdict("3.3", as_array).kind == "right"
    for other in (lambda v: 0.9, lambda v: np.quantile(v, [0.025, 0.5, 0.975])):
        assert "expected two numbers" in verdict("3.3", resampling(summary=other)).text


def test_what_the_leak_was_worth_is_measured(verdict):
    said = verdict("3.6", split(by_part)).text
    leaky, fair, flattered = (float(x.rstrip(".,:")) for x in said.split() if x.startswith("0."))
    assert leaky > fair and flattered == pytest.approx(leaky - fair, abs=0.011)


def test_second_shots_are_close_to_the_first_and_repeatable(picture):
    first = [picture(seed) for seed in range(2)]
    shots = second_shots(first, seed=1)
    assert all(
        np.array_equal(a, b) for a, b in zip(shots, second_shots(first, seed=1), strict=True)
    )
    assert np.array_equal(shots[1], second_shots([first[0], first[1]], seed=1)[1])
    for one, other in zip(first, shots, strict=True):
        assert (
            other.shape == one.shape and other.dtype == np.uint8 and not np.array_equal(one, other)
        )
        assert abs(other.mean() / one.mean() - 1) < 0.04
