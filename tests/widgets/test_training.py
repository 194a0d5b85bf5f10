"""The loss curve that grows while the flow trains."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.widgets import LiveLoss
from differnet_lite import Settings, Transformations
from differnet_lite.sampling import view_sampler
from differnet_lite.training import train_flow


def test_on_epoch_sees_every_epoch_and_changes_nothing():
    y = torch.randn(8, 2, 6, generator=torch.Generator().manual_seed(0))
    settings = Settings(transformations=Transformations.grid(2), epochs=4, hidden=8, n_blocks=2)
    seen: list[tuple[int, int]] = []
    live = LiveLoss(settings.epochs)

    def watch(epoch, history, flow):
        seen.append((epoch, len(history["train"])))
        live(epoch, history, flow)
        assert flow(y.mean(1, keepdim=True).flatten(0, 1))[0].shape == (8, 6)

    common = {"n_features": 6, "held_out": y[:3].mean(1, keepdim=True), "progress": False}
    _, watched = train_flow(
        view_sampler(y, views_per_image=settings.views_per_image, pool_views=True),
        8,
        settings,
        on_epoch=watch,
        **common,
    )
    _, alone = train_flow(
        view_sampler(y, views_per_image=settings.views_per_image, pool_views=True),
        8,
        settings,
        **common,
    )
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)] and watched == alone
    assert (
        list(live.figure.data[0].y) == watched["train"]
        and list(live.figure.data[1].y) == watched["held_out"]
    )
    assert "epoch 4 of 4" in live.label.value


def test_cleared_it_waits_again():
    live = LiveLoss(3)
    live(1, {"epoch": [1], "train": [0.5], "held_out": [0.7]})
    assert "epoch 1 of 3" in live.label.value and len(live.figure.data[0].y) == 1
    live.clear()
    assert live.label.value == LiveLoss(3).label.value
    assert not any(curve.x or curve.y for curve in live.figure.data)
