"""Images of a folder scored on a cluster, into a Parquet data set that can be resumed."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

import differnet_lite
from differnet_course.baselines.registry import load_detector
from differnet_lite.cache import code_version
from differnet_lite.oldchecks import checked, rate, whole
from differnet_lite.cluster.connecting import check_device_name, check_workers, connected
from differnet_lite.cluster.partitions import PARTITION, Partition, check_local, partitions
from differnet_lite.cluster.parts import Judge, check_folder, kept_scores, remove_stale, write_part
from differnet_lite.cluster.tasks import completed
from differnet_lite.cluster.workers import Answer, ModelPlugin, score_partition
from differnet_lite.files import made_folder
from differnet_lite.folders import DatasetError, load_category
from differnet_lite.images import ImageError
from differnet_lite.listing import list_images

__all__ = ["images_to_score", "score_on_cluster"]


@checked(alpha=rate, partition=whole(1))
def score_on_cluster(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    scheduler: str,
    alpha: float = 0.05,
    device: str = "auto",
    partition: int = PARTITION,
    progress: bool = True,
) -> list[Path]:
    """Score images on a Dask cluster; the same call again goes on where it was interrupted.

    A part that is there is kept if the model, the package and its images' paths, sizes and times of
    change are the same; parts of images that changed are removed. The list of names is all that
    grows with the number of images.

    Args:
        model: file that `Detector.save` wrote; sent once to each worker.
        images: a folder, or a category in the MVTec layout (its test set), which the workers see
            at the same path.
        out: folder of the data set; made if need be.
        scheduler: its address, such as "tcp://127.0.0.1:8786".
        alpha: false-alarm rate of the decisions; a change of it alone scores nothing again.
        device: of the workers' models; "auto" takes what each has.
        partition: images of a part.
        progress: whether to show a progress bar.

    Returns:
        The parts in the order of the images. Columns: image, score, p_value, anomalous, threshold.

    Raises:
        FileNotFoundError, DatasetError, CheckpointError, OSError, ValueError: an argument is wrong;
            nothing was begun.
        ImageError: images cannot be read; all partitions without such an image were scored.
        RuntimeError: the scheduler is gone, or a partition failed three times.
    """
    check_device_name(device)
    check_local(model, images, out)
    folder, paths = Path(out), images_to_score(images)
    check_folder(folder, Path(images))
    detector = load_detector(model, device="cpu", progress=False)
    calibrated = len(detector.calibration_scores_) > 0
    threshold = detector.threshold(alpha, if_too_few="fallback") if calibrated else None
    judge = Judge(detector.calibration_scores_, threshold)
    content = Path(model).read_bytes()
    of = hashlib.sha256(content).hexdigest() + differnet_lite.__version__ + code_version()
    with connected(scheduler) as client:
        check_workers(client, paths[0].absolute(), device)
        made_folder(folder)
        parts = list(partitions(paths, of=of, size=partition))
        if n := remove_stale(folder, {part.file for part in parts}):
            warnings.warn(f"{folder}: {n} part(s) of files that changed removed", stacklevel=2)
        plugin = ModelPlugin(content, device, f"differnet-lite-{uuid.uuid4().hex}")
        with tqdm(None, "scoring", len(paths), unit="image", disable=not progress) as bar:
            _score_all(client, parts, plugin, folder, judge, bar)
    return [folder / part.file for part in parts]


def images_to_score(source: str | os.PathLike[str]) -> list[Path]:
    """The test set of a category in the MVTec layout, or all images of a folder.

    Raises:
        FileNotFoundError, DatasetError, ImageError: as `load_category` and `list_images` do.
    """
    layout = (Path(source) / "train" / "good").is_dir()
    paths = list(load_category(source).test) if layout else list_images(source)
    if not paths:
        raise DatasetError(f"{source}: expected images in test/, found none")
    return paths


def _score_all(
    client: Any,
    parts: Sequence[Partition],
    plugin: ModelPlugin,
    folder: Path,
    judge: Judge,
    bar: Any,
) -> None:
    """Score what is not kept; what went wrong with some partitions is told when all are done."""
    missing = []
    for part in parts:
        if kept_scores(folder / part.file, part.names, judge):
            bar.update(len(part.names))
        else:
            missing.append(part)
    if not missing:
        return
    failed: list[BaseException] = []
    notes: dict[str, None] = {}
    client.register_plugin(plugin, name=plugin.name)
    try:
        for part, answer in completed(client, score_partition, missing, model=plugin.name):
            if not isinstance(answer, Answer):
                answer = Answer(None, _unexpected(part, answer), ())
            notes |= dict.fromkeys(answer.notes)
            if answer.error is not None:
                failed.append(answer.error)
            else:
                write_part(folder / part.file, part.names, answer.value, judge)
            bar.update(len(part.names))
    finally:
        if client.status == "running":
            client.unregister_worker_plugin(plugin.name)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        kind = type(failed[0]) if all(isinstance(e, ImageError) for e in failed) else RuntimeError
        raise kind(
            f"{len(failed)} partitions have an image or more that cannot be scored, the first: "
            f"{failed[0]}; all others are in {folder}, the same command goes on from there"
        )


def _unexpected(part: Partition, error: BaseException) -> RuntimeError:
    """An error that no image is to blame for."""
    return RuntimeError(
        f"the partition from {part.names[0]} failed: {type(error).__name__}: {error}; "
        "the same command tries it again"
    )
