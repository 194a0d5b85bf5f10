"""Archives that climb out of their folder, lie or never end, for `prepare` (class 12)."""

from __future__ import annotations

import functools
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from differnet_course.prepare import prepare_mtd, prepare_mvtec
from tests.hostile.harness import Case

Write = Callable[[Path], Any]


def tar(*members: tuple[str, bytes, str], mode: str = "w") -> Write:
    """Members: name, kind ("file", "link", "hard", "pipe", "device") and content or target."""

    def write(path: Path) -> None:
        kinds = {
            "file": tarfile.REGTYPE,
            "link": tarfile.SYMTYPE,
            "hard": tarfile.LNKTYPE,
            "pipe": tarfile.FIFOTYPE,
            "device": tarfile.CHRTYPE,
        }
        with tarfile.open(path, mode) as opened:  # type: ignore[call-overload]
            for name, content, kind in members:
                info = tarfile.TarInfo(name)
                info.type = kinds[kind]
                if kind == "file":
                    info.size = len(content)
                info.linkname = content.decode() if kind in ("link", "hard") else ""
                opened.addfile(info, io.BytesIO(content) if kind == "file" else None)

    return write


def zipped(*members: tuple[str, bytes]) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members:
                opened.writestr(name, content)

    return write


def linked_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("bottle/train/good")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc")


def raw(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


GOOD = ("bottle/train/good/0.png", b"x", "file")
ARCHIVES: dict[str, Write] = {
    "tar that climbs": tar(GOOD, ("../../escaped", b"x", "file")),
    "tar of an absolute path": tar(GOOD, ("/tmp/differnet_lite_escaped", b"x", "file")),
    "tar with a link outside": tar(GOOD, ("bottle/out", b"/etc", "link")),
    "tar through a link": tar(("bottle", b"..", "link"), ("bottle/escaped", b"x", "file")),
    "tar with a hard link outside": tar(GOOD, ("bottle/hard", b"/etc/passwd", "hard")),
    "tar with a pipe": tar(GOOD, ("bottle/pipe", b"", "pipe")),
    "tar with a device": tar(GOOD, ("bottle/device", b"", "device")),
    "tar with a file in a folder's place": tar(("bottle", b"x", "file"), GOOD),
    "tar of other things": tar(("readme.txt", b"x", "file")),
    "tar of an unknown category": tar(("mine/train/good/0.png", b"x", "file")),
    "tar of too few images": tar(GOOD),
    "tar, empty": tar(),
    "tar.gz of too few images": tar(GOOD, mode="w:gz"),
    "tar.xz of too few images": tar(GOOD, mode="w:xz"),
    "zip that climbs": zipped(("bottle/train/good/0.png", b"x"), ("../../escaped", b"x")),
    "zip of an absolute path": zipped(("/escaped", b"x"), ("bottle/train/good/0.png", b"x")),
    "zip of too few images": zipped(("bottle/train/good/0.png", b"x")),
    "zip of other things": zipped(("readme.txt", b"x")),
    "zip, empty": zipped(),
    "zip with a link": linked_zip,
    "zip with a backslash": zipped(("..\\..\\escaped", b"x")),
    "a text": raw(b"no archive"),
    "an empty file": raw(b""),
    "zeros": raw(bytes(20_000)),
    "xz cut short": raw(b"\xfd7zXZ\0\0\x04\xe6\xd6"),
    "gzip cut short": raw(b"\x1f\x8b\x08\0\0\0\0\0"),
    "gzip of nonsense": raw(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 100),
    "zip cut short": raw(b"PK\3\4" + bytes(30)),
    "a pipe": os.mkfifo,
    "an empty folder": os.mkdir,
    "nothing": lambda path: None,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a zip that lies of its size": lambda path: _lying(path),
}


def _lying(path: Path) -> None:
    zipped(("bottle/train/good/0.png", b"x" * 1000))(path)
    content = path.read_bytes()
    path.write_bytes(content.replace((1000).to_bytes(4, "little"), (10**9).to_bytes(4, "little")))


def unpacked(write: Write, s: Any) -> Any:
    """Whatever it is, it must be refused, with nothing left but what was there."""
    (s.folder / "in").mkdir()
    archive, root = s.folder / "in" / "archive", s.folder / "deep" / "out"
    write(archive)
    before = set(s.folder.rglob("*"))
    try:
        return prepare_mvtec(archive, root)
    finally:
        left = {p for p in s.folder.rglob("*") if p not in before} - {root, root.parent}
        assert not left, left
        assert not Path("/tmp/differnet_lite_escaped").exists()


def mtd(change: Callable[[Path, Path], Any], s: Any) -> Any:
    clone, split = s.folder / "clone", s.folder / "split.txt"
    for kind in ("Blowhole", "Break", "Crack", "Fray", "Uneven", "Free"):
        (clone / f"MT_{kind}" / "Imgs").mkdir(parents=True)
    split.write_text("a.jpg")
    change(clone, split)
    return prepare_mtd(clone, split, s.folder / "out")


MTD: dict[str, Callable[[Path, Path], Any]] = {
    "no images": lambda clone, split: None,
    "no split": lambda clone, split: split.unlink(),
    "split a pipe": lambda clone, split: (split.unlink(), os.mkfifo(split)),
    "split no text": lambda clone, split: split.write_bytes(b"\xff\xfe\x80" * 100),
    "split a folder": lambda clone, split: (split.unlink(), split.mkdir()),
    "a kind missing": lambda clone, split: (clone / "MT_Fray" / "Imgs").rmdir(),
}


def cases() -> Iterator[Case]:
    for name, write in ARCHIVES.items():
        yield Case("12 archives", name, functools.partial(unpacked, write))
    for name, change in MTD.items():
        yield Case("12 archives", f"mtd with {name}", functools.partial(mtd, change))
