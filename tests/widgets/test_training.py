"""The loss curve that grows while the flow trains."""

from __future__ import annotations

import pytest

pytest.importorskip("ipywidgets")
pytest.importorskip("anywidget")

from differnet_course.widgets import LiveLoss


def test_it_draws_the_history():
    live = LiveLoss(3)
    live(1, {"epoch": [1], "train": [0.5], "held_out": [0.7]})
    live(2, {"epoch": [1, 2], "train": [0.5, 0.4], "held_out": [0.7, 0.6]}, None)
    train, held_out = live.figure.data
    assert list(train.x) == [1, 2] and list(train.y) == [0.5, 0.4]
    assert list(held_out.y) == [0.7, 0.6]
    losses = "loss of training images 0.40, held-out normal images 0.60"
    assert live.label.value == f"epoch 2 of 3: {losses}"
    assert live.plot.trace0["y"] == [0.5, 0.4]
    live(3, {"epoch": [1], "train": [0.5], "held_out": []})
    assert live.label.value == "epoch 3 of 3: loss of training images 0.50"
