"""Folders of images: the MVTec AD layout, or any folder of photographs.

CATEGORY/train/good/*.png            normal images to train on
CATEGORY/test/good/*.png             normal images to test on                   (optional)
CATEGORY/test/DEFECT/*.png           anomalous images, one folder a kind        (optional)
CATEGORY/ground_truth/DEFECT/NAME_mask.png   where the defect of test/DEFECT/NAME.* is   (optional)
"""

from __future__ import annotations

import dataclasses
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from differnet_lite.oldchecks import checked, vector, whole
from differnet_lite.oldchecks import kinds as check_kinds
from differnet_lite.images import IMAGE_SUFFIXES, ImageError, ImageLike, digest, open_image
from differnet_lite.listing import (
    DatasetError,
    Images,
    as_images,
    images_in,
    list_images,
    natural_order,
    some_names,
)

__all__ = [
    "Category",
    "DatasetError",
    "Images",
    "as_images",
    "check_normal",
    "list_images",
    "load_category",
    "load_mask",
    "training_images",
]


@dataclasses.dataclass(frozen=True)
class Category:
    """A data set in the MVTec layout; lists of paths, sorted, nothing loaded.

    Attributes:
        root: its folder.
        train: normal training images.
        test: test images.
        kinds: for each test image "good" or the kind of defect: the name of its folder.
        masks: for each test image the path of its mask, or None.
        ignored: files and folders that are no part of the layout.
    """

    root: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    kinds: tuple[str, ...] = ()
    masks: tuple[Path | None, ...] = ()
    ignored: tuple[Path, ...] = ()

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
        seen = {digest(path): path for path in self.train}
        return [(path, seen[d]) for path in self.test if (d := digest(path)) in seen]


@checked
def load_category(root: str | os.PathLike[str]) -> Category:
    """Read a folder in the MVTec layout. Only train/good is needed.

    Raises:
        FileNotFoundError: the folder or its train/good does not exist.
        DatasetError: train/good holds no image, or a mask fits two images.
        ImageError: an image file is empty.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"{root}: there is no such folder; expected a category in the MVTec layout, "
            "see data/README.md"
        )
    normal = root / "train" / "good"
    if not normal.is_dir():
        inside = [*root.glob("*"), *root.glob("train/*")]
        found = sorted(p.relative_to(root).as_posix() for p in inside)[:8]
        raise FileNotFoundError(
            f"{root}: expected train/good/ with normal images, found {found}; see data/README.md"
        )
    train, ignored = images_in(normal)
    if not train:
        raise DatasetError(
            f"{normal}: expected images ({', '.join(IMAGE_SUFFIXES)}), "
            f"found none among {len(ignored)} file(s)"
        )
    test: list[Path] = []
    kinds: list[str] = []
    masks: list[Path | None] = []
    for folder in natural_order((root / "test").iterdir()) if (root / "test").is_dir() else []:
        if not folder.is_dir():
            ignored.append(folder)
            continue
        try:
            check_kinds(str(folder), [folder.name])
        except ValueError as error:
            raise DatasetError(str(error)) from None
        paths, stray = images_in(folder)
        ignored += stray
        found_masks = _masks_for(root, folder.name, paths) if folder.name != "good" else {}
        test += paths
        kinds += [folder.name] * len(paths)
        masks += [found_masks.get(path) for path in paths]
    truth = root / "ground_truth"
    masked = natural_order(truth.iterdir()) if truth.is_dir() else []
    if strange := [folder for folder in masked if folder.name not in kinds]:
        warnings.warn(
            f"{root}: masks without images in test/: ground_truth/{some_names(strange)}",
            stacklevel=2,
        )
    if ignored:
        warnings.warn(
            f"{root}: {len(ignored)} file(s) ignored, they are no images or lie in the wrong "
            f"place: {some_names(ignored)}",
            stacklevel=2,
        )
    return Category(root, tuple(train), tuple(test), tuple(kinds), tuple(masks), tuple(ignored))


def training_images(source: Images) -> list[ImageLike]:
    """Normal images to fit on: of a category, a plain folder (with its sub-folders), or as listed.

    Raises:
        FileNotFoundError: the folder does not exist.
        DatasetError: there is no image.
    """
    if isinstance(source, (str, os.PathLike)):
        root = Path(source)
        if (root / "train" / "good").is_dir():
            return list(load_category(root).train)
        if (root / "train").is_dir() or (root / "test").is_dir():
            raise DatasetError(
                f"{root}: has train/ or test/ but no train/good/; expected the MVTec layout or "
                "a plain folder of normal images"
            )
        return list(list_images(root))
    images = as_images(source)
    if not images:
        raise DatasetError("expected at least two normal images to train on, got none")
    return images


def check_normal(y: ArrayLike | None, n: int) -> None:
    """Refuse labels that are not a 0 for each of n images; None are none."""
    labels = np.zeros(n) if y is None else vector("y", y)
    if len(labels) != n or labels.any():
        raise ValueError(
            f"y: expected a label 0 for each of {n} normal images, got {len(labels)} of which "
            f"{int((labels != 0).sum())} are others"
        )


@checked(size=whole(1))
def load_mask(path: str | os.PathLike[str] | None, size: int = 448) -> np.ndarray:
    """A defect's mask as (size, size) bool; a mask of another size is resized by nearest neighbour.

    Args:
        path: of the mask, any non-zero value marks the defect, and what is transparent does not;
            None gives an empty mask.
        size: side in pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: the mask cannot be read.
    """
    if path is None:
        return np.zeros((size, size), dtype=bool)
    image = open_image(path)
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        # as it is: 16 bits may hold a 1
        marked = np.asarray(image) != 0
        if not np.isfinite(np.asarray(image)).all():
            raise ImageError(f"{path}: expected a mask of finite numbers, got NaN or infinity")
    elif image.has_transparency_data:
        values = np.asarray(image.convert("RGBA"))
        marked = values[..., :3].any(-1) & (values[..., 3] > 0)
    else:
        marked = np.asarray(image.convert("RGB")).any(-1)
    return np.asarray(Image.fromarray(marked).resize((size, size), Image.Resampling.NEAREST))


def _masks_for(root: Path, kind: str, images: Sequence[Path]) -> dict[Path, Path]:
    """The mask of each image, by name: NAME_mask.* or NAME.* in ground_truth/KIND."""
    folder = root / "ground_truth" / kind
    if not folder.is_dir():
        return {}
    by_stem = {_stem(path).removesuffix("_mask"): path for path in images_in(folder)[0]}
    named = Counter(map(_stem, images))
    shared = [stem for stem, n in named.items() if n > 1 and stem in by_stem]
    if shared:
        raise DatasetError(
            f"{root / 'test' / kind}: {shared[0]!r} names several images but one mask; "
            "give each image a name of its own"
        )
    if strange := [path for stem, path in by_stem.items() if images and stem not in named]:
        warnings.warn(
            f"{folder}: {len(strange)} mask(s) fit no image by their names: {some_names(strange)}",
            stacklevel=3,
        )
    return {path: by_stem[_stem(path)] for path in images if _stem(path) in by_stem}


def _stem(path: Path) -> str:
    """The name without its ending; an accent is one character, as a Mac's archives have it not."""
    return unicodedata.normalize("NFC", path.stem)
