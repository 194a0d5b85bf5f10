"""Trainings that do not need each other, side by side on a CPU, one thread each.

The products of a narrow flow are too small to be worth sharing out: each of two flows on a thread
of its own takes less than twice the time of one flow on both. The bits of each are those of one
thread, however many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.sampling import Sampler
from differnet_lite.switches import torch_threads

__all__ = ["Place", "Stopped", "side_by_side"]

T = TypeVar("T")
EVERY = 0.1  # seconds between two looks at how far the trainings are


class Stopped(Exception):
    """Another of the trainings failed, or all were interrupted."""


class Place:
    """The place of one training among others: how far it is, and whether it should go on."""

    def __init__(self, stop: threading.Event, tell: Callable[[], None]) -> None:
        self.epoch, self.losses = 0, dict[str, float]()
        self._stop, self._tell = stop, tell

    def on_epoch(self, epoch: int, history: dict[str, list[float]], flow: Any) -> None:
        """Note where the training is; for `train_flow`."""
        self.epoch = epoch
        self.losses = {k: v[-1] for k, v in history.items() if v and k != "epoch"}
        self._tell()

    def sampler(self, sample: Sampler, positions: Sequence[int]) -> Sampler:
        """Of the images at some positions alone; raises `Stopped` where it should not go on."""
        chosen = torch.tensor(positions)

        def draw(indices: Tensor, generator: torch.Generator) -> Tensor:
            if self._stop.is_set():
                raise Stopped
            return sample(chosen[indices], generator)

        return draw


def side_by_side(
    tasks: Sequence[Callable[[Place], T]], *, epochs: int, at_once: bool, progress: bool
) -> list[T]:
    """What each of some trainings gives, in their order.

    Args:
        tasks: each trains, with the two functions of its `Place`.
        epochs: how many each has, for the progress bar.
        at_once: as many at once as torch has threads, with one each; else, or if that is one, they
            run one after another in the calling thread, with all threads.
        progress: whether to show a progress bar.

    Raises:
        BaseException: the first that a training raises, or that interrupts the wait, once all have
            stopped: each stops at its next step.
    """
    stop, total, all_threads = threading.Event(), len(tasks) * epochs, torch.get_num_threads()
    n = min(len(tasks), all_threads) if at_once else 1
    silent: Any = {"disable": not progress, "leave": False}
    with tqdm(total=total, desc="training", unit="epoch", **silent) as bar:

        def show() -> None:
            bar.n = sum(place.epoch for place in places)
            known = [place.losses for place in places if place.losses]
            if known:
                mean = {k: np.mean([losses[k] for losses in known]) for k in known[0]}
                bar.set_postfix({k: f"{v:.3f}" for k, v in mean.items()})

        if n == 1:
            places = [Place(stop, show) for _ in tasks]
            return [task(place) for task, place in zip(tasks, places, strict=True)]
        places = [Place(stop, lambda: None) for _ in tasks]  # this thread looks, and shows
        pool = ThreadPoolExecutor(n, initializer=torch.set_num_threads, initargs=(1,))
        with torch_threads(all_threads), pool:  # later threads would start with the pool's one
            both = zip(tasks, places, strict=True)
            futures = [pool.submit(task, place) for task, place in both]
            pending = set(futures)
            try:
                while pending:
                    done, pending = wait(pending, EVERY, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    show()
            finally:
                stop.set()
                for future in pending:
                    future.cancel()
        return [future.result() for future in futures]
