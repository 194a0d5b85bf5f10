"""Folders that are not what they should be: copies, links, odd names, layouts (1, 8 and 12)."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from differnet_course.experiments.grid import fingerprint
from differnet_lite import DifferNet, load_category
from differnet_lite.evaluation import evaluate
from differnet_lite.folders import load_mask
from differnet_lite.listing import list_images
from tests.hostile.harness import SEEDS, Case

NAMES = (
    "=cmd.png",
    "@SUM(A1).png",
    "+1.png",
    "-1.png",
    "\x1b[2J.png",
    "a\nb.png",
    "tab\there.png",
    " space.png",
    "trailing .png",
    "ünïcödé.png",
    "画像.png",
    "🙂.png",
    "a" * 240 + ".png",
    "CON.png",
    "aux.png",
    "a:b.png",
    "a*b?.png",
    'quote".png',
    "back\\slash.png",
    "<b>.png",
    "%20.png",
    "$HOME.png",
    "`id`.png",
    "; rm -rf x.png",
    "a..png",
    "-rf.png",
    "~.png",
    "\u202egnp.png",
    "e\u0301.png",
    "\udcff.png",
    "UPPER.PNG",
    "two.dots.png",
    "#1.png",
    "&amp;.png",
)


def picture(s: Any, seed: int, path: Path, size: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(s.picture(seed, size)).save(path, format="PNG")
    return path


def fitted(s: Any, images: Any, **options: Any) -> DifferNet:
    return DifferNet(**s.tiny | {"calibration": "split", "reference_images": 0} | options).fit(
        images
    )


def copied(s: Any, again: Callable[[Image.Image, Path], None]) -> DifferNet:
    """A model of 12 photographs, each with a copy in the folder."""
    for k in range(12):
        path = picture(s, k, s.folder / "f" / f"{k}.png", 128)
        with Image.open(path) as image:
            again(image, path)
    return fitted(s, s.folder / "f")


def same_bytes(image: Image.Image, path: Path) -> None:
    shutil.copy(path, path.with_name(f"copy of {path.name}"))


def linked(image: Image.Image, path: Path) -> None:
    path.with_name(f"link {path.name}").symlink_to(path)


def hard(image: Image.Image, path: Path) -> None:
    os.link(path, path.with_name(f"hard {path.name}"))


def as_jpeg(image: Image.Image, path: Path) -> None:
    image.save(
        path.with_suffix(".jpg"), quality=95, subsampling=0
    )  # these colours are wilder than a photograph's


def as_bmp(image: Image.Image, path: Path) -> None:
    image.save(path.with_suffix(".bmp"))


def smaller(image: Image.Image, path: Path) -> None:
    image.resize((100, 100), Image.Resampling.LANCZOS).save(path.with_name(f"s{path.name}"))


def larger(image: Image.Image, path: Path) -> None:
    image.resize((200, 200), Image.Resampling.BICUBIC).save(path.with_name(f"l{path.name}"))


def in_a_folder(image: Image.Image, path: Path) -> None:
    (path.parent / "deep").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / "deep" / path.name)


def copies() -> Iterator[Case]:
    """Copies never stand on both sides of a split."""
    for again in (same_bytes, linked, hard, in_a_folder):
        yield Case(
            "1 copies",
            again.__name__,
            functools.partial(copied, again=again),
            "right",
            lambda model: model.n_train_ + len(model.calibration_scores_) == 12,
            "same content",
        )
    for again in (as_jpeg, as_bmp, smaller, larger):
        yield Case(
            "1 copies",
            again.__name__,
            functools.partial(copied, again=again),
            "right",
            lambda model: model.n_train_ % 2 == 0,
            "near copies",
        )

    def looped_folder(s: Any) -> int:
        for k in range(4):
            picture(s, k, s.folder / "f" / f"{k}.png")
        (s.folder / "f" / "self").symlink_to(s.folder / "f")
        return len(list_images(s.folder / "f"))

    def calibration_is_training(s: Any) -> Any:
        for k in range(6):
            picture(s, k, s.folder / "f" / f"{k}.png")
        model = DifferNet(**s.tiny | {"reference_images": 0})
        return len(model.fit(s.folder / "f", calibration=s.folder / "f").calibration_scores_)

    def one_image_thrice(s: Any) -> Any:
        return fitted(s, [s.picture(0)] * 3)

    yield Case(
        "1 copies",
        "link to a sub-folder",
        lambda s: fitted(s, _linked(s)),
        "right",
        lambda m: m.n_train_ + len(m.calibration_scores_) == 6,
    )
    yield Case("1 copies", "link to a folder above", looped_folder, "right", lambda n: n == 4)
    yield Case(
        "1 copies",
        "calibration among training",
        calibration_is_training,
        "right",
        lambda n: n == 0,
        "cannot calibrate",
    )
    yield Case("1 copies", "one image thrice", one_image_thrice)


def _linked(s: Any) -> Path:
    for k in range(6):
        picture(s, k, s.folder / "f" / "a" / f"{k}.png")
    (s.folder / "f" / "b").symlink_to(s.folder / "f" / "a")
    return s.folder / "f"


def names() -> Iterator[Case]:
    """Names that mean something to somebody else."""
    for name in NAMES:
        yield Case(
            "14 names",
            repr(name),
            functools.partial(_scored, name),
            "right",
            lambda found: found.shape == (1,) and bool(np.isfinite(found).all()),
        )


def _scored(name: str, s: Any) -> np.ndarray:
    picture(s, 1, s.folder / "f" / name)
    return s.model.anomaly_scores(s.folder / "f")


Change = Callable[[Any, Path], Any]


def changed(change: Change, use: Callable[[Path], Any], s: Any) -> Any:
    root = s.folder / "part"
    shutil.copytree(s.category, root)
    change(s, root)
    return use(root)


def move(source: str, target: str) -> Change:
    def change(s: Any, root: Path) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / source).rename(root / target)

    return change


def remove(*places: str) -> Change:
    def change(s: Any, root: Path) -> None:
        for place in places:
            shutil.rmtree(root / place)

    return change


def write(place: str, content: bytes = b"x") -> Change:
    def change(s: Any, root: Path) -> None:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)

    return change


def emptied(place: str) -> Change:
    def change(s: Any, root: Path) -> None:
        shutil.rmtree(root / place)
        (root / place).mkdir()

    return change


def pipe(place: str) -> Change:
    def change(s: Any, root: Path) -> None:
        os.mkfifo(root / place)

    return change


def layouts() -> Iterator[Case]:
    """Categories that lack something, or have too much."""
    refused: dict[str, Change] = {
        "test/Good": move("test/good", "test/Good"),
        "test/GOOD": move("test/good", "test/GOOD"),
        "test/good with a space": move("test/good", "test/good "),
        "train/Good": move("train/good", "train/Good"),
        "no train": remove("train"),
        "train empty": emptied("train/good"),
        "an empty image": write("train/good/e.png", b""),
        "an empty test image": write("test/good/e.png", b""),
        "two images and one mask": write("test/dent/0.jpg", b"x"),
        "images in train itself": lambda s, r: (
            (r / "train/good").rename(r / "x"),
            (r / "train").rmdir(),
            (r / "x").rename(r / "train"),
        ),
    }
    for name, change in refused.items():
        run = functools.partial(changed, change, load_category)
        yield Case("8 layouts", name, run)
    noted: dict[str, tuple[Change, str]] = {
        "a text among images": (write("train/good/notes.txt"), "ignored"),
        "a folder among images": (lambda s, r: (r / "train/good/more.png").mkdir(), "ignored"),
        "a file beside the kinds": (write("test/readme.md"), "ignored"),
        "a pipe among images": (pipe("train/good/p.png"), "ignored"),
        "a pipe among test images": (pipe("test/good/p.png"), "ignored"),
        "a pipe beside the kinds": (pipe("test/p"), "ignored"),
        "hidden files": (write("train/good/.hidden.png"), "ignored"),
        "a Thumbs.db": (write("train/good/Thumbs.db"), "ignored"),
        "masks of another spelling": (
            move("ground_truth/dent", "ground_truth/Dent"),
            "masks without images",
        ),
        "masks of a kind that is not there": (remove("test/dent"), "masks without images"),
        "a link to nothing": (
            lambda s, r: (r / "train/good/l.png").symlink_to("nowhere"),
            "ignored",
        ),
        "a loop of links": (lambda s, r: (r / "train/good/l.png").symlink_to("l.png"), "ignored"),
    }
    for name, (change, note) in noted.items():
        run = functools.partial(changed, change, load_category)
        yield Case("8 layouts", name, run, "right", lambda found: len(found.train) == 12, note)
    scored: dict[str, Change] = {
        "no test": remove("test"),
        "no good test images": remove("test/good"),
        "no defects": remove("test/dent"),
        "test empty": emptied("test"),
        "defects empty": emptied("test/dent"),
    }
    for name, change in scored.items():
        for use in (evaluate,):
            run = functools.partial(_evaluated, change, use)
            yield Case("8 layouts", f"evaluate with {name}", run)
    broken: dict[str, Change] = {
        "a black mask": lambda s, r: Image.new("L", (64, 64)).save(
            r / "ground_truth/dent/0_mask.png"
        ),
        "a damaged mask": write("ground_truth/dent/0_mask.png", b"no image"),
        "a pipe as mask": lambda s, r: (
            (r / "ground_truth/dent/0_mask.png").unlink(),
            os.mkfifo(r / "ground_truth/dent/0_mask.png"),
        ),
        "a NaN in a mask": lambda s, r: Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(
            r / "ground_truth/dent/0_mask.png", format="TIFF"
        ),
        "black masks alone": lambda s, r: [
            Image.new("L", (64, 64)).save(r / f"ground_truth/dent/{k}_mask.png") for k in range(3)
        ],
    }
    for name, change in broken.items():
        run = functools.partial(
            _evaluated, change, functools.partial(evaluate, maps=True, method="gradient")
        )
        expect = "either" if name in ("a black mask", "a pipe as mask") else "refused"
        yield Case("8 layouts", f"evaluate maps with {name}", run, expect)
    yield Case("6 fingerprints", "content swapped, names and sizes kept", _swapped, "right", bool)
    yield Case("6 fingerprints", "same content elsewhere", _moved, "right", bool)
    for seed in range(10 * SEEDS):
        yield Case(
            "8 masks",
            f"random shape and mode {seed}",
            functools.partial(_mask, seed),
            "right",
            bool,
        )


def _evaluated(change: Change, use: Callable[..., Any], s: Any) -> Any:
    return changed(change, lambda root: use(s.model, root), s)


def _swapped(s: Any) -> bool:
    root = s.folder / "part"
    shutil.copytree(s.category, root)
    before = fingerprint(load_category(root))
    file = root / "train" / "good" / "0.png"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return fingerprint(load_category(root)) != before


def _moved(s: Any) -> bool:
    shutil.copytree(s.category, s.folder / "elsewhere" / "part")
    there = load_category(s.folder / "elsewhere" / "part")
    return fingerprint(there) == fingerprint(load_category(s.category))


def _mask(seed: int, s: Any) -> bool:
    """A mask of any mode is where it is not zero."""
    rng = np.random.default_rng(seed)
    marked = rng.random(tuple(rng.integers(1, 20, 2))) < 0.5
    mode = ("L", "1", "RGB", "I;16", "LA", "P")[seed % 6]
    image = Image.fromarray(marked.astype(np.uint8) * int(rng.integers(1, 256)))
    if mode == "I;16":
        image = Image.fromarray(marked.astype(np.uint16))
    elif mode == "P":
        image = Image.fromarray(marked.astype(np.uint8) * 255).convert("P")
    elif mode != "L":
        image = Image.fromarray(marked.astype(np.uint8) * 255).convert(mode)
    image.save(s.folder / "m.png")
    h, w = marked.shape
    big = int(np.lcm(h, w))
    expected = np.kron(marked, np.ones((big // h, big // w), bool))
    return bool((load_mask(s.folder / "m.png", big) == expected).all())


def cases() -> Iterator[Case]:
    yield from copies()
    yield from names()
    yield from layouts()
