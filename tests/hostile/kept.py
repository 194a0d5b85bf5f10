"""Kept features and results that are damaged, of another image, or no files (3, 6, 12 and 14)."""

from __future__ import annotations

import functools
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from differnet_course.experiments.grid import Cell
from differnet_course.experiments.storing import read_row, write_row
from differnet_course.samples import make_sample_category
from differnet_lite import Transformations
from differnet_lite.cache import FeatureCache
from tests.hostile.harness import SEEDS, Case

ANGLES = (0.0, 90.0)
Damage = Callable[[list[Path]], Any]


def cache(s: Any, folder: Path | None) -> FeatureCache:
    return FeatureCache(s.extractor, Transformations(), folder=folder, progress=False)


def again(damage: Damage, s: Any) -> bool:
    """Features after damage to what is kept of three images: still those of the images."""
    images = sorted(s.photographs.iterdir())[:3]
    before = cache(s, s.folder / "kept").features(images, ANGLES)
    damage(sorted((s.folder / "kept").rglob("*.features")))
    after = cache(s, s.folder / "kept").features(images, ANGLES)
    return torch.allclose(
        after, before, rtol=1e-4, atol=1e-5
    )  # in another batch, other last digits


def replaced(make: Callable[[Path], Any]) -> Damage:
    def damage(files: list[Path]) -> None:
        files[0].unlink()
        make(files[0])

    return damage


def rewritten(change: Callable[[bytes], bytes]) -> Damage:
    return lambda files: files[0].write_bytes(change(files[0].read_bytes()))


def swapped(files: list[Path]) -> None:
    first, second = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(second)
    files[1].write_bytes(first)


def of_another_store(files: list[Path]) -> None:
    """The same image's features under other settings, in this store's place."""
    shutil.copytree(files[0].parents[1], files[0].parents[2] / "other")
    other = files[0].parents[2] / "other" / files[0].parent.name / files[0].name
    content = bytearray(other.read_bytes())
    content[40] ^= 255
    files[0].write_bytes(bytes(content))


def forget_everything(files: list[Path]) -> None:
    shutil.rmtree(files[0].parents[1])


def bind(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind("s")
        os.rename("s", path.name)
    finally:
        os.chdir(here)


def _flipped(seed: int, content: bytes) -> bytes:
    rng, changed = np.random.default_rng(seed), bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


NOTED: dict[str, Damage] = {
    "empty": rewritten(lambda _: b""),
    "cut": rewritten(lambda c: c[:-1]),
    "longer": rewritten(lambda c: c + b"\0"),
    "zeros": rewritten(lambda c: bytes(len(c))),
    "text": rewritten(lambda _: b"not features"),
    "header only": rewritten(lambda c: c[:32]),
    "a NumPy header": rewritten(lambda _: b"\x93NUMPY\x01\0v\0{'descr': '<f4', (((("),
    "a pickle": rewritten(lambda _: b"\x80\x04\x95cos\nsystem\n(S'true'\ntR."),
    "NaN": rewritten(lambda c: c[:32] + np.full((len(c) - 32) // 4, np.nan, "<f4").tobytes()),
    "of another image": swapped,
    "of other settings": of_another_store,
    "a pipe": replaced(os.mkfifo),
    "a folder": replaced(os.mkdir),
    "a socket": replaced(bind),
    "a link to itself": replaced(lambda p: p.symlink_to(p.name)),
    "a link to /dev/zero": replaced(lambda p: p.symlink_to("/dev/zero")),
    "a link to a password": replaced(lambda p: p.symlink_to("/etc/hostname")),
}
SILENT: dict[str, Damage] = {
    "gone": forget_everything,
    "what.json a pipe": lambda files: (
        (files[0].parents[1] / "what.json").unlink(),
        os.mkfifo(files[0].parents[1] / "what.json"),
    ),
    "what.json empty": lambda files: (files[0].parents[1] / "what.json").write_bytes(b""),
    "what.json gone": lambda files: (files[0].parents[1] / "what.json").unlink(),
    "a stray file": lambda files: (files[0].parent / "stray").write_bytes(b"x"),
    "a half-written one": lambda files: (files[0].parent / ".ab.tmp").write_bytes(b"x"),
}


def places() -> Iterator[Case]:
    """Folders in which nothing can be kept: the work goes on without, and says so."""

    def tried(make: Callable[[Path], Any], s: Any) -> bool:
        place = s.folder / "kept"
        make(place)
        images = sorted(s.photographs.iterdir())[:2]
        plain = cache(s, None).features(images, ANGLES)
        return torch.equal(cache(s, place).features(images, ANGLES), plain)

    kinds: dict[str, Callable[[Path], Any]] = {
        "a file": lambda p: p.write_bytes(b"x"),
        "a pipe": os.mkfifo,
        "a link to nothing in a folder that is not there": lambda p: p.symlink_to(
            "/nowhere/at/all"
        ),
        "a link to itself": lambda p: p.symlink_to(p.name),
        "a link to /proc": lambda p: p.symlink_to("/proc"),
        "a link to /dev/null": lambda p: p.symlink_to("/dev/null"),
    }
    for name, make in kinds.items():
        yield Case(
            "14 kept features",
            f"folder is {name}",
            functools.partial(tried, make),
            "right",
            bool,
            "cannot be kept",
        )


def rows() -> Iterator[Case]:
    """Rows of experiments: another's is none, a damaged one is said and done again."""
    cell = Cell("1-nn", "/data/part", 0, "{}", None, "0")

    def read(write: Callable[[Path], Any], s: Any) -> Any:
        write(s.folder / "row.json")
        found = read_row(s.folder / "row.json", cell)
        if not (s.folder / "row.json").is_dir():
            write_row(s.folder / "row.json", {"key": "new"})
            assert (s.folder / "row.json").is_file()
        return found

    kinds: dict[str, Callable[[Path], Any]] = {
        "empty": lambda p: p.write_bytes(b""),
        "a list": lambda p: p.write_text("[]"),
        "100,000 brackets": lambda p: p.write_text("[" * 100_000 + "]" * 100_000),
        "no UTF-8": lambda p: p.write_bytes(b"\xff\xfe{}"),
        "null": lambda p: p.write_text("null"),
        "another cell": lambda p: p.write_text('{"key": "another"}'),
        "a pipe": os.mkfifo,
        "a folder": os.mkdir,
        "a link to itself": lambda p: p.symlink_to(p.name),
        "a link to /dev/zero": lambda p: p.symlink_to("/dev/zero"),
        "a huge number": lambda p: p.write_text("1" * 5000),
    }
    for name, write in kinds.items():
        note = None if name == "a link to itself" else "damaged"
        yield Case(
            "14 kept results",
            name,
            functools.partial(read, write),
            "right",
            lambda row: row is None,
            note,
        )


def samples() -> Iterator[Case]:
    """A folder that only looks like one of ours."""

    def made(write: Callable[[Path], Any], s: Any) -> Any:
        (s.folder / "flange").mkdir()
        write(s.folder / "flange" / "manifest.json")
        return make_sample_category(
            "flange", s.folder, n_train=1, n_test_good=0, n_per_defect=0, progress=False
        )

    kinds: dict[str, Callable[[Path], Any]] = {
        "no manifest": lambda p: None,
        "empty manifest": lambda p: p.write_bytes(b""),
        "manifest a pipe": os.mkfifo,
        "manifest a list": lambda p: p.write_text("[]"),
        "manifest of 100,000 brackets": lambda p: p.write_text("[" * 100_000),
        "manifest of another": lambda p: p.write_text('{"category": "weave"}'),
        "manifest a link to /dev/zero": lambda p: p.symlink_to("/dev/zero"),
    }
    for name, write in kinds.items():
        yield Case(
            "14 kept results", f"sample category with {name}", functools.partial(made, write)
        )


def cases() -> Iterator[Case]:
    for name, damage in NOTED.items():
        yield Case(
            "3 kept features", name, functools.partial(again, damage), "right", bool, "damaged"
        )
    for name, damage in SILENT.items():
        yield Case("3 kept features", name, functools.partial(again, damage), "right", bool)
    for seed in range(10 * SEEDS):
        flip = rewritten(functools.partial(_flipped, seed))
        yield Case(
            "3 kept features",
            f"a flipped bit, {seed}",
            functools.partial(again, flip),
            "right",
            bool,
            "damaged",
        )
    yield from places()
    yield from rows()
    yield from samples()
