"""Scoring on a cluster: the same scores, resumed, with bad images, with a worker that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pytest
from PIL import Image

from differnet_course.baselines import registry
from differnet_course.baselines.registry import load_detector
from differnet_lite.cluster import connecting, read_parts, score_on_cluster, scoring
from differnet_lite.images import ImageError
from differnet_lite.listing import list_images

pytestmark = pytest.mark.filterwarnings("ignore:.*held-out normals cannot guarantee")


@pytest.fixture
def scored(scheduler: str, saved: Path, tmp_path: Path) -> Callable[..., list[Path]]:
    """scored(images) scores them into scores.parquet, 8 images a part."""

    def run(images: Path, **options: Any) -> list[Path]:
        options = {"scheduler": scheduler, "partition": 8, "progress": False} | options
        model, out = options.pop("model", saved), options.pop("out", tmp_path / "scores.parquet")
        return score_on_cluster(model, images, out, **options)

    return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each partition had that a worker scored."""
    seen: list[int] = []
    real = registry.load_detector

    def load(*args: Any, **options: Any) -> Any:
        model = real(*args, **options)
        score = model.anomaly_scores

        def count(images: Any) -> np.ndarray:
            seen.append(len(images))
            return score(images)

        model.anomaly_scores = count
        return model

    monkeypatch.setattr(registry, "load_detector", load)
    return seen


def table_of(parts: list[Path]) -> pa.Table:
    return pa.concat_tables(read_parts(parts))


def test_scores_and_decisions_are_those_of_one_machine(
    folder: Path, saved: Path, scored: Callable[..., list[Path]]
) -> None:
    parts = scored(folder)
    assert [path.name[:11] for path in parts] == ["part-000000", "part-000001", "part-000002"]
    table, paths = table_of(parts), list_images(folder)
    assert table["image"].to_pylist() == [str(path.absolute()) for path in paths]
    found = load_detector(saved, progress=False).judge(paths, if_too_few="fallback")
    np.testing.assert_allclose(table["score"], found.scores, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"], found.p_values)
    assert table["anomalous"].to_pylist() == found.anomalous.tolist()
    assert set(table["threshold"].to_pylist()) == {found.threshold.value}
    whole = pyarrow.dataset.dataset(parts[0].parent, format="parquet")
    assert whole.count_rows() == len(paths), "the folder is one data set"


def test_what_is_there_is_kept_and_what_changed_is_not(
    folder: Path, scored: Callable[..., list[Path]], tmp_path: Path, counted: list[int]
) -> None:
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    before = scored(images)
    assert sorted(counted) == [4, 8, 8]
    counted.clear()
    before[1].write_bytes(b"cut short")
    with pytest.warns(UserWarning, match="part is damaged"):
        assert scored(images) == before
    assert counted == [8]
    counted.clear()
    reference, theta = table_of(before), table_of(scored(images, alpha=0.3))
    assert theta["score"] == reference["score"] and theta["threshold"] != reference["threshold"]
    assert counted == [], "another alpha scores nothing again"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(images / "19.png")
    with pytest.warns(UserWarning, match=r"1 part\(s\) of files that changed removed"):
        after = scored(images)
    assert counted == [4] and after[:2] == before[:2] and not before[2].exists()
    assert len(list(after[0].parent.iterdir())) == 3


def test_another_models_parts_are_refused(
    folder: Path, saved: Path, scored: Callable[..., list[Path]], tmp_path: Path
) -> None:
    kept = [path.read_bytes() for path in scored(folder)]
    other = load_detector(saved, progress=False)
    other.calibration_scores_ = other.calibration_scores_ + 1
    with pytest.raises(ValueError, match=r"it holds 3 part\(s\) of another model"):
        scored(folder, model=other.save(tmp_path / "other.safetensors"))
    assert [path.read_bytes() for path in scored(folder)] == kept


def test_a_bad_image_is_named_and_costs_its_partition_alone(
    folder: Path, scored: Callable[..., list[Path]], tmp_path: Path, counted: list[int]
) -> None:
    images = Path(shutil.copytree(folder, tmp_path / "images"))
    good = (images / "09.png").read_bytes()
    (images / "09.png").write_bytes(good[:200])
    with pytest.raises(ImageError, match=r"09\.png: the image is damaged, cut short"):
        scored(images)
    assert len(list((tmp_path / "scores.parquet").iterdir())) == 2
    (images / "17.png").write_bytes(b"no image")
    (images / "09.png").write_bytes(good[:200])
    with (
        pytest.warns(UserWarning, match="changed removed"),
        pytest.raises(ImageError, match=r"^2 partitions have an image or more that cannot"),
    ):
        scored(images)
    counted.clear()
    for name in ("09.png", "17.png"):
        (images / name).write_bytes(good)
    assert len(scored(images)) == 3 and sorted(counted) == [4, 8]


def test_warnings_of_workers_are_told_here_once(
    folder: Path, scored: Callable[..., list[Path]], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for k, path in enumerate(sorted(folder.iterdir())[:4]):
        frames = [Image.open(path), Image.open(path).rotate(90)]
        frames[0].save(images / f"{k}.gif", save_all=True, append_images=frames[1:])
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        scored(images, partition=2)
    said = [str(note.message) for note in notes if "frames" in str(note.message)]
    assert said == ["an image file holds several frames or pages: only the first is used"]


def test_an_error_that_no_image_is_to_blame_for_is_tried_three_times(
    folder: Path,
    scored: Callable[..., list[Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, tries = registry.load_detector, []

    def moody(*args: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) <= 2:
            raise OSError("the storage hiccups")
        return real(*args, **options)

    monkeypatch.setattr(registry, "load_detector", moody)
    assert len(scored(folder)) == 3
    monkeypatch.setattr(registry, "load_detector", lambda *_, **__: 1 / 0)
    for path in scored(folder)[:1]:
        path.unlink()
    with pytest.raises(RuntimeError, match=r"the partition from .*00\.png failed: ZeroDivision"):
        scored(folder)


def test_a_killed_worker_loses_nothing_and_scores_nothing_twice(
    folder: Path,
    saved: Path,
    scored: Callable[..., list[Path]],
    local_cluster: Callable[..., Any],
    tmp_path: Path,
) -> None:
    images, out, kept = tmp_path / "images", tmp_path / "killed.parquet", []
    images.mkdir()
    for path in folder.iterdir():
        for k in range(6):
            shutil.copy(path, images / f"{k}-{path.name}")
    with local_cluster(processes=True) as cluster, distributed_client(cluster) as client:
        victim = min(client.run(os.getpid).values())

        def kill() -> None:
            end = time.monotonic() + 60
            while len(list(out.glob("part-*"))) < 2 and time.monotonic() < end:
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)
            kept.append(len(list(out.glob("part-*"))))

        killer = threading.Thread(target=kill)
        killer.start()
        parts = scored(images, scheduler=cluster.scheduler_address, partition=2, out=out)
        killer.join()
    assert 2 <= kept[0] < len(parts) == 60
    paths = list_images(images)
    table = table_of(parts)
    assert table["image"].to_pylist() == [str(path.absolute()) for path in paths]
    assert sorted(path.name for path in out.iterdir()) == [path.name for path in parts]
    expected = load_detector(saved, progress=False).anomaly_scores(paths)
    np.testing.assert_allclose(table["score"], expected, rtol=1e-6)


def distributed_client(cluster: Any) -> Any:
    from distributed import Client

    return Client(cluster)


def test_a_scheduler_that_goes_away_is_one_clear_error(
    folder: Path,
    scored: Callable[..., list[Path]],
    local_cluster: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    real = scoring.write_part
    with local_cluster(processes=False, n_workers=1) as cluster:

        def last(*arguments: Any) -> None:
            real(*arguments)
            cluster.close()

        monkeypatch.setattr(scoring, "write_part", last)
        with pytest.raises(RuntimeError, match=r"^the scheduler is gone; what is finished"):
            scored(folder, scheduler=cluster.scheduler_address, partition=1)
    assert len(list((tmp_path / "scores.parquet").iterdir())) == 1


def test_workers_that_cannot_do_it_are_named(
    folder: Path,
    scored: Callable[..., list[Path]],
    local_cluster: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with (
        local_cluster(processes=False, n_workers=0) as cluster,
        distributed_client(cluster) as client,
        pytest.raises(RuntimeError, match=r"expected workers at tcp://.*, found none in 0\.1"),
    ):
        connecting.check_workers(client, folder / "00.png", "cpu", seconds=0.1)
    with pytest.raises(RuntimeError, match=r"^worker tcp://.*: it cannot do this: device 'cuda"):
        scored(folder, device="cuda:99")
    monkeypatch.setattr(connecting, "code_version", iter("abc").__next__)
    with pytest.raises(RuntimeError, match="install the same on all machines"):
        scored(folder)
    assert not (tmp_path / "scores.parquet").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": 3}, "^scheduler: expected a text"),
        ({"images": "s3://bucket/parts"}, "^s3://bucket/parts: expected a folder that all"),
        ({"images": "nowhere"}, "nowhere: there is no such file or folder"),
        ({"out": "no/such/folder"}, "no/such: there is no such folder to write into"),
        ({"device": "abacus"}, "^device: expected 'auto'"),
        ({"alpha": 0}, "^alpha: expected"),
        ({"partition": 0}, "^partition: expected"),
        ({"model": "no.safetensors"}, r"no\.safetensors"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    folder: Path,
    scored: Callable[..., list[Path]],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(
        "differnet_lite.cluster.scoring.check_workers", lambda *_: pytest.fail("too late")
    )
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        scored(**{"images": folder} | options)


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    expected = "expected a Dask scheduler at tcp://127.0.0.1:9, got none"
    with (
        pytest.raises(OSError, match=expected),
        connecting.connected("tcp://127.0.0.1:9", seconds=1),
    ):
        pass
    with pytest.raises(OSError, match="expected a Dask scheduler at nonsense"):
        connecting.connected("nonsense", seconds=1).__enter__()


def test_places_that_are_no_data_set_are_refused(
    folder: Path, scored: Callable[..., list[Path]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="got a file"):
        scored(folder, out=tmp_path / "file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(ValueError, match=r"found thesis\.txt; name another"):
        scored(folder, out=tmp_path / "mine")
    with pytest.raises(ValueError, match=r"found 00\.png; name another"):
        scored(folder, out=folder)
