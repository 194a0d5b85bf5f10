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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

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
    """
    if isinstance(image, Image.Image):
        return _to_rgb(image, "the image")
    if isinstance(image, (np.ndarray, Tensor)):
        return _from_array(image)
    return _to_rgb(open_image(image), str(image))


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """A file as the Pillow image that it holds, turned as its EXIF orientation says.

    Errors as in `as_rgb`.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such image file") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{path}: expected an image, but its content is of no known image format; "
            "remove the file"
        ) from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        MemoryError,
        Image.DecompressionBombError,
    ) as error:
        raise ImageError(
            f"{path}: the image is damaged, cut short or unreadable ({error}); "
            "copy it again or remove it"
        ) from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        scale = 255.0 if image.mode == "F" else 1 / 257
        upper = 1.0 if image.mode == "F" else 65535.0
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > upper:
            raise ImageError(
                f"{name}: expected values in 0..{upper:g} for mode {image.mode}, "
                f"got {values.min():g}..{values.max():g}; scale the image first"
            )
        return Image.fromarray(np.rint(values * scale).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _from_array(array: np.ndarray | Tensor) -> Image.Image:
    if isinstance(array, Tensor):
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
        array = np.rint(array / 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"expected uint8, uint16, bool or float values, got {array.dtype}; "
            "convert the array first"
        )
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    mode = (
        {2: None, 3: "RGB"}.get(array.ndim)
        if array.ndim == 2
        else {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[-1]]
    )
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array), mode), "the array")


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
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such image file")
        with path.open("rb") as file:
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
