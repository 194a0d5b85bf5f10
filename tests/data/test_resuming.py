"""Training that is interrupted and goes on: the same bits, and never those of another training."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from differnet_lite import resuming
from differnet_lite.checkpoint import CheckpointError, read_checkpoint
from differnet_lite.flow import CouplingFlow
from differnet_lite.model import DifferNet
from differnet_lite.resuming import TrainingState, forget_training, training_states
from differnet_lite.sampling import view_sampler
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.splits import Split
from differnet_lite.training import train_flow
from differnet_lite.transforms import Transformations

SETTINGS = {
    "as ours": dataclasses.replace(DEFAULT, n_blocks=2, hidden=8, epochs=6, batch_images=4),
    "as the paper's": dataclasses.replace(
        DEFAULT,
        n_blocks=2,
        hidden=8,
        epochs=6,
        batch_images=4,
        pool_views=False,
        whiten=False,
        noise=0.0,
        start_as_identity=False,
    ),
}


class Killed(BaseException):
    """As Ctrl-C, at a place of our choice."""


@pytest.fixture
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every epoch is kept, however short."""
    monkeypatch.setattr(resuming, "SHARE", float("inf"))


@pytest.fixture
def silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def train(settings: Settings, state: TrainingState, stop: int = 0) -> tuple[CouplingFlow, Any]:
    """Train on 10 images of 8 features; killed after epoch `stop` if that is not 0."""
    y = torch.randn(12, 6, 8, generator=torch.Generator().manual_seed(0))

    def killing(epoch: int, *_: Any) -> None:
        if epoch == stop:
            raise Killed

    sample = view_sampler(y[:10], views_per_image=3, pool_views=settings.pool_views)
    given: dict[str, Any] = {"n_features": 8, "held_out": y[10:, :1], "progress": False}
    return train_flow(sample, 10, settings, on_epoch=killing, state=state, **given)


@pytest.mark.usefixtures("every_epoch", "untouched_generators")
@pytest.mark.filterwarnings("ignore:.*goes on after epoch")
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("stops", [(1,), (3,), (6,), (1, 2, 5)])
def test_an_interrupted_training_ends_in_the_same_bits(
    tmp_path: Path, settings: Settings, stops: tuple[int, ...]
) -> None:
    whole, losses = train(settings, resuming.UNKEPT)
    path = tmp_path / "state"
    for stop in stops:
        with pytest.raises(Killed):
            train(settings, TrainingState(path, {"a": 1}), stop)
        assert read_checkpoint(path)[0]["history"]["epoch"] == list(range(1, stop + 1))
    with pytest.warns(UserWarning, match=rf"state: the training goes on after epoch {stops[-1]}$"):
        found, again = train(settings, TrainingState(path, {"a": 1}))
    assert again == losses
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, found.state_dict()[name]), name


@pytest.mark.usefixtures("every_epoch", "silent")
def test_every_part_of_the_state_counts(tmp_path: Path) -> None:
    """Without the moments, the generator or the weights the end is another: the test above sees."""
    settings, path = SETTINGS["as ours"], tmp_path / "state"
    losses = train(settings, resuming.UNKEPT)[1]
    with pytest.raises(Killed):
        train(settings, TrainingState(path, {}), 3)
    header, tensors = read_checkpoint(path)
    keys = {name.split(".")[0] for name in tensors}
    assert keys == {"flow", "optimiser", "generator"}
    for part in keys:
        chosen = "flow.chain.module_list.2.subnet" if part == "flow" else part
        other = {n: torch.zeros_like(x) if n.startswith(chosen) else x for n, x in tensors.items()}
        if part == "generator":
            other[part] = torch.Generator().manual_seed(99).get_state()
        resuming.write_checkpoint(
            path, other, {"key": {}, "history": header["history"]}, kind="training"
        )
        assert train(settings, TrainingState(path, {}))[1]["train"][3:] != losses["train"][3:]


@pytest.mark.usefixtures("every_epoch")
def test_another_number_of_threads_is_said(tmp_path: Path) -> None:
    settings, path, threads = SETTINGS["as ours"], tmp_path / "state", torch.get_num_threads()
    losses = train(settings, resuming.UNKEPT)[1]
    with pytest.raises(Killed):
        train(settings, TrainingState(path, {}), 3)
    try:
        torch.set_num_threads(threads + 1)
        with pytest.warns(UserWarning, match="after epoch 3, with another number of threads: "):
            found = train(settings, TrainingState(path, {}))[1]
    finally:
        torch.set_num_threads(threads)
    assert found["epoch"] == losses["epoch"]
    np.testing.assert_allclose(found["train"], losses["train"], rtol=1e-5)


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("when", [0, 5_000_000_000], ids=["1970", "2128"])
def test_a_state_is_taken_whatever_its_files_clock_says(tmp_path: Path, when: int) -> None:
    settings, path = SETTINGS["as ours"], tmp_path / "state"
    with pytest.raises(Killed):
        train(settings, TrainingState(path, {}), 3)
    os.utime(path, (when, when))
    with pytest.warns(UserWarning, match="goes on after epoch 3$"):
        found = train(settings, TrainingState(path, {}))[1]
    assert found == train(settings, resuming.UNKEPT)[1]


def test_a_state_of_another_training_or_a_damaged_one_is_refused(
    tmp_path: Path, every_epoch: None
) -> None:
    settings, path = SETTINGS["as ours"], tmp_path / "state"
    train(settings, TrainingState(path, {"seed": 0}))
    with pytest.raises(CheckpointError, match=r"state: .*it is of another training; delete it"):
        train(settings, TrainingState(path, {"seed": 1}))
    wider = dataclasses.replace(settings, hidden=9)
    with pytest.raises(CheckpointError, match=r"state: .*: expected .*\(9,\).*, got .*\(8,\)"):
        train(wider, TrainingState(path, {"seed": 0}))
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: its digest does not fit"):
        train(settings, TrainingState(path, {"seed": 0}))
    path.unlink()
    train(settings, TrainingState(path, {"seed": 0}))
    with pytest.raises(CheckpointError, match="expected a 'differnet' model, got a 'training' one"):
        DifferNet.load(path)


def test_short_epochs_are_not_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of our own: writing takes 2 s, an epoch 7 s."""
    now, written = [0.0], []

    def write(path: Path, tensors: Any, header: Any, *, kind: str) -> None:
        written.append(len(header["history"]["epoch"]))
        now[0] += 2

    monkeypatch.setattr(resuming, "write_checkpoint", write)
    monkeypatch.setattr(resuming.time, "monotonic", lambda: now[0])
    state, parameter = TrainingState(tmp_path / "s", {}), torch.nn.Linear(1, 1)
    for epoch in range(1, 11):
        now[0] += 7
        adam = torch.optim.Adam(parameter.parameters())
        state.keep(parameter, adam, torch.Generator(), {"epoch": list(range(epoch))})
    assert written == [1, 4, 7, 10]


def test_a_full_disk_costs_the_state_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resuming, "write_checkpoint", full)
    settings = SETTINGS["as ours"]
    with pytest.warns(UserWarning, match="cannot be kept .*No space left.*going on") as said:
        _, history = train(settings, TrainingState(tmp_path / "state", {}))
    assert len(said) == 1
    assert history == train(settings, resuming.UNKEPT)[1]


# ---------------------------------------------------------------- a model's


@pytest.fixture
def interrupted(
    monkeypatch: pytest.MonkeyPatch, every_epoch: None
) -> Callable[[DifferNet, list[Path], Path, int], None]:
    """Fits with a checkpoint and is killed when so many epochs have been kept in all."""

    def fit(model: DifferNet, images: list[Path], folder: Path, epochs: int) -> None:
        left, keep = [epochs], TrainingState.keep

        def counted(self: TrainingState, *parts: Any) -> None:
            keep(self, *parts)
            left[0] -= 1
            if not left[0]:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(TrainingState, "keep", counted)
            with pytest.raises(Killed):
                model.fit(images, checkpoint=folder)

    return fit


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:.*goes on after epoch")
@pytest.mark.parametrize(
    "options",
    [
        {"calibration": "cross", "folds": 2},
        {"calibration": "split"},
        {
            "transformations": Transformations(angles=None, n_train=2, n_test=3, brightness=0.1),
            "pool_views": False,
            "whiten": False,
            "calibration": "none",
            "reference_images": 0,
        },
    ],
    ids=["cross", "split", "as the paper"],
)
def test_a_model_goes_on_flow_by_flow(
    tiny: dict[str, Any],
    photographs: list[Path],
    tmp_path: Path,
    interrupted: Callable[..., None],
    options: dict[str, Any],
) -> None:
    given = tiny | {"epochs": 3} | options
    expected = DifferNet(**given).fit(photographs)
    folder = tmp_path / "kept"
    interrupted(DifferNet(**given), photographs, folder, 2)
    files = sorted(folder.iterdir())
    assert [path.name[:7] for path in files] == ["flow_0_"]
    if options["calibration"] == "cross":  # on through the first flow, and into the next one
        interrupted(DifferNet(**given), photographs, folder, 2)
        assert len(list(folder.iterdir())) == 2
    with pytest.warns(UserWarning, match=r"flow_\d_.* goes on after epoch \d"):
        found = DifferNet(**given).fit(photographs, checkpoint=folder)
    np.testing.assert_array_equal(found.calibration_scores_, expected.calibration_scores_)
    np.testing.assert_array_equal(
        found.anomaly_scores(photographs), expected.anomaly_scores(photographs)
    )
    assert found.history_ == expected.history_
    bits = [
        model.save(tmp_path / name).read_bytes()
        for name, model in zip("ab", (found, expected), strict=True)
    ]
    assert bits[0] == bits[1]


def test_the_state_of_other_images_or_settings_is_left_alone(
    tiny: dict[str, Any],
    photographs: list[Path],
    tmp_path: Path,
    interrupted: Callable[..., None],
) -> None:
    given, folder = tiny | {"calibration": "none"}, tmp_path / "kept"
    interrupted(DifferNet(**given), photographs, folder, 1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    others: list[tuple[dict[str, Any], list[Path]]] = [
        ({"seed": 1}, photographs),
        ({"learning_rate": 1e-3}, photographs),
        ({"size": 66}, photographs),
        ({}, photographs[:4]),
        ({}, photographs[::-1]),
    ]
    for n, (changes, images) in enumerate(others, 1):
        with pytest.warns(UserWarning, match=rf"it holds the state of {n} other training\(s\)"):
            found = DifferNet(**given | changes).fit(images, checkpoint=folder)
        expected = DifferNet(**given | changes).fit(images)
        assert found.history_ == expected.history_
    assert {path: path.read_bytes() for path in before} == before


def test_states_are_named_by_all_that_a_flow_depends_on(
    photographs: list[Path], tmp_path: Path, silent: None
) -> None:
    def names(folder: str, *splits: Split, **what: Any) -> list[str]:
        states = training_states(tmp_path / folder, photographs, splits, **what)
        return [state.path.name for state in states if state.path is not None]

    split = Split([0, 1, 2], [3, 4])
    usual = names("a", split, split, seed=0)
    assert len(set(usual)) == 2, "each flow has its own"
    assert names("b", split, split, seed=0) == usual
    for other in (Split([0, 1], [3, 4]), Split([0, 1, 2], [3]), Split([1, 0, 2], [3, 4])):
        assert names("a", other, other, seed=0)[0] != usual[0]
    assert names("a", split, seed=1) != usual[:1]
    assert training_states(None, photographs, [split]) == [resuming.UNKEPT]


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder to keep the training in; create"):
        training_states(tmp_path / "no" / "such", [], [])
    (tmp_path / "file").write_text("a photograph's notes")
    with pytest.raises(NotADirectoryError, match="expected a folder to keep the training in"):
        training_states(tmp_path / "file", [], [])
    with pytest.raises(TypeError, match=r"folder: expected .*, got 3 \(int\)"):
        training_states(3, [], [])  # type: ignore[arg-type]


def test_only_what_this_training_kept_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for name in ("flow_0_aa.training", "flow_0_bb.training"):
        (folder / name).write_text("x")
    forget_training([TrainingState(folder / "flow_0_aa.training", {}), resuming.UNKEPT])
    assert [path.name for path in folder.iterdir()] == ["flow_0_bb.training"]
    forget_training([TrainingState(folder / "flow_0_bb.training", {})])
    assert not folder.exists()
    forget_training([TrainingState(folder / "flow_0_bb.training", {})])
