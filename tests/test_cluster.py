"""Scores from a Dask cluster: the same as here, resumed, with bad files, with a killed worker."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from differnet_lite.cli.commands import main
from differnet_lite.detector import DifferNet

distributed = pytest.importorskip("distributed", reason="pip install 'differnet_lite[cluster]'")
from differnet_course import cluster  # noqa: E402

pytestmark = pytest.mark.slow
Scores = list[tuple[Path, float | None, str]]


def local_cluster(**options: Any) -> Any:
    """A scheduler and two workers on 127.0.0.1."""
    common = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50, "protocol": "tcp"}
    return distributed.LocalCluster(**(common | quiet | options))


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a cluster whose workers are threads of this process."""
    with local_cluster(processes=False) as started:
        yield started.scheduler_address


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Path:
    """20 different small photographs."""
    root = tmp_path / "photographs"
    root.mkdir()
    for k in range(20):
        Image.fromarray(picture(k)).save(root / f"{k:02d}.png")
    return root


@pytest.fixture(scope="session")
def saved(
    tmp_path_factory: pytest.TempPathFactory, category_folder: Path, tiny: dict[str, Any]
) -> Path:
    model = DifferNet(**tiny).fit(category_folder)
    return model.save(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture
def scored(scheduler: str, saved: Path, folder: Path, tmp_path: Path) -> Callable[..., Scores]:
    """scored() scores the folder into scores/, 8 photographs a part."""

    def run(model: Path = saved, out: Path = tmp_path / "scores", **options: Any) -> Scores:
        options = {"scheduler": scheduler, "part": 8} | options
        return list(cluster.scored_on_cluster(model, sorted(folder.iterdir()), out, **options))

    return run


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many photographs each part had that a worker scored."""
    sizes: list[int] = []
    real = DifferNet.anomaly_scores

    def counted(self: DifferNet, images: Any) -> np.ndarray:
        sizes.append(len(images))
        return real(self, images)

    monkeypatch.setattr(DifferNet, "anomaly_scores", counted)
    return sizes


def test_scores_are_those_of_one_machine_and_resumed(
    scored: Callable[..., Scores], folder: Path, saved: Path, tmp_path: Path, tasks: list[int]
) -> None:
    first = scored()
    assert sorted(tasks) == [4, 8, 8]
    assert scored() == first and len(tasks) == 3, "nothing is scored twice"
    parts = sorted((tmp_path / "scores").iterdir())
    parts[1].unlink()
    assert scored() == first and sum(tasks) == 28, "the part that is missing"
    paths = sorted(folder.iterdir())
    assert [path for path, _, _ in first] == paths and not any(reason for _, _, reason in first)
    expected = DifferNet.load(saved, progress=False).anomaly_scores(paths)
    np.testing.assert_allclose([score for _, score, _ in first], expected, rtol=1e-6)
    shutil.copy(paths[0], paths[19])
    changed = scored()
    assert changed[:19] == first[:19] and changed[19] != first[19]
    assert len(list((tmp_path / "scores").iterdir())) == 3, "the stale part is gone"


def test_parts_of_another_model_are_refused(
    scored: Callable[..., Scores], tmp_path: Path, tiny: dict[str, Any], folder: Path
) -> None:
    scored()
    parts = {path: path.read_bytes() for path in (tmp_path / "scores").iterdir()}
    other = DifferNet(**tiny, seed=1).fit(folder).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="scores by another model"):
        scored(model=other)
    assert {path: path.read_bytes() for path in (tmp_path / "scores").iterdir()} == parts


def test_the_command_gives_the_same_table(
    folder: Path, saved: Path, scheduler: str, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    (folder / "05.png").write_bytes(b"no picture")
    score = ["score", str(saved), str(folder), "--fdr", "0.3", "--csv"]
    there = ["--scheduler", scheduler, "--out", str(tmp_path / "scores")]
    assert main([*score, str(tmp_path / "there.csv"), *there]) == 3
    assert main([*score, str(tmp_path / "here.csv")]) == 3
    tables = [pd.read_csv(tmp_path / name) for name in ("there.csv", "here.csv")]
    numbers = ["score", "score_over_threshold"]
    np.testing.assert_allclose(tables[0][numbers], tables[1][numbers], rtol=1e-6)
    pd.testing.assert_frame_equal(tables[0].drop(columns=numbers), tables[1].drop(columns=numbers))


def test_a_part_that_fails_is_told_when_the_others_are_done(
    scored: Callable[..., Scores], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DifferNet.anomaly_scores
    tries: list[str] = []

    def moody(self: DifferNet, images: Any) -> np.ndarray:
        tries.append(images[0].name)
        if images[0].name == "08.png" and tries.count("08.png") < 5:
            raise RuntimeError("the device hiccups")
        return real(self, images)

    monkeypatch.setattr(DifferNet, "anomaly_scores", moody)
    with pytest.raises(RuntimeError, match=r"1 of 3 parts failed.*the device hiccups"):
        scored()
    assert tries.count("08.png") == 3 and len(list((tmp_path / "scores").iterdir())) == 2
    assert len(scored()) == 20 and tries.count("08.png") == 5, "two hiccups cost nothing"


def test_a_killed_worker_loses_nothing(
    folder: Path, scored: Callable[..., Scores], saved: Path, tmp_path: Path
) -> None:
    for path in list(folder.iterdir()):
        for k in range(5):
            shutil.copy(path, folder / f"{k}-{path.name}")
    out = tmp_path / "killed"
    at_the_kill: list[int] = []
    with local_cluster(processes=True) as started:
        with distributed.Client(started) as client:
            victim = min(client.run(os.getpid).values())

        def kill() -> None:
            end = time.monotonic() + 120
            while len(list(out.glob("part-*"))) < 2 and time.monotonic() < end:
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)
            at_the_kill.append(len(list(out.glob("part-*"))))

        killer = threading.Thread(target=kill)
        killer.start()
        rows = scored(scheduler=started.scheduler_address, part=2, out=out)
        killer.join()
    assert 2 <= at_the_kill[0] < len(list(out.iterdir())) == 60
    paths = sorted(folder.iterdir())
    assert [path for path, _, _ in rows] == paths
    expected = DifferNet.load(saved, progress=False).anomaly_scores(paths)
    np.testing.assert_allclose([score for _, score, _ in rows], expected, rtol=1e-6)


def test_no_scheduler_is_one_clear_error(scored: Callable[..., Scores], tmp_path: Path) -> None:
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(OSError, match=f"with a worker at {address}, got none"):
            scored(scheduler=address, out=tmp_path / "none")
