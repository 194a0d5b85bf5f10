"""Files appear whole or not at all, and others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from differnet_lite.files import replacing


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_goes_wrong_on_the_way_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path, "x", encoding="utf-8") as file:
            file.write("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "ours"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")}
    assert len(modes) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such links")
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.bin", tmp_path / "link"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(Path("real", "a.bin"))
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "real") == ["a.bin"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
def test_a_full_device_is_an_error_and_stays_a_device() -> None:
    with pytest.raises(OSError, match="No space left"), replacing("/dev/full") as file:
        file.write(b"anything")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_straight(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe, "x", encoding="utf-8") as file:
        file.write("all of it")
    assert os.read(reader, 100) == b"all of it"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no names for descriptors")
@pytest.mark.parametrize("linked", [False, True])
def test_a_descriptor_that_leads_to_a_file_is_written_straight(
    tmp_path: Path, linked: bool
) -> None:
    log = tmp_path / "log.txt"
    with open(log, "w") as opened:  # as a shell's `> log.txt`
        opened.write("before ")
        opened.flush()
        path = Path(f"/dev/fd/{opened.fileno()}")
        if linked:
            (tmp_path / "link").symlink_to(path)
            path = tmp_path / "link"
        with replacing(path, "x") as file:
            file.write("ours ")
        opened.write("after")
    assert log.read_text() == "before ours after"


def test_a_file_whose_name_is_a_number_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"old")
    with replacing(tmp_path / "1") as file:
        file.write(b"new")
    assert (tmp_path / "1").read_bytes() == b"new"


def test_drafts_of_killed_processes_are_removed_when_they_are_old(tmp_path: Path) -> None:
    names = (f".{'a' * 32}.tmp", f".{'b' * 32}.tmp", ".notes.tmp")
    for name in names:
        (tmp_path / name).touch()
    for name in (names[0], names[2]):
        os.utime(tmp_path / name, (0, 0))
    with replacing(tmp_path / "a") as file:
        file.write(b"all of it")
    assert {path.name for path in tmp_path.iterdir()} == {"a", *names[1:]}
