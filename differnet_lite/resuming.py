"""A training that is interrupted goes on where it was: its state after an epoch, in a file.

What is kept is all that the next epoch depends on: weights, Adam's moments, the random generator
and the losses so far. So the end is the same, bit for bit, as without the interruption (on the same
machine, with the same number of threads). With another number, which is said, rounding may differ:
between 1 and 2 threads the scores of the default model differed by 2e-7 of their size at most, and
often by nothing. The file is made like a model's: safetensors, JSON and a digest, no pickle, and it
is written whole or not at all.

Its name holds a digest of what the training depends on: the state of other images or settings is
never taken, and never overwritten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from differnet_lite.checkpoint import (
    read_checkpoint,
    rebuilding,
    tensors_of,
    write_checkpoint,
)
from differnet_lite.oldchecks import checked
from differnet_lite.images import ImageLike, digest
from differnet_lite.schema import check_history, check_tensors, load_flow

__all__ = ["UNKEPT", "TrainingState", "forget_training", "training_folder", "training_states"]

SHARE = 0.1  # of the time that may go into writing: where epochs are short, some are not kept
_ENDING = ".training"


class TrainingState:
    """The state of the training of one flow, in one file.

    Args:
        path: of the file; None keeps nothing.
        key: what the training depends on, as JSON can hold it; "epochs": how many there will be.
    """

    def __init__(self, path: Path | None, key: Mapping[str, Any]) -> None:
        self.path, self.key = path, dict(key)
        self._not_before = 0.0  # seconds of the monotonic clock

    def restore(
        self,
        flow: nn.Module,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
        history: dict[str, list[float]],
    ) -> None:
        """Bring all four to where the file says; without a file they stay as they are.

        Raises:
            CheckpointError: the file is damaged, or of another training.
        """
        if self.path is None or not self.path.exists():
            return
        header, tensors = read_checkpoint(self.path, kind="training")
        with rebuilding(self.path):
            if header["key"] != self.key:
                raise ValueError("it is of another training; delete it")
            kept = check_history(header["history"])
            n = min(len(kept["epoch"]), self.key.get("epochs", sys.maxsize))
            if kept["epoch"] != [*range(1, n + 1)]:
                raise ValueError("history: expected epochs from 1 on, and no more than there are")
            check_tensors(tensors, _expected(flow, optimiser, generator))
            load_flow(flow, tensors_of("flow", tensors))
            moments: dict[int, dict[str, Any]] = {}
            for name, tensor in tensors_of("optimiser", tensors).items():
                number, _, what = name.partition(".")
                moments.setdefault(int(number), {})[what] = tensor
            for state in moments.values():
                if state["step"] < 0 or (state["exp_avg_sq"] < 0).any():
                    raise ValueError("optimiser: expected steps, and mean squares of at least 0")
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
            generator.set_state(tensors["generator"])
            history.update(kept)
        note = f"{self.path}: the training goes on after epoch {len(history['epoch'])}"
        if header.get("threads") != torch.get_num_threads():
            note += ", with another number of threads: the end may differ by rounding"
        warnings.warn(note, stacklevel=2)

    def keep(
        self,
        flow: nn.Module,
        optimiser: torch.optim.Optimizer,
        generator: torch.Generator,
        history: Mapping[str, list[float]],
    ) -> None:
        """Write the state after an epoch, unless writing would then take over a tenth of the time.

        What cannot be written, on a full disk, costs the state and not the training.
        """
        start = time.monotonic()
        if self.path is None or start < self._not_before:
            return
        tensors = _named(flow, optimiser.state_dict()["state"], generator)
        try:
            header: dict[str, Any] = {"key": self.key, "history": dict(history)}
            header["threads"] = torch.get_num_threads()
            write_checkpoint(self.path, tensors, header, kind="training")
            end = time.monotonic()
            self._not_before = end + (end - start) / SHARE
        except OSError as error:
            warnings.warn(
                f"{self.path}: the state of the training cannot be kept ({error}); going on "
                "without. Free space, or name another folder next time",
                stacklevel=2,
            )
            self._not_before = float("inf")


UNKEPT = TrainingState(None, {})


def _named(
    flow: nn.Module, moments: Mapping[int, Mapping[str, Tensor]], generator: torch.Generator
) -> dict[str, Tensor]:
    """All tensors of a state by name."""
    named = {f"flow.{name}": tensor for name, tensor in flow.state_dict().items()}
    for number, own in moments.items():
        named |= {f"optimiser.{number}.{name}": x for name, x in own.items()}
    return named | {"generator": generator.get_state()}


def _expected(
    flow: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Tensor]:
    """Tensors of the names, shapes and dtypes that a state of Adam has after an epoch."""
    step = torch.zeros((), dtype=torch.float32)
    parameters = optimiser.param_groups[0]["params"]
    adam = {k: {"step": step, "exp_avg": p, "exp_avg_sq": p} for k, p in enumerate(parameters)}
    return _named(flow, adam, generator)


@checked
def training_states(
    folder: str | os.PathLike[str] | None,
    images: Sequence[ImageLike],
    chosen: Iterable[tuple[Sequence[int], Sequence[int]]],
    epochs: int = 0,
    **what: Any,
) -> list[TrainingState]:
    """A state for each flow that is trained, one after another.

    Args:
        folder: of the files; None keeps nothing.
        images: all images.
        chosen: for each flow the positions of the images that it trains on, and that it scores.
        epochs: how many there will be.
        **what: all else that the training depends on, as JSON can hold it.
    """
    parts = list(chosen)
    if folder is None:
        return [UNKEPT] * len(parts)
    folder, names = training_folder(folder), [digest(image) for image in images]
    folder.mkdir(exist_ok=True)
    what = json.loads(json.dumps(what | {"epochs": epochs, "torch": torch.__version__}))
    states = []
    for k, (train, calibrate) in enumerate(parts):
        own = {"flow": k, "train": [names[i] for i in train]}
        key = what | own | {"calibrate": [names[i] for i in calibrate]}
        short = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        states.append(TrainingState(folder / f"flow_{k}_{short}{_ENDING}", key))
    others = set(folder.glob(f"*{_ENDING}")) - {state.path for state in states}
    if others:
        warnings.warn(
            f"{folder}: it holds the state of {len(others)} other training(s), of other images, "
            "settings or versions, which are left alone; delete what you do not need",
            stacklevel=2,
        )
    return states


@checked
def training_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder of the states of a training; it need not be there yet.

    Raises:
        FileNotFoundError: the folder that it should lie in is not there.
        NotADirectoryError: it is a file.
    """
    folder = Path(folder)
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"{folder.parent}: there is no such folder to keep the training in; create it first"
        )
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            f"{folder}: expected a folder to keep the training in, got a file; name another"
        )
    return folder


@checked
def forget_training(states: Iterable[TrainingState]) -> None:
    """Delete states that are no longer needed, and their folder if nothing else is in it."""
    for path in [state.path for state in states if state.path is not None]:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
