"""Files, folders and arrays as a list of images; and what the names of folders mean."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from differnet_lite.images import ImageError, ImageLike, Source, image_suffixes

# fmt: off
__all__ = [
    "BAD", "GOOD", "MASKS", "TEST", "TRAIN", "Counts", "DatasetError", "Images", "as_images",
    "existing", "images_below", "images_in", "left_out", "list_images", "listed", "masked_name",
    "named", "natural_order", "note_others", "some_names", "sub_folders", "word",
]
# fmt: on

Images: TypeAlias = "ImageLike | Iterable[ImageLike]"
Counts: TypeAlias = "tuple[tuple[str, int], ...]"

# names of folders, in small letters and with _ between words
GOOD = ("good", "ok", "okay", "normal", "pass", "passed")
MASKS = ("ground_truth", "groundtruth", "gt", "mask", "masks")
TRAIN = ("train", "training")
TEST = ("test", "tests", "testing", "val", "valid", "validation")
BAD = (
    *("bad", "ng", "nok", "not_ok", "abnormal", "anomalous", "anomaly", "anomalies", "defect"),
    *("defects", "defective", "fail", "failed", "faulty", "reject", "rejects", "rejected", "scrap"),
)


class DatasetError(ValueError):
    """A folder that does not hold what it should."""


def as_images(images: Images) -> list[ImageLike]:
    """Anything that a method takes as a list of images; one image is one image.

    Args:
        images: a file, or a folder with its sub-folders; the bytes of a file, a Pillow image; an
            array (H, W) or (H, W, 1 to 4), or a tensor (1 to 4, H, W): one image each; an array
            (N, H, W, 1 to 4) or a tensor (N, 1 to 4, H, W): N images; or a list of such images.

    Raises:
        FileNotFoundError, DatasetError: see `list_images`.
        ImageError: an array is neither one image nor many.
        TypeError: it is none of these.
    """
    if isinstance(images, str | os.PathLike):
        return list(list_images(images))
    if isinstance(images, bytes | io.BytesIO | Image.Image | Source):
        return [images]
    if isinstance(images, np.ndarray | Tensor):
        channels_last = isinstance(images, np.ndarray)
        channels = images.shape[-1 if channels_last else -3] if images.ndim > 2 else 1
        if images.ndim in (2, 3) and 1 <= channels <= 4:
            return [images]
        if images.ndim == 4 and 1 <= channels <= 4:
            return list(images)
        shape = "([N,] H, W, 1 to 4)" if channels_last else "([N,] 1 to 4, H, W)"
        raise ImageError(
            f"images: expected one image (H, W), or one or N images {shape}, got shape "
            f"{tuple(images.shape)}; for many grey images add an axis of length 1, or pass a list"
        )
    if isinstance(images, Mapping | Set) or not isinstance(images, Iterable):
        raise TypeError(
            f"images: expected a path, an image or a list of images, got {type(images).__name__}"
        )
    return list(images)


def list_images(source: str | os.PathLike[str]) -> list[Path]:
    """The images of a folder and its sub-folders, to be scored; or the one file that is named.

    They are in natural order. Folders of masks are left out, and a warning says so.

    Raises:
        FileNotFoundError: there is nothing of that name.
        DatasetError: the folder holds no image.
    """
    if Path(source).is_file():
        return [Path(source)]
    root = existing(source)
    paths = images_below(root, without=MASKS)
    if not paths:
        raise DatasetError(f"{root}: expected images ({', '.join(image_suffixes())}), found none")
    note_others(root, _folders_below(root, without=MASKS))
    masks = left_out(root, paths)
    if masks:
        warnings.warn(f"{root}: folders of masks are left out: {listed(masks)}", stacklevel=2)
    return paths


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """In natural order: 2 before 10."""

    def key(path: Path) -> list[str | int]:
        parts = re.split(r"(\d+)", path.as_posix())
        return [int(part) if part.isdecimal() else part for part in parts]

    return sorted(paths, key=key)


def some_names(paths: Sequence[Path]) -> str:
    """Up to three names, for a message."""
    return ", ".join([path.name for path in paths[:3]] + ["..."] * (len(paths) > 3))


def existing(path: str | os.PathLike[str]) -> Path:
    """The folder; `FileNotFoundError` if there is none."""
    if not Path(path).is_dir():
        raise FileNotFoundError(f"{path}: there is no such file or folder of images")
    return Path(path)


def word(folder: Path) -> str:
    """The name of a folder as in the lists above."""
    return re.sub(r"[\s_-]+", "_", folder.name.strip().casefold())


def sub_folders(folder: Path) -> list[Path]:
    """The sub-folders that are not hidden."""
    inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return natural_order(inside)


def named(folder: Path, words: Sequence[str]) -> list[Path]:
    """The sub-folders whose name is one of these words."""
    return [inside for inside in sub_folders(folder) if word(inside) in words]


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder, but for masks of others: NAME_mask.* beside NAME.*."""
    suffixes = image_suffixes()
    files = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.is_dir()]
    stems = {path.stem for path in files}
    masks = {p for p in files if masked_name(p.stem) in stems - {p.stem}}
    return natural_order(p for p in files if p not in masks and not p.name.startswith("."))


def masked_name(stem: str) -> str:
    """The name of the image whose mask has this name: a of a_mask, a-gt, a."""
    return re.sub("[_-](mask|gt)$", "", stem, flags=re.IGNORECASE)


def images_below(folder: Path, without: Sequence[str] = ()) -> list[Path]:
    """The images of a folder and its sub-folders, but for those with one of these names."""
    return [path for inside in _folders_below(folder, without) for path in images_in(inside)]


def note_others(root: Path, folders: Iterable[Path]) -> None:
    """Warn of files in these folders that are no images, or masks of images beside them."""
    others: list[Path] = []
    for folder in dict.fromkeys(folders):
        images = images_in(folder)
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
        others += [path for path in natural_order(files) if path not in images]
    if others:
        what = "masks" if all(p.suffix.lower() in image_suffixes() for p in others) else "no images"
        warnings.warn(
            f"{root}: {len(others)} file(s) ignored, they are {what}: {some_names(others)}",
            stacklevel=3,
        )


def _folders_below(folder: Path, without: Sequence[str] = ()) -> list[Path]:
    """A folder and its sub-folders, each once however it is linked, in natural order."""
    seen = {folder.resolve()}
    folders = [folder]
    for parent in folders:
        for inside in sub_folders(parent):
            if inside.resolve() not in seen and word(inside) not in without:
                seen.add(inside.resolve())
                folders.append(inside)
    return [folder, *natural_order(folders[1:])]


def left_out(root: Path, chosen: Iterable[Path], without: Sequence[str] = ()) -> Counts:
    """Folders below `root` with other images than those chosen, and how many."""
    taken = set(chosen)
    parents = {parent for path in taken for parent in path.parents}
    counts: Counter[str] = Counter()
    for path in images_below(root, without):
        if path not in taken:
            above = [parent for parent in path.parents if root in parent.parents]
            others = [parent for parent in above if parent not in parents]
            folder = [*others[::-1], path.parent][0]
            counts[folder.relative_to(root).as_posix()] += 1
    return tuple(counts.items())


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Folders with their numbers of images, for a message: "NG/ (15), masks/ (15)"."""
    return ", ".join(f"{name}/ ({n})" for name, n in counts)
