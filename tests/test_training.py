"""Drawing views, and training: reproducible, contained, better than at the start."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from differnet_lite.flow import build_flow, whitening_matrix
from differnet_lite.loss import nll
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import bank_views, pooled, train_flow
from differnet_lite.transforms import Transformations

D, T = 8, 6
PLAIN = dataclasses.replace(
    DEFAULT, pool_views=False, n_blocks=2, hidden=16, epochs=3, noise=0.1, batch_images=8
)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """(20, 6, 8): curved, so that a linear map is not enough."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(20, T, D, generator=generator)
    y[..., 1] += y[..., 0] ** 2
    return y


def train(features: torch.Tensor, settings: Settings = PLAIN, **arguments: Any) -> Any:
    return train_flow(
        bank_views(features, settings),
        len(features),
        settings,
        n_features=D,
        **{"progress": False} | arguments,
    )


def test_views_are_drawn_without_repetition() -> None:
    features = (
        torch.arange(4.0)[:, None, None] * 100
        + torch.arange(float(T))[None, :, None]
        + torch.zeros(4, T, D)
    )
    draw = bank_views(features, dataclasses.replace(PLAIN, views_per_image=4))
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(60):
        views = draw(torch.tensor([3, 0]), generator)
        assert views.shape == (2, 4, D)
        for row, n in zip(views[..., 0].tolist(), (3, 0), strict=True):
            assert len(set(row)) == 4
            assert {value // 100 for value in row} == {n}
            seen |= {value % 100 for value in row}
    assert seen == set(range(T))


def test_more_views_than_angles_take_each_once_before_any_twice() -> None:
    features = torch.arange(float(T))[None, :, None].expand(1, T, D)
    row = bank_views(features, dataclasses.replace(PLAIN, views_per_image=9))(
        torch.tensor([0]), torch.Generator()
    )[0, :, 0].tolist()
    assert set(row[:T]) == set(range(T))
    assert len(set(row[T:])) == 3


@pytest.mark.parametrize("n_angles", [1, 5, 6])
def test_pooled_views_are_means_over_random_halves(n_angles: int) -> None:
    features = (2.0 ** torch.arange(n_angles))[None, :, None].expand(2, n_angles, D)
    draw = bank_views(features, dataclasses.replace(DEFAULT, views_per_image=50))
    half = math.ceil(n_angles / 2)
    sums = (
        (draw(torch.tensor([0, 1]), torch.Generator().manual_seed(0))[..., 0] * half).round().long()
    )
    assert sums.shape == (2, 50)
    assert {bin(value).count("1") for value in sums.flatten().tolist()} == {
        half
    }  # that many different powers of two
    assert len(set(sums.flatten().tolist())) > 5 or n_angles == 1
    assert pooled(features, DEFAULT).shape == (2, 1, D)
    torch.testing.assert_close(
        pooled(features, DEFAULT)[0, 0, 0], torch.tensor((2.0**n_angles - 1) / n_angles)
    )
    assert pooled(features, PLAIN) is features


@pytest.mark.usefixtures("untouched_generators")
def test_same_seed_same_bits(features: torch.Tensor) -> None:
    runs = [train(features, held_out=features[:4] + 0.1, seed=seed) for seed in (0, 0, 1)]
    states = [flow.state_dict() for flow, _ in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert runs[0][1] == runs[1][1]
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_training_makes_held_out_normals_likelier(features: torch.Tensor) -> None:
    settings = dataclasses.replace(PLAIN, epochs=60, learning_rate=5e-3)
    flow, history = train(features, settings, held_out=features[15:] + 0.05)
    assert history["epoch"] == list(range(1, 61))
    assert len(history["train"]) == len(history["held_out"]) == 60
    assert history["train"][-1] < history["train"][0] - 0.05
    assert history["held_out"][-1] < history["held_out"][0] - 0.05
    assert not flow.training
    with torch.no_grad():
        assert history["held_out"][-1] == pytest.approx(
            float(nll(*flow((features[15:] + 0.05).flatten(0, 1)))), abs=0.3
        )


def test_with_the_symmetric_whitening_a_rounding_error_stays_one() -> None:
    y = torch.randn(12, T, 40, generator=torch.Generator().manual_seed(0)).mean(
        1, keepdim=True
    )  # fewer images than features
    y[..., 1] += y[..., 0] ** 2
    rounded = y * (1 + 1e-7 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    settings = dataclasses.replace(
        PLAIN, epochs=20, symmetric=True, start_as_identity=True, views_per_image=1
    )
    flows = [
        train_flow(bank_views(x, settings), 12, settings, n_features=40, progress=False)[0]
        for x in (y, rounded)
    ]
    z = torch.randn(30, 40, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(
            flows[0](z)[0].square().mean(1), flows[1](z)[0].square().mean(1), rtol=1e-3, atol=0.0
        )


def test_started_as_the_identity_training_starts_at_the_whitening(features: torch.Tensor) -> None:
    settings = dataclasses.replace(
        PLAIN, epochs=1, learning_rate=1e-12, views_per_image=T, weight_decay=0.0, batch_images=20
    )
    flow, _ = train(features, settings)
    start = build_flow(
        D,
        n_blocks=2,
        hidden=16,
        whitening=whitening_matrix(features.flatten(0, 1), eps=0.1),
        start_as_identity=True,
        seed=0,
    )
    y = features.flatten(0, 1)
    torch.testing.assert_close(
        flow(y)[0].square().mean(1), start(y)[0].square().mean(1), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(flow(y)[1], start(y)[1], rtol=1e-4, atol=1e-4)


def test_the_loss_of_the_first_step_is_the_likelihood_of_its_views(features: torch.Tensor) -> None:
    settings = dataclasses.replace(
        PLAIN,
        epochs=1,
        whiten=False,
        noise=0.0,
        views_per_image=T,
        batch_images=20,
        start_as_identity=False,
    )
    _, history = train(features, settings, seed=4)
    start = build_flow(D, n_blocks=2, hidden=16, seed=4)
    with torch.no_grad():
        assert history["train"] == [
            pytest.approx(float(nll(*start(features.flatten(0, 1)))), rel=1e-5)
        ]
    assert history["held_out"] == []


def test_a_loss_that_explodes_is_an_error_with_a_remedy(features: torch.Tensor) -> None:
    settings = dataclasses.replace(PLAIN, whiten=False, noise=0.0, learning_rate=1e12, epochs=50)
    with pytest.raises(
        FloatingPointError,
        match=r"training loss is .* in epoch \d+: expected a finite number; lower the learning rate",
    ):
        train(features * 1e6, settings)


def test_an_interruption_passes_through(features: torch.Tensor) -> None:
    def interrupted(indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_flow(interrupted, 20, PLAIN, n_features=D, progress=False)


def test_one_image_one_view(features: torch.Tensor) -> None:
    settings = dataclasses.replace(
        DEFAULT, transformations=Transformations.none(), n_blocks=1, hidden=4, epochs=2
    )
    flow, history = train(features[:1, :1], settings)
    assert all(math.isfinite(loss) for loss in history["train"])
    assert flow(features[0])[0].isfinite().all()


def test_progress_can_be_silent(features: torch.Tensor, capfd: pytest.CaptureFixture[str]) -> None:
    train(features)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("train_dtype", ["float32", "bfloat16"])
def test_rounded_products_train_a_flow_that_scores_in_float32(train_dtype: str) -> None:
    """bfloat16 rounds the gradient alone: after eval() the flow is as invertible as any, and its loss is close."""
    features = torch.randn(32, 4, 16, generator=torch.Generator().manual_seed(0)) * torch.linspace(
        0.2, 2, 16
    )
    settings = Settings(
        hidden=32,
        n_blocks=2,
        epochs=20,
        whiten=False,
        noise=0.0,
        learning_rate=1e-3,
        train_dtype=train_dtype,
    )
    flow, history = train_flow(
        bank_views(features, settings),
        32,
        settings,
        n_features=16,
        held_out=pooled(features, settings),
        progress=False,
    )
    plain, expected = train_flow(
        bank_views(features, settings),
        32,
        dataclasses.replace(settings, train_dtype="float32"),
        n_features=16,
        held_out=pooled(features, settings),
        progress=False,
    )
    assert history["held_out"][-1] < history["held_out"][0]
    assert history["held_out"][-1] == pytest.approx(expected["held_out"][-1], abs=0.02)
    y = torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(flow.inverse(flow(y)[0])[0], y, rtol=0, atol=1e-4)
    same = all(torch.equal(a, b) for a, b in zip(flow.trainable(), plain.trainable(), strict=True))
    assert same == (train_dtype == "float32")
