"""Which views a step sees: drawn from known features, pooled over halves, or made anew."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from differnet_lite import sampling
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.sampling import (
    fresh_view_sampler,
    view_sampler,
    whitening_matrix,
    whitening_of_views,
)
from differnet_lite.transforms import Transformations

D, T = 8, 6


def test_views_are_drawn_without_repetition() -> None:
    """Feature 100 n + t tells image and view."""
    n, t = torch.arange(4.0)[:, None, None], torch.arange(float(T))[None, :, None]
    draw = view_sampler(100 * n + t + torch.zeros(4, T, D), views_per_image=4, pool_views=False)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(60):
        views = draw(torch.tensor([3, 0]), generator)
        assert views.shape == (2, 4, D)
        assert torch.equal(views, views[..., :1].expand(-1, -1, D)), "whole views, never a mixture"
        for row, image in zip(views[..., 0].tolist(), (3, 0), strict=True):
            assert len(set(row)) == 4
            assert {value // 100 for value in row} == {image}
            seen |= {value % 100 for value in row}
    assert seen == set(range(T))


def test_more_views_than_angles_take_each_once_before_any_twice() -> None:
    features = torch.arange(float(T))[None, :, None].expand(1, T, D)
    draw = view_sampler(features, views_per_image=9, pool_views=False)
    row = draw(torch.tensor([0]), torch.Generator())[0, :, 0].tolist()
    assert set(row[:T]) == set(range(T))
    assert len(set(row[T:])) == 3


@pytest.mark.parametrize("n_angles", [1, 5, 6])
def test_pooled_views_are_means_over_random_halves(n_angles: int) -> None:
    features = (2.0 ** torch.arange(n_angles))[None, :, None].expand(2, n_angles, D)
    draw = view_sampler(features, views_per_image=50, pool_views=True)
    half = math.ceil(n_angles / 2)
    drawn = draw(torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    sums = (drawn[..., 0] * half).round().long()
    assert sums.shape == (2, 50)
    ones = {bin(value).count("1") for value in sums.flatten().tolist()}
    assert ones == {half}, "that many different powers of two"
    assert len(set(sums.flatten().tolist())) > 5 or n_angles == 1
    assert n_angles == 1 or not torch.equal(sums[0], sums[1]), "each image has halves of its own"


@pytest.mark.parametrize("pool_views", [False, True])
@pytest.mark.usefixtures("untouched_generators")
def test_drawing_follows_the_generator_alone(pool_views: bool) -> None:
    features = torch.arange(3 * T * D, dtype=torch.float32).view(3, T, D)
    draw = view_sampler(features, views_per_image=2, pool_views=pool_views)
    a, b, c = (draw(torch.arange(3), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("few", [True, False])
def test_fresh_views_are_the_extractors_at_the_drawn_angles(
    tiny_extractor: MultiScaleExtractor,
    picture: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    few: bool,
) -> None:
    if not few:
        monkeypatch.setattr(sampling, "KEPT_IN_MEMORY", 2)
    images = [picture(k) for k in range(3)]
    t = Transformations(n_train=2, max_angle=40, fill="black", interpolation="nearest")
    sample = fresh_view_sampler(tiny_extractor, images, t)
    chosen, generator = torch.tensor([2, 0]), torch.Generator().manual_seed(3)
    first, second = sample(chosen, generator), sample(chosen, generator)
    assert first.shape == (2, 2, 256)
    assert not torch.allclose(first, second)
    again = torch.Generator().manual_seed(3)
    pixels = torch.stack([torch.from_numpy(images[k]).permute(2, 0, 1) for k in (2, 0)])
    for drawn in (first, second):
        angles = t.draw_angles(4, again).view(2, 2)
        assert torch.equal(drawn, tiny_extractor.views(pixels, angles, t))


@pytest.mark.parametrize(("views", "times"), [(1, 16), (3, 5), (4, 4), (20, 1)])
def test_whitening_is_that_of_about_sixteen_views_of_each_image(views: int, times: int) -> None:
    features = torch.randn(5, T, D, generator=torch.Generator().manual_seed(0))
    sample = view_sampler(features, views_per_image=views, pool_views=True)
    generator = torch.Generator().manual_seed(1)
    mean, matrix = whitening_of_views(
        sample, 5, views_per_image=views, noise=0.3, generator=generator
    )
    again = torch.Generator().manual_seed(1)
    rows = torch.cat([sample(torch.arange(5), again).flatten(0, 1) for _ in range(times)])
    expected = whitening_matrix(rows, eps=0.3)
    torch.testing.assert_close(mean, expected[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(matrix, expected[1], rtol=1e-7, atol=1e-9)
    assert torch.equal(torch.rand(1, generator=generator), torch.rand(1, generator=again))
