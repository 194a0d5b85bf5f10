"""Local processes and a Dask cluster: shared, interrupted, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest

from differnet_course.experiments import Grid
from differnet_course.experiments.__main__ import main
from tests.experiments.conftest import Fake, deadly, same_tables, small_run


def test_local_processes_share_the_cores(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a", "breaks"], categories=[folder], seeds=(0, 1))
    table = small_run(grid, tmp_path / "two", n_jobs=2)
    assert set(table["threads"]) <= set(range(1, max(1, joblib.cpu_count() // 2) + 1))
    assert table["error"].notna().tolist() == [False, True] * 2
    same_tables(table, small_run(grid, tmp_path / "one"))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises, as in a terminal: what a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_loses_no_finished_cell(folder: Path, tmp_path: Path) -> None:
    grid = Grid(
        methods=["a", "b"], categories=[folder], seeds=range(10), settings=[{"seconds": 0.1}]
    )

    def press() -> None:
        wait_for(lambda: len(list(tmp_path.glob("cells/*.json"))) >= 3)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        small_run(grid, tmp_path, n_jobs=2)
    pressing.join()
    kept = len(list(tmp_path.glob("cells/*.json")))
    assert 3 <= kept < 20
    assert small_run(grid, tmp_path)["error"].isna().all()
    assert len(Fake.fits) == 20 - kept


def test_a_killed_local_process_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match="run the same again with fewer jobs: finished cells are kept"
    ):
        small_run(
            Grid(methods=["1-nn", "ocsvm"], categories=[folder]), tmp_path, make=deadly, n_jobs=2
        )


KILLED = """
import sys
from pathlib import Path
from tests.experiments.conftest import Lasting
from differnet_course.experiments import Grid, run
folder, out = sys.argv[1:]
run(
    Grid(methods=["a"], categories=[folder], seeds=[0, 1]),
    out, make=Lasting, n_jobs=2, cache=None, progress=False,
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_local_processes_end_with_a_killed_parent(folder: Path, tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH')}"}
    command = [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "out")]
    parent = subprocess.Popen(
        command, env=environment | {"BEGUN": str(tmp_path)}, stderr=subprocess.DEVNULL
    )

    def begun() -> list[int]:
        return [int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal()]

    def there(process: int) -> bool:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        return True

    try:
        wait_for(lambda: len(begun()) == 2, seconds=120)
        assert all(map(there, begun()))
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not any(map(there, begun())))


def wait_for(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two worker processes on 127.0.0.1, each with a nanny that starts it anew."""
    distributed = pytest.importorskip(
        "distributed", reason="Dask is not installed; pip install 'differnet_lite[experiments]'"
    )
    import dask

    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "silence_logs": 50,
    }
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**options) as cluster,
    ):
        yield cluster


def test_a_killed_dask_worker_changes_nothing(folder: Path, tmp_path: Path, cluster: Any) -> None:
    from distributed import Client

    grid = Grid(
        methods=["a", "b"], categories=[folder], seeds=range(10), settings=[{"seconds": 0.1}]
    )
    with Client(cluster) as client:
        victim = min(client.run(os.getpid).values())

        def kill() -> None:
            wait_for(lambda: len(list(tmp_path.glob("dask/cells/*.json"))) >= 4)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            table = small_run(grid, tmp_path / "dask", n_jobs=None)
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert table["error"].isna().all()
    same_tables(table, small_run(grid, tmp_path / "local"))


def test_a_cell_that_kills_every_dask_worker_is_a_failed_cell(
    folder: Path, tmp_path: Path, cluster: Any
) -> None:
    assert (
        main(
            [
                "table1",
                "--categories",
                str(folder),
                "--methods",
                "1-nn",
                "ocsvm",
                "--seeds",
                "2",
                "--out",
                str(tmp_path),
                "--no-progress",
                "--scheduler",
                cluster.scheduler_address,
            ],
            make=deadly,
        )
        == 0
    )
    table = pd.read_csv(tmp_path / "table1.csv")
    assert table["error"].notna().tolist() == [False, True] * 2
    assert table["error"][1].startswith("KilledWorker: ")
