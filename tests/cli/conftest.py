"""The command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """run("score", ...) runs `python -m differnet_lite score ...`."""

    def start(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "differnet_lite", *map(str, arguments)]
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.run(command, check=False, **(given | options))

    return start
