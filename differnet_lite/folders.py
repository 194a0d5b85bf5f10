"""Folders of images: which of them are normal, which are to be scored, and where masks are.

The layout of MVTec AD, of which parts may be missing:

CATEGORY/train/good/*.png                    normal images to train on
CATEGORY/test/good/*.png                     normal images to test on
CATEGORY/test/DEFECT/*.png                   anomalous images, one folder a kind
CATEGORY/ground_truth/DEFECT/NAME_mask.png   where the defect of test/DEFECT/NAME.* is

The folders may have other names of the same meaning, see `GOOD` and the lists below it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from differnet_lite.checks import vector
from differnet_lite.images import ImageLike, digest
from differnet_lite.listing import (
    BAD,
    GOOD,
    MASKS,
    TEST,
    TRAIN,
    Counts,
    DatasetError,
    Images,
    as_images,
    existing,
    images_below,
    images_in,
    left_out,
    list_images,
    listed,
    masked_name,
    named,
    note_others,
    some_names,
    sub_folders,
    word,
)
from differnet_lite.masks import load_mask

# fmt: off
__all__ = [
    "GOOD", "Category", "DatasetError", "Images", "TrainingSet", "as_images", "check_normal",
    "list_images", "load_category", "load_mask", "training_images", "training_set",
]
# fmt: on
NOT_NORMAL = (*MASKS, *TEST, *BAD)


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """The normal images of a folder, and what of it does not train.

    Attributes:
        images: to train on.
        folder: where they lie, for messages; "" for a list of images.
        left_out: folders of images that do not train, and how many each holds.
    """

    images: tuple[ImageLike, ...]
    folder: str = ""
    left_out: Counts = ()

    def __str__(self) -> str:
        """One line: "training on 40 images of okng/OK; left out: NG/ (15), masks/ (15)"."""
        line = f"training on {len(self.images)} images"
        if self.folder:
            line += f" of {self.folder}"
        if self.left_out:
            line += f"; left out: {listed(self.left_out)}"
        return line


def training_set(source: Images, *, recursive: bool = False) -> TrainingSet:
    """Which images of a folder train: by one rule, so that it is never a surprise.

    The first that there is: the normal images of train/; a sub-folder whose name means good; the
    images in the folder itself. Sub-folders beside them are left out. Anything else is refused,
    unless `recursive` takes the sub-folders whose names do not mean bad, test or mask.

    Args:
        source: a folder; or a file or images, as in `as_images`, which all train.
        recursive: whether images in sub-folders train, too.

    Raises:
        FileNotFoundError: there is no such folder.
        DatasetError: it holds no image, several categories, or it is not clear what is normal.
    """
    if not isinstance(source, str | os.PathLike) or Path(source).is_file():
        images = tuple(as_images(source))
        if not images:
            raise DatasetError("expected at least two normal images to train on, got none")
        return TrainingSet(images)
    root = existing(source)
    normal = _normal_folder(root) or root
    categories = [folder for folder in sub_folders(root) if named(folder, (*TRAIN, *TEST))]
    if normal == root and categories:
        counts = [(folder.name, len(images_below(folder))) for folder in categories]
        raise DatasetError(
            f"{root}: expected one category, found {listed(counts)}; name one of them"
        )
    if recursive:
        chosen = images_below(normal, NOT_NORMAL)
    else:
        chosen = images_in(root) if normal == root else _images_of(normal, NOT_NORMAL)
    if not chosen:
        inside = listed(left_out(root, [])) or "no image"
        raise DatasetError(
            f"{root}: expected normal images in it, in train/good/ or in a folder named "
            f"{', '.join(GOOD)}; found {inside}; name the folder of the normal images, or take "
            "all sub-folders with --recursive (in Python recursive=True)"
        )
    note_others(root, [path.parent for path in chosen])
    bad = [path for path in chosen if {*re.split(r"[\W\d_]+", path.stem.casefold())} & {*BAD}]
    if 0 < len(bad) < len(chosen):
        warnings.warn(
            f"{root}: {len(bad)} of the {len(chosen)} images that train have names that mean bad: "
            f"{some_names(bad)}",
            stacklevel=2,
        )
    folder = Path(root.resolve().name, normal.relative_to(root)).as_posix()
    return TrainingSet(tuple(chosen), folder, left_out(root, chosen))


def training_images(source: Images) -> list[ImageLike]:
    """The images of `training_set`."""
    return list(training_set(source).images)


@dataclasses.dataclass(frozen=True)
class Category:
    """A labelled data set; lists of paths, sorted, nothing loaded.

    Attributes:
        root: its folder.
        train: normal training images.
        test: test images.
        kinds: for each test image "good" or the kind of defect: the name of its folder.
        masks: for each test image the path of its mask, or None.
        ignored: folders of images that are no part of the layout, and how many each holds.
    """

    root: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    kinds: tuple[str, ...] = ()
    masks: tuple[Path | None, ...] = ()
    ignored: Counts = ()

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def labels(self) -> np.ndarray:
        """(N,) bool, True where a test image is anomalous."""
        return np.array([kind != "good" for kind in self.kinds], dtype=bool)

    @property
    def has_masks(self) -> bool:
        """Whether at least one defect has a mask."""
        return any(mask is not None for mask in self.masks)

    def leaks(self) -> list[tuple[Path, Path]]:
        """Pairs of a test and a training image of the same content: they make a figure too good."""
        digests = {digest(path): path for path in self.train}
        pairs = [(path, digests.get(digest(path))) for path in self.test]
        return [(path, twin) for path, twin in pairs if twin is not None]


def load_category(root: str | os.PathLike[str]) -> Category:
    """Read a folder in the MVTec layout, or one with folders of good and of bad images to test on.

    Raises:
        FileNotFoundError: the folder does not exist, or has neither train/good nor labelled images.
        DatasetError: train/good holds no image, or a mask fits two images.
    """
    root = existing(root)
    train: list[Path] = []
    labelled = [folder for test in named(root, TEST) for folder in sub_folders(test)]
    if named(root, TRAIN):
        normal = _normal_folder(root)
        train = [] if normal is None else _images_of(normal, NOT_NORMAL)
        if not train:
            raise DatasetError(f"{root}: expected normal images in train/good/, found none")
    elif not labelled and named(root, GOOD):
        labelled = [folder for folder in sub_folders(root) if word(folder) not in MASKS]
    if not train and len(labelled) < 2:
        raise FileNotFoundError(
            f"{root}: expected train/good/ with normal images, or folders of good and of bad ones, "
            f"found {listed(left_out(root, [])) or 'no image'}; see data/README.md"
        )
    kinds: dict[Path, str] = {}
    for folder in labelled:
        kind = "good" if word(folder) in GOOD else folder.name
        kinds |= dict.fromkeys(_images_of(folder, MASKS), kind)
    masks = _masks_of(root, kinds)
    note_others(root, [path.parent for path in [*train, *kinds]])
    ignored = left_out(root, [*train, *kinds], without=MASKS)
    if ignored:
        warnings.warn(
            f"{root}: images in the wrong place are left out: {listed(ignored)}", stacklevel=3
        )
    paired = tuple(masks.get(path) for path in kinds)
    return Category(root, tuple(train), tuple(kinds), tuple(kinds.values()), paired, ignored)


def _masks_of(root: Path, kinds: Mapping[Path, str]) -> dict[Path, Path]:
    """The mask of each anomalous image: NAME_mask.* or NAME.* in ground_truth/KIND/."""
    masks: dict[Path, Path] = {}
    unused: set[Path] = set()
    for folder in named(root, MASKS):
        unused |= {path for path in images_below(folder) if word(path.parent) not in GOOD}
        for kind in set(kinds.values()) - {"good"}:
            inside = [*named(folder, [word(Path(kind))]), folder][0]
            by_name = {masked_name(_stem(path)): path for path in images_in(inside)}
            images = [path for path in kinds if kinds[path] == kind and _stem(path) in by_name]
            masks |= {path: by_name[_stem(path)] for path in images}
    mask, times = Counter(masks.values()).most_common(1)[0] if masks else (None, 0)
    if times > 1:
        raise DatasetError(f"{mask}: the name of this mask fits {times} images; rename them")
    unused -= set(masks.values())
    if unused:
        warnings.warn(
            f"{root}: {len(unused)} mask(s) fit no image by name: {some_names(sorted(unused))}",
            stacklevel=3,
        )
    return masks


def check_normal(y: ArrayLike | None, n: int) -> None:
    """Refuse labels that are not a 0 for each of n images; None are none."""
    labels = np.zeros(n) if y is None else vector("y", y)
    if len(labels) != n or labels.any():
        raise ValueError(
            f"y: expected a label 0 for each of {n} normal images, got {len(labels)} of which "
            f"{int((labels != 0).sum())} are others"
        )


def _normal_folder(root: Path) -> Path | None:
    """The folder of normal images, by its name, if there is one."""
    for train in named(root, TRAIN):
        normal = _normal_folder(train)
        if normal is not None or images_in(train):
            return normal or train
    good = named(root, GOOD)
    return good[0] if len(good) == 1 else None


def _images_of(folder: Path, without: Sequence[str]) -> list[Path]:
    """The images directly in a folder; or, if there are none, those of its sub-folders."""
    return images_in(folder) or images_below(folder, without)


def _stem(path: Path) -> str:
    """The name without its ending; an accent is one character, as a Mac's archives have it not."""
    return unicodedata.normalize("NFC", path.stem)
