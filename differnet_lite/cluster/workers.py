"""What a worker does: it holds the model, scores a partition, fits a category.

One task at a time in a process, with as many threads of PyTorch as Dask gave the worker: more at
once would fight for the same cores, and mix up their warnings. `dask worker --nthreads 1` for each
core is best on a CPU, one worker for each device elsewhere.

PyTorch is imported inside the functions, which run in a thread: a worker that takes a task or the
model apart does so between two heartbeats, and an import of seconds there looks like its death.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import functools
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

from differnet_lite.cluster.partitions import Partition

__all__ = ["Answer", "ModelPlugin", "fit_category", "keep_freed_memory", "look", "score_partition"]

_ONE_AT_A_TIME = threading.Lock()
TRIM, MMAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a task gives: its value, or the error that it ended with, and the warnings on the way.

    Attributes:
        value: (N,) float64 scores, or the bytes of a model file; None after an error.
        error: what an image or the model is to blame for.
        notes: texts of warnings, each once.
    """

    value: Any
    error: BaseException | None
    notes: tuple[str, ...]


class ModelPlugin(WorkerPlugin):  # type: ignore[misc]
    """The model on a worker: Dask sends it once to each, also to those that come later.

    Args:
        content: of the model file.
        device: on which it is loaded, when the first partition comes.
        name: by which tasks find it.
    """

    def __init__(self, content: bytes, device: str, name: str) -> None:
        self.content, self.device, self.name = content, device, name
        self._model: Any = None

    def model(self) -> Any:
        """The model; nothing is kept of features, as the scores themselves are."""
        from differnet_course.baselines.registry import load_detector

        if self._model is None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.safetensors")
                path.write_bytes(self.content)
                self._model = load_detector(path, device=self.device, cache=None, progress=False)
            self.content = b""
        return self._model


def score_partition(partition: Partition, *, model: str) -> Answer:
    """Scores of the images of a partition, by the model of this name."""
    plugin: Any = get_worker().plugins[model]
    return _answer(lambda: plugin.model().anomaly_scores([Path(name) for name in partition.names]))


def fit_category(job: Any) -> Answer:
    """The bytes of a model fitted to the images of a job, see `differnet_lite.cluster.fitting`."""
    from differnet_course.baselines.registry import make_detector

    def fitted() -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            detector = make_detector(job.method, progress=False, **job.options)
            detector.fit([Path(name) for name in job.names])
            return detector.save(Path(folder, "model.safetensors")).read_bytes()

    return _answer(fitted)


async def look(image: str, device: str) -> tuple[str, str, bool]:
    """A worker's version, that of the code that makes features, and whether it sees an image.

    Raises:
        ValueError, RuntimeError: it does not have the device.
    """

    def found() -> tuple[str, str, bool]:
        import differnet_lite
        from differnet_lite.cache import code_version
        from differnet_lite.trunk import resolve_device

        resolve_device(device)
        return differnet_lite.__version__, code_version(), Path(image).is_file()

    return await asyncio.to_thread(found)


def _answer(work: Callable[[], Any]) -> Answer:
    """What some work gives; an error that an image or the model is to blame for is an answer, too.

    Another try would say the same. Any other error is raised, and Dask tries again.
    """
    from differnet_lite.cache import FeatureError
    from differnet_lite.images import ImageError
    from differnet_lite.listing import DatasetError

    final = (FileNotFoundError, ImageError, FeatureError, FloatingPointError, DatasetError)
    value, error = None, None
    with _alone() as notes:
        try:
            value = work()
        except final as reason:
            error = reason
    ours = (str(note.message) for note in notes if issubclass(note.category, UserWarning))
    return Answer(value, error, tuple(dict.fromkeys(ours)))


@contextmanager
def _alone() -> Iterator[list[warnings.WarningMessage]]:
    """The process for itself, the threads that are the worker's, and a list that takes warnings."""
    from differnet_lite.switches import torch_threads

    keep_freed_memory()
    with _ONE_AT_A_TIME, warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("default")
        with torch_threads(max(1, get_worker().state.nthreads)):
            yield notes


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep what tensors free for the next ones, up to 64 MB, as it does by itself.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536: memory goes back to the system at
    each free, and is taken, and cleared, again for the next batch. A fifth to a half of a worker's
    time went there (`benchmarks/cluster.py`). Another value is somebody's choice, and left alone.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") == "65536":
        with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(MMAP, 32 << 20)
            mallopt(TRIM, 64 << 20)
