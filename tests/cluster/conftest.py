"""A Dask cluster in this process, and a model that is fitted and scores in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_lite.model import DifferNet

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed; pip install 'differnet_lite[cluster]'"
)
pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed; pip install 'differnet_lite[cluster]'"
)


@pytest.fixture(scope="session")
def local_cluster() -> Callable[..., Any]:
    """local_cluster(processes=False) starts a scheduler and two workers on 127.0.0.1."""

    def start(**options: Any) -> Any:
        common = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1"}
        quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50, "protocol": "tcp"}
        return distributed.LocalCluster(**(common | quiet | options))

    return start


@pytest.fixture(scope="session")
def scheduler(local_cluster: Callable[..., Any]) -> Iterator[str]:
    """The address of a cluster whose workers are threads of this process."""
    with local_cluster(processes=False) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]) -> Path:
    """20 different small photographs; tests read them and never change them."""
    root = tmp_path_factory.mktemp("cluster") / "photographs"
    root.mkdir()
    for k in range(20):
        Image.fromarray(picture(k)).save(root / f"{k:02d}.png")
    return root


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, folder: Path, tiny: dict[str, Any]) -> Path:
    """A model file of a calibrated model."""
    model = DifferNet(**tiny | {"reference_images": 0}).fit(sorted(folder.iterdir())[:10])
    return model.save(tmp_path_factory.mktemp("model") / "m.safetensors")
