"""Training: the loop written out by hand, reproducible, contained, better than at the start."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from differnet_lite.flow import CouplingFlow, Subnet, build_flow
from differnet_lite.loss import nll
from differnet_lite.sampling import view_sampler, whitening_matrix
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import (
    add_noise,
    build_optimiser,
    products_of,
    set_products,
    train_epoch,
    train_flow,
)
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


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def sampler(features: torch.Tensor, settings: Settings) -> Any:
    return view_sampler(
        features, views_per_image=settings.views_per_image, pool_views=settings.pool_views
    )


def train(features: torch.Tensor, settings: Settings = PLAIN, **arguments: Any) -> Any:
    return train_flow(
        sampler(features, settings),
        len(features),
        settings,
        n_features=features.shape[-1],
        **{"progress": False} | arguments,
    )


# ---------------------------------------------------------------- the loop, written out


def by_hand(
    features: torch.Tensor, s: Settings, held_out: torch.Tensor, seed: int
) -> tuple[CouplingFlow, dict[str, list[float]]]:
    """What `train_flow` promises, from the docstrings alone: Adam, noise, order and views."""
    generator, n = torch.Generator().manual_seed(seed), len(features)

    def views(indices: torch.Tensor) -> torch.Tensor:  # (B * V, D)
        b, v, seen = len(indices), s.views_per_image, []
        if s.pool_views:
            halves = torch.rand(b, v, T, generator=generator).argsort(2)[..., : (T + 1) // 2]
            seen = [
                features[i][half].mean(0)
                for i, own in zip(indices, halves, strict=True)
                for half in own
            ]
            return torch.stack(seen)
        orders = torch.rand(b, T, generator=generator).argsort(1)[:, :v]
        return torch.cat([features[i][order] for i, order in zip(indices, orders, strict=True)])

    def noisy(y: torch.Tensor) -> torch.Tensor:
        return y + s.noise * torch.randn(y.shape, generator=generator) if s.noise else y

    whitening = None
    if s.whiten:
        everyone = [views(torch.arange(n)) for _ in range(16 // s.views_per_image)]
        whitening = whitening_matrix(torch.cat(everyone), eps=s.noise)
    flow = build_flow(
        D,
        n_blocks=s.n_blocks,
        hidden=s.hidden,
        clamp=s.clamp,
        start_as_identity=s.start_as_identity,
        whitening=whitening,
        seed=seed,
    )
    adam = torch.optim.Adam(
        [p for p in flow.parameters() if p.requires_grad],
        lr=s.learning_rate,
        betas=s.betas,
        eps=s.adam_eps,
        weight_decay=s.weight_decay,
        fused=False,
    )
    watched = noisy(held_out.flatten(0, 1))
    history: dict[str, list[float]] = {"epoch": [], "train": [], "held_out": []}
    for epoch in range(1, s.epochs + 1):
        losses: list[float] = []
        for indices in torch.randperm(n, generator=generator).split(s.batch_images):
            z, log_det = flow(noisy(views(indices)))
            loss = (0.5 * z.square().sum(1) - log_det).mean() / D
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses += [loss.item()] * len(indices)
        history["epoch"].append(epoch)
        history["train"].append(math.fsum(losses) / n)
        with torch.no_grad():
            z, log_det = flow(watched)
            history["held_out"].append(float((0.5 * z.square().sum(1) - log_det).mean() / D))
    return flow, history


EACH_COUNTS: list[dict[str, Any]] = [
    {},
    {"pool_views": True},
    {"whiten": False, "noise": 0.0, "start_as_identity": False, "views_per_image": 3},
    {"whiten": False, "pool_views": True, "clamp": 1.5, "betas": (0.9, 0.99)},
]


@pytest.mark.usefixtures("float64", "untouched_generators")
@pytest.mark.parametrize("changes", EACH_COUNTS)
def test_training_is_the_loop_written_out(features: torch.Tensor, changes: dict[str, Any]) -> None:
    """20 images in steps of 8: the last step is half one. Every number of Adam matters here."""
    settings = dataclasses.replace(
        PLAIN, learning_rate=3e-3, adam_eps=1e-2, weight_decay=0.3, train_dtype="auto", **changes
    )
    y, held_out = features.double(), features[:5].double() + 0.2
    flow, history = train(y, settings, held_out=held_out, seed=7)
    expected_flow, expected = by_hand(y, settings, held_out, seed=7)
    assert history["epoch"] == expected["epoch"] == [1, 2, 3]
    for name in ("train", "held_out"):
        assert history[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-12), name
    state, wanted = flow.state_dict(), expected_flow.state_dict()
    for name, tensor in wanted.items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-9, atol=1e-11, msg=name)
    assert not flow.training


def test_noise_has_the_wanted_deviation_and_comes_from_the_generator() -> None:
    y = torch.full((40_000,), 3.0)
    noisy = add_noise(y, 0.5, torch.Generator().manual_seed(0))
    assert float(noisy.mean()) == pytest.approx(3, abs=0.01)
    assert float(noisy.std()) == pytest.approx(0.5, rel=0.02)
    assert torch.equal(noisy, add_noise(y, 0.5, torch.Generator().manual_seed(0)))
    assert not torch.equal(noisy, add_noise(y, 0.5, torch.Generator().manual_seed(1)))
    assert add_noise(y, 0.0, torch.Generator()) is y


def test_an_epoch_sees_every_image_once_in_another_order(features: torch.Tensor) -> None:
    flow = build_flow(D, n_blocks=1, hidden=4, seed=0)
    optimiser, generator = build_optimiser(flow, PLAIN), torch.Generator().manual_seed(0)
    orders: list[list[int]] = []

    def sample(indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        assert flow.training
        orders[-1] += indices.tolist()
        return features[indices]

    for _ in range(3):
        orders.append([])
        train_epoch(flow, optimiser, sample, 20, batch_images=8, noise=0.0, generator=generator)
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert list(range(20)) not in orders


def test_adam_takes_a_presets_numbers() -> None:
    numbers = {"learning_rate": 3e-3, "betas": (0.7, 0.6), "adam_eps": 1e-5, "weight_decay": 0.2}
    flow = build_flow(D, n_blocks=2, hidden=4, seed=0)
    optimiser = build_optimiser(flow, dataclasses.replace(PLAIN, **numbers))
    (group,) = optimiser.param_groups
    found = (group["lr"], group["betas"], group["eps"], group["weight_decay"])
    assert found == tuple(numbers.values())
    assert len(group["params"]) == len(flow.trainable()) == 2 * 2 * 8
    assert not group["amsgrad"] and not group["maximize"]


def test_each_epoch_is_reported_as_it_ends(features: torch.Tensor) -> None:
    seen = []
    _, history = train(
        features,
        held_out=features[:2],
        on_epoch=lambda epoch, h, flow: seen.append((epoch, len(h["train"]), flow.training)),
    )
    assert seen == [(1, 1, False), (2, 2, False), (3, 3, False)]
    assert len(history["held_out"]) == 3


# ---------------------------------------------------------------- what it does


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
    with torch.no_grad():
        assert history["held_out"][-1] == pytest.approx(
            float(nll(*flow((features[15:] + 0.05).flatten(0, 1)))), abs=0.3
        )


def test_with_the_symmetric_whitening_a_rounding_error_stays_one() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(12, T, 40, generator=generator).mean(1, keepdim=True)  # fewer images than D
    y[..., 1] += y[..., 0] ** 2
    rounded = y * (1 + 1e-7 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
    settings = dataclasses.replace(PLAIN, epochs=20, views_per_image=1)
    flows = [train(x, settings)[0] for x in (y, rounded)]
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
    y = features.flatten(0, 1)
    whitening = whitening_matrix(y, eps=0.1)
    start = build_flow(
        D, n_blocks=2, hidden=16, whitening=whitening, start_as_identity=True, seed=0
    )
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
        expected = float(nll(*start(features.flatten(0, 1))))
    assert history["train"] == [pytest.approx(expected, rel=1e-5)]
    assert history["held_out"] == []


def test_a_loss_that_explodes_is_an_error_with_a_remedy(features: torch.Tensor) -> None:
    settings = dataclasses.replace(PLAIN, whiten=False, noise=0.0, learning_rate=1e12, epochs=50)
    message = r"training loss is .* in epoch \d+: expected a finite number; lower the learning rate"
    with pytest.raises(FloatingPointError, match=message):
        train(features * 1e6, settings)


def test_an_interruption_passes_through() -> None:
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
    train(features, progress=True)
    assert "training" in capfd.readouterr().err


# ---------------------------------------------------------------- rounded products


@pytest.mark.parametrize("train_dtype", ["float32", "bfloat16"])
def test_rounded_products_train_a_flow_that_scores_in_float32(train_dtype: str) -> None:
    """bfloat16 rounds the gradient alone: after eval() the flow is as invertible as any."""
    features = torch.randn(32, 4, 16, generator=torch.Generator().manual_seed(0))
    features = features * torch.linspace(0.2, 2, 16)
    settings = Settings(
        hidden=32,
        n_blocks=2,
        epochs=20,
        whiten=False,
        noise=0.0,
        learning_rate=1e-3,
        train_dtype=train_dtype,
    )
    watched = features.mean(1, keepdim=True)
    flow, history = train(features, settings, held_out=watched)
    exact = dataclasses.replace(settings, train_dtype="float32")
    plain, expected = train(features, exact, held_out=watched)
    assert history["held_out"][-1] < history["held_out"][0]
    assert history["held_out"][-1] == pytest.approx(expected["held_out"][-1], abs=0.02)
    y = torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(flow.inverse(flow(y)[0])[0], y, rtol=0, atol=1e-4)
    same = all(torch.equal(a, b) for a, b in zip(flow.trainable(), plain.trainable(), strict=True))
    assert same == (train_dtype == "float32")


def test_products_are_rounded_in_training_alone() -> None:
    flow = build_flow(D, n_blocks=2, hidden=16, seed=0)
    y = torch.randn(9, D, generator=torch.Generator().manual_seed(0))
    exact = flow.train()(y)[0]
    set_products(flow, torch.bfloat16)
    subnets = [m for m in flow.modules() if isinstance(m, Subnet)]
    assert len(subnets) == 4 and {m.products for m in subnets} == {torch.bfloat16}
    rounded = flow(y)[0]
    assert rounded.dtype == torch.float32
    assert 1e-5 < ((rounded - exact).norm() / exact.norm()).item() < 0.05
    assert torch.equal(flow.eval()(y)[0], exact)
    set_products(flow, None)
    assert torch.equal(flow.train()(y)[0], exact)


@pytest.mark.parametrize(
    ("train_dtype", "hidden", "fast", "expected"),
    [
        ("float32", 2048, torch.bfloat16, None),
        ("bfloat16", 8, torch.float32, torch.bfloat16),
        ("auto", 1023, torch.bfloat16, None),
        ("auto", 1024, torch.bfloat16, torch.bfloat16),
        ("auto", 1024, torch.float16, None),
        ("auto", 1024, torch.float32, None),
    ],
)
def test_which_products_are_rounded(
    monkeypatch: pytest.MonkeyPatch, train_dtype: str, hidden: int, fast: Any, expected: Any
) -> None:
    monkeypatch.setattr("differnet_lite.training.fast_dtype", lambda device: fast)
    assert products_of(train_dtype, hidden, torch.zeros(1)) is expected
    if train_dtype == "auto":
        assert products_of(train_dtype, hidden, torch.zeros(1, dtype=torch.float64)) is None
