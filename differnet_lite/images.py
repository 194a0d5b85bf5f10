"""Any image to one form: uint8 RGB at the network's input size.

| what comes | what is done |
|---|---|
| path | decoded with Pillow, turned as its EXIF orientation says |
| grey, 1-bit, palette, CMYK, YCbCr | converted to RGB |
| transparency (2 or 4 channels) | laid on white |
| 16-bit (0..65535), also as 32-bit integers | divided by 257 |
| float in [0, 1] | times 255 |
| another size or aspect, from 1 px | resized to a square (bilinear, antialiased), as in the paper |
"""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from differnet_lite.oldchecks import checked, shown, whole
from differnet_lite.files import regular

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "ImageLike",
    "as_rgb",
    "decode",
    "digest",
    "in_parallel",
    "iter_decoded",
    "open_image",
]

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Tensor"

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

# what Pillow's readers raise at a damaged file
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError),
    *(TypeError, KeyError, IndexError, struct.error, OverflowError, RuntimeError, zlib.error),
)


class ImageError(ValueError):
    """A file or array that cannot be read as an image."""


def as_rgb(image: ImageLike) -> Image.Image:
    """An image of any accepted kind as an 8-bit RGB Pillow image of its own size (table above).

    Args:
        image: a path, a Pillow image, an array (H, W) or (H, W, 1 to 4 channels), or a tensor
            (1 to 4 channels, H, W); integers are 8- or 16-bit, floats lie in [0, 1].

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it is not an image, is cut short, or has values outside the ranges above.
        TypeError: it is none of these.
    """
    if isinstance(image, Image.Image):
        return _to_rgb(image, "the image")
    if isinstance(image, (np.ndarray, Tensor)):
        return _from_array(image)
    return _to_rgb(open_image(image), str(image))


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """A file as the Pillow image that it holds, turned as its EXIF orientation says.

    Of several frames or pages the first is taken, and a warning says so. Errors as in `as_rgb`.
    """
    _check_path(path)
    try:
        with Image.open(regular(path)) as opened:
            if getattr(opened, "is_animated", False):
                _note("an image file holds several frames or pages: only the first is used")
            opened.load()
            return ImageOps.exif_transpose(opened)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such image file") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{path}: expected an image, but its content is of no known image format; "
            "remove the file"
        ) from None
    except UNREADABLE as error:
        raise ImageError(
            f"{path}: the image is damaged, cut short or unreadable ({error}); "
            "copy it again or remove it"
        ) from error


def _check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(
            f"expected an image: a path, a Pillow image, an array or a tensor, got {shown(path)}"
        )


def _note(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _of_levels(image, name)
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    try:
        return image.convert("RGB")
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: mode {image.mode} cannot be turned into RGB") from error


def _of_levels(image: Image.Image, name: str) -> Image.Image:
    """Grey levels of more than 8 bits, brought to 8 by the largest value that there can be."""
    values, white = np.asarray(image, dtype=np.float64), 1.0 if image.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > white:
        raise ImageError(
            f"{name}: expected values in 0..{white:g} for mode {image.mode}, "
            f"got {values.min():g}..{values.max():g}; scale the image first"
        )
    if image.mode != "F":
        _check_brightness(values)
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8)).convert("RGB")


def _check_brightness(values: np.ndarray) -> None:
    if 0 < values.max() < 4096:
        _note(
            "a 16-bit image has no value above 4095 of 65535 and comes out nearly black; if the "
            "camera has 12 bits or fewer, say so: store PGM files, whose header has the largest "
            "value, or pass arrays divided by it; see data/README.md"
        )


def _from_array(array: np.ndarray | Tensor) -> Image.Image:
    if isinstance(array, Tensor):
        if array.layout != torch.strided or array.is_meta:
            raise ImageError(f"expected a dense tensor with values, got {shown(array)}")
        tensor = array.detach().cpu()
        if tensor.dtype == torch.bfloat16:  # NumPy has none
            tensor = tensor.float()
        array = (tensor.movedim(0, -1) if tensor.ndim == 3 else tensor).numpy()
    if (
        array.ndim not in (2, 3)
        or 0 in array.shape
        or (array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4))
    ):
        raise ImageError(
            "expected an array (H, W) or (H, W, 1 to 4 channels), or a tensor "
            f"(1 to 4 channels, H, W), got shape {array.shape}"
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageError(
                f"expected float values in [0, 1], got {array.min():g}..{array.max():g}; "
                "divide by the largest value"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        _check_brightness(array)
        array = np.rint(array / 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"expected uint8, uint16, bool or float values, got {array.dtype}; "
            "convert the array first"
        )
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    mode = None if array.ndim == 2 else {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[-1]]
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array), mode), "the array")


@checked(size=whole(1))
def decode(image: ImageLike, size: int = 448) -> Tensor:
    """An image as (3, size, size) uint8, RGB."""
    rgb = as_rgb(image)
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def digest(image: ImageLike) -> str:
    """A name for the image's content: sha256 of the file's bytes, or of the RGB pixels.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not isinstance(image, (Image.Image, np.ndarray, Tensor)):
        _check_path(image)
        with regular(image).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    rgb = as_rgb(image)
    return hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()


def in_parallel(
    function: Callable, items: Iterable, *, ahead: int = 64, workers: int | None = None
) -> Iterator:
    """`map` in threads, in order, never more than `ahead` items in advance (constant memory)."""
    items = iter(items)
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        pending = deque(pool.submit(function, item) for item in islice(items, ahead))
        try:
            while pending:
                result = pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(items, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()


@checked(size=whole(1), batch=whole(1))
def iter_decoded(
    images: Iterable[ImageLike], *, size: int = 448, batch: int = 16
) -> Iterator[Tensor]:
    """Decode in parallel, in order: batches (at most `batch`, 3, size, size), uint8."""
    chunk: list[Tensor] = []
    for image in in_parallel(lambda item: decode(item, size), images, ahead=2 * batch):
        chunk.append(image)
        if len(chunk) == batch:
            yield torch.stack(chunk)
            chunk = []
    if chunk:
        yield torch.stack(chunk)
