"""A model from a stranger reaches for nothing: no network, no other file, little memory."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import differnet_lite
from differnet_lite import DifferNet
from tests.hostile.methods import At
from tests.hostile.models import HEADERS, TENSORS, Forge, forged, put

REACHING: dict[str, Forge] = {
    name: forge
    for name, forge in (HEADERS | TENSORS).items()
    if "weights" in name or "backbone" in name or "trunk" in name
}
WATCHED: dict[str, list[str] | None] = {"opened": None}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHED["opened"] is not None and event in ("open", "socket.connect", "subprocess.Popen"):
        WATCHED["opened"].append(f"{event} {arguments[0]}")


sys.addaudithook(_watch)  # for good, and silent but in `opened`


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is opened meanwhile; and there is no network."""

    def no_network(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was asked for")

    monkeypatch.setattr(socket, "socket", no_network)
    WATCHED["opened"] = []
    yield WATCHED["opened"]
    WATCHED["opened"] = None


@pytest.mark.parametrize("name", ["as it is", *REACHING])
def test_nothing_else_is_opened(
    name: str, surroundings: Any, opened: list[str], tmp_path: Path
) -> None:
    path = forged(REACHING.get(name, lambda header, tensors: None), surroundings)
    opened.clear()
    try:
        DifferNet.load(path, device="cpu", cache=None, progress=False)
    except ValueError:
        assert name != "as it is"
    ours = (str(path), str(Path(differnet_lite.__file__).parent))
    python = tuple(sysconfig.get_paths().values()) + (
        sys.prefix,
        sys.base_prefix,
        "/proc/",
        "/sys/",
    )
    strange = [
        what for what in opened if not what.startswith(tuple(f"open {p}" for p in (*ours, *python)))
    ]
    assert strange == []


HUGE: dict[str, Forge] = {
    "many blocks": put("settings", "n_blocks", value=1000),
    "wide": put("settings", "hidden", value=65536),
    "a large image": put("settings", "size", value=4096),
    "another trunk": put("settings", "backbone", value="regnet_y_128gf"),
    "random weights": put("settings", "weights", value="random"),
}

MEASURE = """
    import json, resource, sys
    from differnet_course.baselines import load_detector
    def load(path):
        try:
            load_detector(path, device="cpu", cache=None, progress=False)
        except ValueError:
            pass
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    first, *others = sys.argv[1:]
    before = load(first), load(first)
    print(json.dumps([load(path) - before[1] for path in others]))
"""


def test_memory_is_bounded_by_the_file(surroundings: Any, tmp_path: Path) -> None:
    """The peak grows by four times the file at most, beyond what a small model took before."""
    tiny = {name: value for name, value in surroundings.tiny.items() if name != "hidden"}
    large = DifferNet(**tiny | {"epochs": 1, "n_blocks": 4}, hidden=512, calibration="split")
    large.fit(surroundings.photographs).save(tmp_path / "large.safetensors")
    files = [tmp_path / "large.safetensors"]
    for name, forge in HUGE.items():
        path = forged(_with_trunk(forge), _At(surroundings, files[0], tmp_path / name))
        files.append(path)
    network = At("autoencoder-l2", _At(surroundings, files[0], tmp_path / "a network"))
    files.append(forged(put("settings", "width", value=1024), network))
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEASURE), str(surroundings.saved), *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown = json.loads(found.stdout)
    assert [
        (f.name, g) for f, g in zip(files, grown, strict=True) if g > 4 * f.stat().st_size
    ] == []


def _with_trunk(forge: Forge) -> Forge:
    """A header that tells one story: the trunk's name has the size that the settings ask for."""

    def both(header: dict[str, Any], tensors: dict[str, Any]) -> None:
        forge(header, tensors)
        size = header["settings"]["size"]
        header["trunk"] = header["trunk"].replace("/64px/", f"/{size}px/")

    return both


class _At:
    """Surroundings with another model, in a folder of its own."""

    def __init__(self, surroundings: Any, saved: Path, folder: Path) -> None:
        folder.mkdir()
        self.saved, self.folder, self.picture = saved, folder, surroundings.picture
        self.photographs = surroundings.photographs
