"""Training: the loop written out by hand, reproducible, resumable, better than at the start."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from differnet_lite.flow import CouplingFlow
from differnet_lite.sampling import view_sampler
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import (
    History,
    start_flow,
    train_flow,
)

D = 8
T = 6
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


def train(
    features: torch.Tensor, settings: Settings = PLAIN, **arguments: Any
) -> tuple[CouplingFlow, History]:
    sample = view_sampler(
        features, views_per_image=settings.views_per_image, pool_views=settings.pool_views
    )
    arguments = {"progress": False, "n_features": D} | arguments
    return train_flow(sample, len(features), settings, **arguments)


def by_hand(
    features: torch.Tensor, s: Settings, held_out: torch.Tensor, seed: int
) -> tuple[CouplingFlow, History]:
    """What `train_flow` promises, from the docstrings alone: Adam, noise and order."""
    generator = torch.Generator().manual_seed(seed)
    n = len(features)
    sample = view_sampler(features, views_per_image=s.views_per_image, pool_views=s.pool_views)
    flow = start_flow(sample, n, s, n_features=D, seed=seed, generator=generator)
    adam = torch.optim.Adam(
        [p for p in flow.parameters() if p.requires_grad],
        lr=s.learning_rate,
        betas=s.betas,
        eps=s.adam_eps,
        weight_decay=s.weight_decay,
        fused=False,
    )

    def loss_of(y: torch.Tensor) -> torch.Tensor:
        z, log_det = flow(y)
        return (0.5 * z.square().sum(1) - log_det).mean() / D

    def noisy(y: torch.Tensor) -> torch.Tensor:
        return y + s.noise * torch.randn(y.shape, generator=generator) if s.noise else y

    watched = noisy(held_out.flatten(0, 1))
    history: History = {"epoch": [], "train": [], "held_out": []}
    for epoch in range(1, s.epochs + 1):
        losses: list[float] = []
        for indices in torch.randperm(n, generator=generator).split(s.batch_images):
            loss = loss_of(noisy(sample(indices, generator).flatten(0, 1)))
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses += [loss.item()] * len(indices)
        history["epoch"].append(epoch)
        history["train"].append(math.fsum(losses) / n)
        history["held_out"].append(loss_of(watched).item())
    return flow, history


@pytest.mark.usefixtures("float64", "untouched_generators")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pool_views": True},
        {"whiten": False, "noise": 0.0, "start_as_identity": False, "views_per_image": 3},
        {"whiten": False, "pool_views": True, "clamp": 1.5, "betas": (0.9, 0.99)},
    ],
)
def test_training_is_the_loop_written_out(features: torch.Tensor, changes: dict[str, Any]) -> None:
    """20 images in steps of 8: the last step is half one. Every number of Adam matters here."""
    settings = dataclasses.replace(
        PLAIN, learning_rate=3e-3, adam_eps=1e-2, weight_decay=0.3, **changes
    )
    y = features.double()
    held_out = y[:5] + 0.2
    flow, history = train(y, settings, held_out=held_out, seed=7)
    expected_flow, expected = by_hand(y, settings, held_out, seed=7)
    assert history["epoch"] == expected["epoch"] == [1, 2, 3]
    for name in ("train", "held_out"):
        assert history[name] == pytest.approx(expected[name], rel=1e-10, abs=1e-10), name
    state = flow.state_dict()
    for name, tensor in expected_flow.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-7, atol=1e-9, msg=name)
    assert not flow.training


def test_an_interrupted_training_resumes_after_its_last_whole_epoch(
    features: torch.Tensor, tmp_path: Path
) -> None:
    settings = dataclasses.replace(PLAIN, learning_rate=3e-2, epochs=4)
    held_out = features[:5] + 0.2
    flow, history = train(features, settings, held_out=held_out)
    epochs: list[int] = []

    def on_epoch(epoch: int, history: History, flow: CouplingFlow) -> None:
        epochs.append(epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    arguments = {"held_out": held_out, "state_file": tmp_path / "a", "on_epoch": on_epoch}
    with pytest.raises(KeyboardInterrupt):
        train(features, settings, **arguments)
    resumed, resumed_history = train(features, settings, **arguments)
    assert epochs == [1, 2, 3, 4], "each epoch is made once"
    for name, losses in history.items():
        assert resumed_history[name] == pytest.approx(losses, rel=1e-4), name
    y = features.flatten(0, 1)
    torch.testing.assert_close(resumed(y), flow(y), rtol=1e-3, atol=1e-3)
    train(features, settings, **arguments)
    assert epochs == [1, 2, 3, 4], "a whole training has nothing left to do"


def test_a_loss_that_explodes_is_an_error_with_a_remedy(features: torch.Tensor) -> None:
    settings = dataclasses.replace(PLAIN, whiten=False, noise=0.0, learning_rate=1e12, epochs=50)
    message = r"training loss is .* in epoch \d+: expected a finite number; lower the learning rate"
    with pytest.raises(FloatingPointError, match=message):
        train(features * 1e6, settings)
