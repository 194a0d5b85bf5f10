"""SIGKILL while the command extracts, trains and draws: nothing half-written, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from differnet_lite.detector import DifferNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL"),
]
FIT = ["--size", "252", "--rotations", "2", "--epochs", "40", "--calibration", "split"]


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., None]:
    """killed(moment, "fit", ...) runs the command and kills it once moment() is true."""

    def run(moment: Callable[[], object], *arguments: object) -> None:
        command = [sys.executable, "-m", "differnet_lite", *map(str, arguments)]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None and not moment():
            time.sleep(0.002)
        process.kill()
        assert process.wait() < 0, "it ended before it could be killed"

    return run


@pytest.fixture
def finished() -> Callable[..., None]:
    """finished("fit", ...) runs the command to its end; nothing that was kept is found damaged."""

    def run(*arguments: object) -> None:
        command = [sys.executable, "-m", "differnet_lite", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "damaged" not in done.stderr

    return run


def test_a_killed_fit_resumes_to_the_same_model(
    killed: Callable[..., None],
    finished: Callable[..., None],
    category_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    undisturbed, out, states = tmp_path / "a", tmp_path / "b", tmp_path / "states"
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "cache of a"))
    finished("fit", category_folder, "--out", undisturbed, *FIT)
    cache = tmp_path / "cache of b"
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(cache))
    fit = ["fit", category_folder, "--out", out, "--checkpoint", states, *FIT]
    killed(lambda: list(cache.rglob("*.features")), *fit)
    n_features = len(list(cache.rglob("*.features")))
    killed(lambda: list(states.glob("*.training")), *fit)
    assert len(list(cache.rglob("*.features"))) > n_features and not out.exists()
    finished(*fit)
    assert not states.exists()
    images = sorted((category_folder / "test").rglob("*.png"))
    scores = [
        DifferNet.load(path, progress=False).anomaly_scores(images) for path in (out, undisturbed)
    ]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_a_killed_score_leaves_the_old_table_and_whole_pictures(
    killed: Callable[..., None],
    finished: Callable[..., None],
    saved: Path,
    category_folder: Path,
    tmp_path: Path,
) -> None:
    table, maps = tmp_path / "s.csv", tmp_path / "maps"
    table.write_text("old")
    score = ["score", saved, category_folder / "test", "--csv", table, "--maps", maps, "--all-maps"]
    killed(lambda: len(list(maps.rglob("*.png"))) > 2, *score)
    assert table.read_text() == "old"
    for picture in maps.rglob("*.png"):
        Image.open(picture).load()
    finished(*score)
    rows = pd.read_csv(table)
    assert len(rows) == len(list((category_folder / "test").rglob("*.png")))
    assert sorted(map(str, maps.rglob("*.png"))) == sorted(rows["map"])
