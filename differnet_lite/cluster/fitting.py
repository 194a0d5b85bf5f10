"""Many categories fitted on a cluster, a task and a model file each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import differnet_lite
from differnet_course.baselines.registry import make_detector
from differnet_lite.cache import code_version
from differnet_lite.oldchecks import checked, shown
from differnet_lite.cluster.connecting import check_device_name, check_workers, connected
from differnet_lite.cluster.partitions import check_local, digest_of
from differnet_lite.cluster.tasks import completed
from differnet_lite.cluster.workers import Answer, fit_category
from differnet_lite.files import made_folder, replacing
from differnet_lite.folders import DatasetError, training_images

__all__ = ["Job", "fit_on_cluster"]


@dataclasses.dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        category: its name, that of its folder.
        names: absolute paths of the normal images.
        method: see `make_detector`.
        options: see `make_detector`.
    """

    category: str
    names: tuple[str, ...]
    method: str
    options: dict[str, Any]


@checked
def fit_on_cluster(
    categories: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    scheduler: str,
    method: str = "differnet",
    device: str = "auto",
    progress: bool = True,
    **options: Any,
) -> dict[str, Path]:
    """Fit a model for each category on a Dask cluster; the same call again goes on.

    A model that is there is kept if the images' paths, sizes and times of change, the settings and
    the package are the same. Features are kept on the workers, as `fit` does.

    Args:
        categories: folders of normal images or categories in the MVTec layout, which the workers
            see at the same path; each has a name of its own.
        out: folder for NAME.safetensors, and NAME.json, which says what it was made of; made if
            need be.
        scheduler: its address, such as "tcp://127.0.0.1:8786".
        method, **options: see `make_detector`.
        device: of the workers' detectors; "auto" takes what each has.
        progress: whether to show a progress bar.

    Returns:
        The model file of each category by name, in the order of `categories`.

    Raises:
        FileNotFoundError, DatasetError, OSError, TypeError, ValueError: an argument is wrong;
            nothing was begun.
        RuntimeError: a fit failed, all others are done; or the scheduler is gone.
    """
    check_device_name(device)
    check_local(out, *categories)
    if not categories:
        raise ValueError(f"categories: expected at least one folder, got {shown(categories)}")
    sample = make_detector(method, device="cpu", **options)  # refuses what is wrong with them
    folder, jobs = Path(out), []
    for category in categories:
        images = [os.path.abspath(str(image)) for image in training_images(category)]
        name = Path(category).resolve().name
        jobs.append(Job(name, tuple(images), method, options | {"device": device}))
    names = [job.category for job in jobs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DatasetError(f"categories: expected a name of its own for each, got {twice} twice")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out {folder}: expected a folder for the models, got a file")
    of = f"{sample!r}{sample.settings!r}{differnet_lite.__version__}{code_version()}"
    digests = {job.category: digest_of(job.names, of) for job in jobs}
    with connected(scheduler) as client:
        check_workers(client, Path(jobs[0].names[0]), device)
        made_folder(folder)
        with tqdm(None, "fitting", len(jobs), unit="category", disable=not progress) as bar:
            _fit_all(client, jobs, folder, digests, bar)
    return {name: folder / f"{name}.safetensors" for name in names}


def _fit_all(
    client: Any, jobs: Sequence[Job], folder: Path, digests: Mapping[str, str], bar: Any
) -> None:
    """Fit what is not kept; what went wrong with some is told when all are done."""

    missing = [job for job in jobs if not _kept(folder, job.category, digests[job.category])]
    bar.update(len(jobs) - len(missing))
    failed: list[str] = []
    notes: list[str] = []
    for job, answer in completed(client, fit_category, missing):
        if not isinstance(answer, Answer):
            answer = Answer(None, answer, ())
        notes += [f"{job.category}: {note}" for note in answer.notes]
        if answer.error is not None:
            failed.append(f"{job.category}: {type(answer.error).__name__}: {answer.error}")
        else:
            _keep(folder, job.category, digests[job.category], answer.value)
        bar.update()
    for note in notes:
        warnings.warn(note, stacklevel=3)
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(jobs)} categories failed, the same command tries them again; "
            + "; ".join(failed)
        )


def _kept(folder: Path, name: str, digest: str) -> bool:
    """Whether the model of this digest is there, as it was written."""
    try:
        said = json.loads((folder / f"{name}.json").read_bytes())
        content = (folder / f"{name}.safetensors").read_bytes()
        return said == {"of": digest, "sha256": hashlib.sha256(content).hexdigest()}
    except (OSError, ValueError):
        return False


def _keep(folder: Path, name: str, digest: str, content: bytes) -> None:
    with replacing(folder / f"{name}.safetensors") as file:
        file.write(content)
    said = {"of": digest, "sha256": hashlib.sha256(content).hexdigest()}
    with replacing(folder / f"{name}.json") as file:
        file.write(json.dumps(said).encode())
