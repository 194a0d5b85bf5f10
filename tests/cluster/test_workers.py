"""What a worker does besides scoring: memory that is freed stays for the next batch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from differnet_lite.cluster.workers import keep_freed_memory

def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        torch.ones(1_000_000)  # 4 MB: a thousand pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages()
print(pages())
keep_freed_memory()
pages()
print(pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(("given", "kept"), [("65536", True), ("131072", False)])
def test_dasks_trimming_is_undone_and_another_value_left_alone(given: str, kept: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=os.environ | {"MALLOC_TRIM_THRESHOLD_": given},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, done.stdout.split())
    assert before > 10_000, "each tensor's pages are taken from the system anew"
    assert after < 1_000 if kept else after > 10_000
