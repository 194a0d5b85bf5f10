"""Labelled folders of images: which are normal, which are not, and masks of where a defect is.

The layout of MVTec AD, of which parts may be missing:

CATEGORY/train/good/*.png                    normal images to train on
CATEGORY/test/good/*.png                     normal images to test on
CATEGORY/test/DEFECT/*.png                   anomalous images, one folder a kind
CATEGORY/ground_truth/DEFECT/NAME_mask.png   where the defect of test/DEFECT/NAME.* is

The folders may have other names of the same meaning, see `GOOD` in `listing` and the lists there.
"""

from __future__ import annotations

import dataclasses
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from differnet_lite import listing
from differnet_lite.images import ImageError, ImageLike, image_size, open_image, read
from differnet_lite.listing import Counts, DatasetError, list_images

__all__ = ["Category", "DatasetError", "list_images", "load_category", "load_mask"]


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
        digests = {read(path).digest: path for path in self.train}
        pairs = [(path, digests.get(read(path).digest)) for path in self.test]
        return [(path, twin) for path, twin in pairs if twin is not None]


def load_category(root: str | os.PathLike[str]) -> Category:
    """Read a folder in the MVTec layout, or one with folders of good and of bad images to test on.

    Raises:
        FileNotFoundError: the folder does not exist, or has neither train/good nor labelled images.
        DatasetError: train/good holds no image, or a mask fits two images.
    """
    root = listing.existing(root)
    train: list[Path] = []
    tests = listing.named(root, listing.TEST)
    labelled = [folder for test in tests for folder in listing.sub_folders(test)]
    if listing.named(root, listing.TRAIN):
        normal = listing.normal_folder(root)
        train = [] if normal is None else listing.images_of(normal, listing.NOT_NORMAL)
        if not train:
            raise DatasetError(f"{root}: expected normal images in train/good/, found none")
    elif not labelled and listing.named(root, listing.GOOD):
        folders = listing.sub_folders(root)
        labelled = [folder for folder in folders if listing.word(folder) not in listing.MASKS]
    if not train and len(labelled) < 2:
        inside = listing.listed(listing.left_out(root, [])) or "no image"
        raise FileNotFoundError(
            f"{root}: expected train/good/ with normal images, or folders of good and of bad ones, "
            f"found {inside}; see data/README.md"
        )
    kinds: dict[Path, str] = {}
    for folder in labelled:
        kind = "good" if listing.word(folder) in listing.GOOD else folder.name
        kinds |= dict.fromkeys(listing.images_of(folder, listing.MASKS), kind)
    masks = _masks_of(root, kinds)
    listing.note_others(root, [path.parent for path in [*train, *kinds]])
    ignored = listing.left_out(root, [*train, *kinds], without=listing.MASKS)
    if ignored:
        warnings.warn(
            f"{root}: images in the wrong place are left out: {listing.listed(ignored)}",
            stacklevel=3,
        )
    paired = tuple(masks.get(path) for path in kinds)
    return Category(root, tuple(train), tuple(kinds), tuple(kinds.values()), paired, ignored)


def _masks_of(root: Path, kinds: Mapping[Path, str]) -> dict[Path, Path]:
    """The mask of each anomalous image: NAME_mask.* or NAME.* in ground_truth/KIND/."""
    masks: dict[Path, Path] = {}
    unused: set[Path] = set()
    for folder in listing.named(root, listing.MASKS):
        inside = listing.images_below(folder)
        unused |= {path for path in inside if listing.word(path.parent) not in listing.GOOD}
        for kind in set(kinds.values()) - {"good"}:
            of_kind = [*listing.named(folder, [listing.word(Path(kind))]), folder][0]
            files = listing.images_in(of_kind)
            by_name = {listing.masked_name(_stem(path)): path for path in files}
            images = [path for path in kinds if kinds[path] == kind and _stem(path) in by_name]
            masks |= {path: by_name[_stem(path)] for path in images}
    mask, times = Counter(masks.values()).most_common(1)[0] if masks else (None, 0)
    if times > 1:
        raise DatasetError(f"{mask}: the name of this mask fits {times} images; rename them")
    unused -= set(masks.values())
    if unused:
        names = listing.some_names(sorted(unused))
        warnings.warn(f"{root}: {len(unused)} mask(s) fit no image by name: {names}", stacklevel=3)
    return masks


def _stem(path: Path) -> str:
    """The name without its ending; an accent is one character, as a Mac's archives have it not."""
    return unicodedata.normalize("NFC", path.stem)


def load_mask(
    path: str | os.PathLike[str] | None, size: int = 448, *, image: ImageLike | None = None
) -> np.ndarray:
    """A defect's mask as (size, size) bool, resized by nearest neighbour.

    Of a mask with two values, one of them 0, the other marks the defect. Of another, what is above
    half of white does, as of a JPEG file or of smoothed edges, and a warning says so; one also says
    that nothing, or more than half of the picture, is marked. What is transparent is not marked.

    Args:
        path: of the mask; None gives an empty mask.
        size: side in pixels.
        image: the photograph, whose size the mask must have.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: the mask cannot be read, or has another size than its photograph.
    """
    if path is None:
        return np.zeros((size, size), dtype=bool)
    mask = open_image(path)
    if image is not None and mask.size != image_size(image):
        width, height = image_size(image)
        raise ImageError(
            f"{path}: the mask has {mask.width} x {mask.height} pixels and its photograph, turned "
            f"as EXIF says, {width} x {height}; expected the same size"
        )
    if mask.mode == "F" or mask.mode.startswith("I"):
        levels = np.nan_to_num(np.asarray(mask))
        white = 1.0 if mask.mode == "F" else 65535.0
    else:
        colours = np.asarray(mask.convert("RGBA"))
        levels = colours[..., :3].max(-1) * (colours[..., 3] > 127)
        white = 255.0
    values = np.unique(levels)
    marked = levels > (0 if len(values) <= 2 and values.min() == 0 else white / 2)
    notes = []
    if (values[values > 0] < values.max()).any():
        notes.append("has values between black and white; above half of white is a defect")
    if not marked.any():
        notes.append("marks nothing")
    if marked.mean() > 0.5:
        notes.append("marks more than half of the picture; is it inverted?")
    for note in notes:
        warnings.warn(f"{path}: the mask {note}", stacklevel=2)
    return np.asarray(Image.fromarray(marked).resize((size, size), Image.Resampling.NEAREST))
