"""Files, folders and arrays as a list of images; what the names of folders mean; what trains."""

from __future__ import annotations

import dataclasses
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

__all__ = ["Counts", "DatasetError", "Images", "TrainingSet", "as_images", "list_images"]
__all__ += ["training_images", "training_set"]

Images: TypeAlias = "ImageLike | Iterable[ImageLike]"
Counts: TypeAlias = "tuple[tuple[str, int], ...]"

# names of folders, in small letters and with _ between words
GOOD = ("good", "ok", "okay", "normal", "pass", "passed")
MASKS = ("ground_truth", "groundtruth", "gt", "mask", "masks")
TRAIN = ("train", "training")
TEST = ("test", "tests", "testing", "val", "valid", "validation")
BAD = ["bad", "ng", "nok", "not_ok", "abnormal", "anomalous", "anomaly", "anomalies", "defect"]
BAD += ["defects", "defective", "fail", "failed", "faulty", "reject", "rejects", "rejected"]
BAD += ["scrap"]
NOT_NORMAL = (*MASKS, *TEST, *BAD)


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
        ImageError, TypeError: an array is neither one image nor many; it is none of these.
    """
    if isinstance(images, str | os.PathLike):
        return list(list_images(images))
    if isinstance(images, bytes | io.BytesIO | Image.Image | Source):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype.kind in "UO":  # of paths
        return images.ravel().tolist()
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
        FileNotFoundError, DatasetError: there is nothing of that name; the folder holds no image.
    """
    if Path(source).is_file():
        return [Path(source)]
    root = existing(source)
    paths = images_below(root, without=MASKS)
    if not paths:
        raise DatasetError(f"{root}: expected images ({', '.join(image_suffixes())}), found none")
    note_others(root, _folders_below(root, without=MASKS))
    if masks := left_out(root, paths):
        warnings.warn(f"{root}: folders of masks are left out: {listed(masks)}", stacklevel=2)
    return paths


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The normal images of a folder, and what of it does not train."""

    images: tuple[ImageLike, ...]
    folder: str = ""  # where they lie, for messages; "" for a list of images
    left_out: Counts = ()  # folders of images that do not train, and how many each holds
    taken: Counts = ()  # sub-folders whose images train, and how many each holds

    def __str__(self) -> str:
        """One line: "training on 40 images of okng/OK; left out: NG/ (15), masks/ (15)"."""
        of = f" of {self.folder}" if self.folder else ""
        taken = f": {listed(self.taken)}" if self.taken else ""
        others = f"; left out: {listed(self.left_out)}" if self.left_out else ""
        return f"training on {len(self.images)} images{of}{taken}{others}"


def training_set(source: Images, *, recursive: bool = False) -> TrainingSet:
    """Which images of a folder train: by one rule, so that it is never a surprise.

    The first that there is: the normal images of train/; a sub-folder whose name means good; the
    images in the folder itself. Sub-folders beside them are left out. Anything else is refused,
    unless `recursive` takes the sub-folders whose names do not mean bad, test or mask.

    Args:
        source: a folder; or a file or images, as in `as_images`, which all train.
        recursive: whether images in sub-folders train, too.

    Raises:
        FileNotFoundError, DatasetError: there is no such folder; it holds no image, several
            categories, or it is not clear what is normal.
    """
    if not isinstance(source, str | os.PathLike) or Path(source).is_file():
        images = tuple(as_images(source))
        if not images:
            raise DatasetError("expected at least two normal images to train on, got none")
        return TrainingSet(images)
    root = existing(source)
    normal = normal_folder(root) or root
    categories = [folder for folder in sub_folders(root) if named(folder, (*TRAIN, *TEST))]
    if normal == root and categories:
        counts = [(folder.name, len(images_below(folder))) for folder in categories]
        raise DatasetError(
            f"{root}: expected one category, found {listed(counts)}; name one of them"
        )
    if recursive:
        chosen = images_below(normal, NOT_NORMAL)
    else:
        chosen = images_in(root) if normal == root else images_of(normal, NOT_NORMAL)
    if not chosen:
        inside = listed(left_out(root, [])) or "no image"
        raise DatasetError(
            f"{root}: expected normal images in it, in train/good/ or in a folder named "
            f"{', '.join(GOOD)}; found {inside}; name the folder of the normal images, or take "
            "all sub-folders with --recursive (in Python recursive=True)"
        )
    note_others(root, [path.parent for path in chosen])
    bad = [path for path in chosen if words(path.stem) & {*BAD}]
    if 0 < len(bad) < len(chosen):
        warnings.warn(
            f"{root}: {len(bad)} of the {len(chosen)} images that train have names that mean bad: "
            f"{some_names(bad)}",
            stacklevel=2,
        )
    folder = Path(root.resolve().name, normal.relative_to(root)).as_posix()
    parents = Counter(path.parent.relative_to(normal).as_posix() for path in chosen)
    taken = tuple(parents.items()) if set(parents) != {"."} else ()
    return TrainingSet(tuple(chosen), folder, left_out(root, chosen), taken)


def training_images(source: Images) -> list[ImageLike]:
    """The images of `training_set`."""
    return list(training_set(source).images)


def existing(path: str | os.PathLike[str]) -> Path:
    """The folder; `FileNotFoundError` if there is none."""
    if not Path(path).is_dir():
        raise FileNotFoundError(f"{path}: there is no such file or folder of images")
    return Path(path)


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """In natural order: 2 before 10."""

    def key(path: Path) -> list[str | int]:
        parts = re.split(r"(\d+)", path.as_posix())
        return [int(part) if part.isdecimal() else part for part in parts]

    return sorted(paths, key=key)


def some_names(paths: Sequence[Path]) -> str:
    """Up to three names, for a message."""
    return ", ".join([path.name for path in paths[:3]] + ["..."] * (len(paths) > 3))


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Folders with their numbers of images, for a message: "NG/ (15), masks/ (15)"."""
    return ", ".join(f"{name}/ ({n})" for name, n in counts)


def word(folder: Path) -> str:
    """The name of a folder as in the lists above."""
    return re.sub(r"[\s_-]+", "_", folder.name.strip().casefold())


def words(name: str) -> set[str]:
    """The words of a name in small letters: "NG-cam1" has ng and cam."""
    return {*re.split(r"[\W\d_]+", name.casefold())}


def means(folder: Path, names: Sequence[str]) -> bool:
    """Whether a folder has one of these names, or one of their words for bad: NG_cam1 has."""
    return word(folder) in names or bool(words(folder.name) & {*BAD} & {*names})


def sub_folders(folder: Path) -> list[Path]:
    """The sub-folders that are not hidden."""
    inside = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    return natural_order(inside)


def named(folder: Path, names: Sequence[str]) -> list[Path]:
    """The sub-folders that have one of these names."""
    return [inside for inside in sub_folders(folder) if word(inside) in names]


def normal_folder(root: Path) -> Path | None:
    """The folder of normal images, by its name, if there is one."""
    for train in named(root, TRAIN):
        normal = normal_folder(train)
        if normal is not None or images_in(train):
            return normal or train
    good = named(root, GOOD)
    return good[0] if len(good) == 1 else None


def images_in(folder: Path) -> list[Path]:
    """The images directly in a folder, but for masks of others: NAME_mask.* beside NAME.*."""
    suffixes = image_suffixes()
    files = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.is_dir()]
    stems = {path.stem for path in files}
    masks = {p for p in files if masked_name(p.stem) in stems - {p.stem}}
    return natural_order(p for p in files if p not in masks and not p.name.startswith("."))


def images_below(folder: Path, without: Sequence[str] = ()) -> list[Path]:
    """The images of a folder and its sub-folders, but for those with one of these names."""
    return [path for inside in _folders_below(folder, without) for path in images_in(inside)]


def images_of(folder: Path, without: Sequence[str]) -> list[Path]:
    """The images directly in a folder; or, if there are none, those of its sub-folders."""
    return images_in(folder) or images_below(folder, without)


def masked_name(stem: str) -> str:
    """The name of the image whose mask has this name: a of a_mask, a-gt, a."""
    return re.sub("[_-](mask|gt)$", "", stem, flags=re.IGNORECASE)


def note_others(root: Path, folders: Iterable[Path]) -> None:
    """Warn of files in these folders that are no images, or masks of images beside them."""
    others: list[Path] = []
    for folder in dict.fromkeys(folders):
        images = {*images_in(folder)}
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
        others += [path for path in natural_order(files) if path not in images]
    if others:
        what = "masks" if all(p.suffix.lower() in image_suffixes() for p in others) else "no images"
        warnings.warn(
            f"{root}: {len(others)} file(s) ignored, they are {what}: {some_names(others)}",
            stacklevel=3,
        )


def left_out(root: Path, chosen: Iterable[Path], without: Sequence[str] = ()) -> Counts:
    """Folders below `root` with other images than those chosen, and how many."""
    taken = set(chosen)
    parents = {root} | {parent for path in taken for parent in path.parents}
    counts: Counter[str] = Counter()
    for path in images_below(root, without):
        if path not in taken:
            folder = path.parent
            while not parents & {folder, folder.parent}:
                folder = folder.parent
            counts[folder.relative_to(root).as_posix()] += 1
    return tuple(counts.items())


def _folders_below(folder: Path, without: Sequence[str] = ()) -> list[Path]:
    """A folder and its sub-folders, each once however it is linked, in natural order."""
    seen = {folder.resolve()}
    folders = [folder]
    for parent in folders:
        for inside in sub_folders(parent):
            if inside.resolve() not in seen and not means(inside, without):
                seen.add(inside.resolve())
                folders.append(inside)
    return [folder, *natural_order(folders[1:])]
