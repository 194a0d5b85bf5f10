"""Which views a step sees: drawn from features, pooled over halves, or made anew; the whitening."""

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
)
from differnet_lite.settings import Settings
from differnet_lite.training import start_flow
from differnet_lite.transforms import Transformations

D = 8
T = 6


def test_views_are_drawn_without_repetition() -> None:
    """Feature 100 n + t tells image and view."""
    n = torch.arange(4.0)[:, None, None]
    t = torch.arange(float(T))[None, :, None]
    draw = view_sampler(100 * n + t + torch.zeros(4, T, D), views_per_image=4, pool_views=False)
    generator = torch.Generator().manual_seed(0)
    numbers = set()
    for _ in range(60):
        views = draw(torch.tensor([3, 0]), generator)  # (2, 4, D)
        assert torch.equal(views, views[..., :1].expand(-1, -1, D)), "whole views, never a mixture"
        for row, image in zip(views[..., 0].tolist(), (3, 0), strict=True):
            assert len(set(row)) == 4 and {value // 100 for value in row} == {image}
            numbers |= {value % 100 for value in row}
    assert numbers == set(range(T))


@pytest.mark.parametrize("n_angles", [1, 5, 6])
def test_pooled_views_are_means_over_random_halves(n_angles: int) -> None:
    """Powers of two: a sum tells which views it is made of."""
    features = (2.0 ** torch.arange(n_angles))[None, :, None].expand(2, n_angles, D)
    draw = view_sampler(features, views_per_image=50, pool_views=True)
    half = math.ceil(n_angles / 2)
    drawn = draw(torch.tensor([0, 1]), torch.Generator().manual_seed(0))
    sums = (drawn[..., 0] * half).round().long()
    assert sums.shape == (2, 50)
    assert {value.bit_count() for value in sums.flatten().tolist()} == {half}
    assert len(set(sums.flatten().tolist())) > 5 or n_angles == 1
    assert n_angles == 1 or not torch.equal(sums[0], sums[1]), "each image has other halves"


@pytest.mark.parametrize("in_memory", [True, False])
def test_fresh_views_are_the_extractors_at_the_drawn_angles(
    tiny_extractor: MultiScaleExtractor,
    picture: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    in_memory: bool,
) -> None:
    if not in_memory:
        monkeypatch.setattr(sampling, "KEPT_IN_MEMORY", 2)
    images = [picture(k) for k in range(3)]
    t = Transformations(n_train=2, max_angle=40, fill="black", interpolation="nearest")
    sample = fresh_view_sampler(tiny_extractor, images, t)
    indices = torch.tensor([2, 0])
    generator = torch.Generator().manual_seed(3)
    drawn = [sample(indices, generator) for _ in range(2)]
    assert not torch.allclose(drawn[0], drawn[1])
    again = torch.Generator().manual_seed(3)
    pixels = torch.stack([torch.from_numpy(images[k]).permute(2, 0, 1) for k in (2, 0)])
    for views in drawn:
        angles = t.draw_angles(4, again).view(2, 2)
        expected = tiny_extractor.random_views(pixels, angles, t)
        torch.testing.assert_close(views, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("views", "times"), [(1, 16), (3, 5), (20, 1)])
def test_the_whitening_is_that_of_about_sixteen_views_of_each_image(views: int, times: int) -> None:
    features = torch.randn(5, T, D, generator=torch.Generator().manual_seed(0))
    sample = view_sampler(features, views_per_image=views, pool_views=True)
    settings = Settings(views_per_image=views, noise=0.3, hidden=8)
    generator = torch.Generator().manual_seed(1)
    flow = start_flow(sample, 5, settings, n_features=D, seed=0, generator=generator)
    again = torch.Generator().manual_seed(1)
    rows = torch.cat([sample(torch.arange(5), again).flatten(0, 1) for _ in range(times)])
    mean, matrix = whitening_matrix(rows, eps=0.3)
    torch.testing.assert_close(flow.mean, mean.float(), rtol=1e-6, atol=1e-7)
    expected = (rows.double() - mean) @ matrix
    z = flow(rows)[0]  # the couplings are the identity: the columns in another order
    torch.testing.assert_close(z.sort(1)[0], expected.float().sort(1)[0], rtol=1e-4, atol=1e-4)


def test_the_whitening_gives_unit_covariance_to_noisy_features() -> None:
    y = torch.randn(40, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = y @ torch.randn(D, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y[:, 2] = 0  # a dead channel
    eps = 0.5
    mean, matrix = whitening_matrix(y, eps=eps)
    inflated = np.cov(y.numpy().T, bias=True) + eps**2 * np.eye(D)
    np.testing.assert_allclose(matrix.T.numpy() @ inflated @ matrix.numpy(), np.eye(D), atol=1e-9)
    np.testing.assert_allclose(mean.numpy(), y.mean(0).numpy())
    assert matrix[2, 2] == pytest.approx(1 / eps), "a dead channel is not blown up"
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0, "it turns nothing"


def test_the_whitening_is_stable_where_directions_are_missing() -> None:
    """50 of 60 directions do not vary, and eigh gives any basis of them."""
    y = torch.randn(10, 60, generator=torch.Generator().manual_seed(0))
    rounded = y * (1 + 1e-7 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    matrices = [whitening_matrix(x, eps=0.1)[1] for x in (y, rounded)]
    assert (matrices[0] - matrices[1]).abs().max() < 1e-4
    assert matrices[0].abs().max() > 1
