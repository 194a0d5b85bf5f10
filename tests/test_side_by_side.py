"""Trainings at once: the bits of each alone, one that fails stops all, nothing is left behind."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from differnet_lite import DifferNet
from differnet_lite import model as model_module
from differnet_lite.side_by_side import Place, Stopped, side_by_side
from differnet_lite.switches import torch_threads
from differnet_lite.training import train_flow

Picture = Callable[..., np.ndarray]
SECONDS = 60.0  # that a test waits for what should come at once


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


@pytest.fixture
def photographs(picture: Picture) -> list[np.ndarray]:
    return [picture(seed) for seed in range(9)]


def at_once(tasks: list[Callable[[Place], Any]], **how: Any) -> list[Any]:
    return side_by_side(tasks, **({"epochs": 3, "at_once": True, "progress": False} | how))


def rows(indices: Tensor, generator: torch.Generator) -> Tensor:
    return indices[:, None].float()


def test_they_run_at_once_and_come_back_in_order() -> None:
    met = threading.Barrier(2)

    def task(name: str) -> Callable[[Place], tuple[str, int]]:
        def train(place: Place) -> tuple[str, int]:
            met.wait(SECONDS)  # one alone would wait for ever
            return name, torch.get_num_threads()

        return train

    assert at_once([task(name) for name in "abcd"]) == [(name, 1) for name in "abcd"]
    assert torch.get_num_threads() == 2


def test_one_thread_is_the_calling_one() -> None:
    def train(place: Place) -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    assert at_once([train, train], at_once=False) == [(threading.get_ident(), 2)] * 2


@pytest.mark.parametrize("together", [False, True])
def test_a_place_samples_its_own_images(together: bool) -> None:
    def train(place: Place) -> Tensor:
        return place.sampler(rows, [4, 7, 9])(torch.tensor([2, 0]), torch.Generator())

    for got in at_once([train, train], at_once=together):
        assert got.tolist() == [[9.0], [4.0]]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_one_that_fails_stops_the_others_at_their_next_step(error: BaseException) -> None:
    started, ended = threading.Event(), []

    def failing(place: Place) -> None:
        assert started.wait(SECONDS)
        raise error

    def going_on(place: Place) -> None:
        sample = place.sampler(rows, [0])
        started.set()
        try:
            while True:
                sample(torch.tensor([0]), torch.Generator())
        except Stopped:
            ended.append("stopped")
            raise

    with pytest.raises(type(error)):
        at_once([going_on, failing, lambda place: ended.append("never started")])
    assert ended == ["stopped"]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("together", [False, True])
def test_the_bar_counts_the_epochs_of_all(
    together: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(place: Place) -> None:
        for epoch in (1, 2, 3):
            place.on_epoch(epoch, {"epoch": [epoch], "train": [0.25], "held_out": []}, None)

    at_once([train] * 4, at_once=together, progress=True)
    shown = capsys.readouterr().err
    assert "12/12" in shown
    assert "train=0.250" in shown
    assert "held_out" not in shown


def test_flows_are_the_same_however_many_threads(
    tiny: dict[str, Any], photographs: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = tiny | {"calibration": "cross", "folds": 3, "epochs": 3}
    known = DifferNet(**options).features(photographs)  # these may differ with the threads
    monkeypatch.setattr(DifferNet, "features", lambda *_, **__: known)
    fitted = []
    for threads in (1, 2):
        with torch_threads(threads):
            fitted.append(DifferNet(**options, cache=None).fit(photographs))
    one, two = fitted
    assert len(two.flows_) == 3
    for a, b in zip(one.flows_, two.flows_, strict=True):
        for name, tensor in a.state_dict().items():
            assert torch.equal(tensor, b.state_dict()[name]), name
    assert one.history_ == two.history_
    np.testing.assert_array_equal(one.calibration_scores_, two.calibration_scores_)


def test_global_generators_stay_as_they_were(
    tiny: dict[str, Any], photographs: list[np.ndarray]
) -> None:
    np.random.seed(3)
    torch.manual_seed(3)
    expected = np.random.rand(), torch.rand(1)
    np.random.seed(3)
    torch.manual_seed(3)
    DifferNet(**(tiny | {"calibration": "cross", "folds": 3})).fit(photographs)
    assert (np.random.rand(), torch.rand(1)) == expected


def test_an_interruption_in_one_of_them_goes_on_to_the_same_bits(
    tiny: dict[str, Any],
    photographs: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = DifferNet(**(tiny | {"calibration": "cross", "folds": 3, "epochs": 4}))
    expected = model.fit(photographs).calibration_scores_
    first = threading.Event()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if options["seed"] == 1:
            assert first.wait(SECONDS)
            raise KeyboardInterrupt
        flow = train_flow(*arguments, **options)
        first.set()
        return flow

    monkeypatch.setattr(model_module, "train_flow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(photographs[::-1], checkpoint=tmp_path / "state")
    np.testing.assert_array_equal(model.calibration_scores_, expected)
    monkeypatch.undo()
    alone = DifferNet(**model.get_params()).fit(photographs[::-1]).calibration_scores_
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model.fit(photographs[::-1], checkpoint=tmp_path / "state")
    assert any("the training goes on after epoch" in str(each.message) for each in found)
    np.testing.assert_array_equal(model.calibration_scores_, alone)
