"""Files, folders, arrays and lists: whatever comes, as a list of images."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from differnet_lite.oldchecks import checked
from differnet_lite.images import IMAGE_SUFFIXES, ImageError, ImageLike

__all__ = [
    "DatasetError",
    "Images",
    "as_images",
    "images_in",
    "list_images",
    "natural_order",
    "some_names",
]

Images: TypeAlias = "ImageLike | Iterable[ImageLike]"


class DatasetError(ValueError):
    """A folder that does not hold what it should."""


def as_images(images: Images) -> list[ImageLike]:
    """Anything that a method takes as a list of images; one image is one image.

    Args:
        images: a file, or a folder with its sub-folders; a Pillow image; an array (H, W) or
            (H, W, 1 to 4), or a tensor (1 to 4, H, W): one image each; an array (N, H, W, 1 to 4)
            or a tensor (N, 1 to 4, H, W): N images; or a list of files, arrays or Pillow images.

    Raises:
        FileNotFoundError, DatasetError, ImageError: see `list_images`; or an array is neither one
            image nor many.
        TypeError: it is none of these.
    """
    if isinstance(images, str | os.PathLike):
        return list(list_images(images))
    if isinstance(images, Image.Image):
        return [_plain(images)]
    if isinstance(images, np.ndarray | Tensor):
        return _of_array(images)
    if isinstance(images, bytes | Mapping | AbstractSet) or not isinstance(images, Iterable):
        kind = type(images).__name__
        raise TypeError(f"images: expected a path, an image or a list of images, got {kind}")
    return [_plain(image) for image in images]


def _plain(image: ImageLike) -> ImageLike:
    """An image, if it has a value for each pixel that NumPy or Pillow can give."""
    if isinstance(image, Image.Image) and 0 in image.size:
        raise ImageError(f"images: expected pixels, got an image of size {image.size}")
    if isinstance(image, np.ndarray) and (np.ma.is_masked(image) or isinstance(image, np.matrix)):
        raise ImageError(
            f"images: expected a plain array, got {type(image).__name__}, of which some pixels may "
            "be masked; fill them, and pass np.asarray() of it"
        )
    if isinstance(image, Tensor) and (image.is_quantized or image.is_nested or _odd(image)):
        raise ImageError(f"images: expected a plain tensor of values, got one of {image.dtype}")
    return image


def _odd(tensor: Tensor) -> bool:
    """Of a dtype of a byte that is no whole number: eight-bit floats."""
    return tensor.is_floating_point() and tensor.element_size() < 2


def _of_array(array: np.ndarray | Tensor) -> list[ImageLike]:
    """One image or many, by the number of axes and the place of the channels."""
    _plain(array)
    last = isinstance(array, np.ndarray)  # NumPy has channels last, torch first
    channels = array.shape[-1 if last else -3] if array.ndim >= 3 else 1
    if array.ndim in (2, 3) and 1 <= channels <= 4:
        return [array]
    if array.ndim == 4 and 1 <= channels <= 4:
        return list(array)
    one, many = (
        ("(H, W, 1 to 4)", "(N, H, W, 1 to 4)") if last else ("(1 to 4, H, W)", "(N, 1 to 4, H, W)")
    )
    raise ImageError(
        f"images: expected one image (H, W) or {one}, or many {many}, got shape "
        f"{tuple(array.shape)}; for many grey images add an axis of length 1, or pass a list"
    )


@checked
def list_images(source: str | os.PathLike[str]) -> list[Path]:
    """All images in a folder and its sub-folders, sorted; or the one file that is named.

    A link to a folder is followed only if it leads out of this one; no folder counts twice.

    Raises:
        FileNotFoundError: there is nothing of that name.
        DatasetError: the folder holds no image.
        ImageError: an image file is empty.
    """
    root = Path(source)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such file or folder of images")
    paths: list[Path] = []
    ignored: list[Path] = []
    for folder in [root, *natural_order(_below(root))]:
        found, stray = images_in(folder)
        paths += found
        ignored += [p for p in stray if not p.is_dir()]
    if not paths:
        raise DatasetError(
            f"{root}: expected images ({', '.join(IMAGE_SUFFIXES)}), "
            f"found none among {len(ignored)} file(s)"
        )
    if ignored:
        warnings.warn(
            f"{root}: {len(ignored)} file(s) ignored, they are no images: {some_names(ignored)}",
            stacklevel=2,
        )
    return paths


@checked
def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images directly in a folder, and what else lies there."""
    images: list[Path] = []
    stray: list[Path] = []
    for path in natural_order(folder.iterdir()):
        is_image = (
            path.is_file()
            and path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
        )
        (images if is_image else stray).append(path)
    empty = [path for path in images if path.stat().st_size == 0]
    if empty:
        raise ImageError(
            f"{empty[0]}: the image file is empty ({len(empty)} such file(s) in {folder}); "
            "copy it again or remove it"
        )
    return images, stray


def natural_order(paths) -> list[Path]:  # type: ignore[no-untyped-def]
    """In natural order: 2 before 10."""
    return sorted(
        paths,
        key=lambda path: [
            int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.as_posix())
        ],
    )


def _below(root: Path) -> list[Path]:
    """All sub-folders that are not hidden, each once, those behind links that lead out, too."""
    found: list[Path] = []
    here = root.resolve()
    seen, waiting = {here}, [root]
    while waiting:
        inside = natural_order(p for p in waiting.pop(0).iterdir() if p.is_dir())
        for folder in (p for p in inside if not p.name.startswith(".")):
            there = folder.resolve()
            back = folder.is_symlink() and (here in there.parents or there in here.parents)
            if there not in seen and not back:
                seen.add(there)
                found.append(folder)
                waiting.append(folder)
    return found


def some_names(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:3])
    return names + (", ..." if len(paths) > 3 else "")
