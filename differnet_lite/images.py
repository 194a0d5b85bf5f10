"""Any image to one form: uint8 RGB at the network's input size.

| what comes | what is done |
|---|---|
| path, bytes, BytesIO | read once, and decoded by the formats of `FORMATS` alone |
| EXIF orientation, of a file or a Pillow image | the picture is turned |
| grey, 1-bit, palette, CMYK, YCbCr | converted to RGB |
| transparency (2 or 4 channels) | laid on white |
| integers of more than 8 bits, grey or colour | times 255 / white; see `white_level` |
| float in [0, 1] | times 255 |
| another size or aspect, from 1 px | resized to a square (bilinear, antialiased), as in the paper |
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor

from differnet_lite.checks import shown
from differnet_lite.formats import FORMATS, image_suffixes, readable_formats
from differnet_lite.pixels import (
    ImageError,
    exchange_bytes,
    from_array,
    one_picture,
    to_eight_bits,
    white_of,
)

# fmt: off
__all__ = [
    "FORMATS", "ImageError", "ImageLike", "Source", "as_rgb", "decode", "digest", "image_size",
    "image_suffixes", "in_parallel", "iter_decoded", "open_image", "read", "undecoded",
    "white_level",
]
# fmt: on

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
# a photograph of 90 megapixels is no attack; what is too large is refused in `undecoded`
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that was read once: the bytes of its file, or its RGB pixels if it has none."""

    name: str  # for messages
    content: bytes | Image.Image

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of the bytes, or of the pixels."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        size = repr(self.content.size).encode()
        return hashlib.sha256(size + self.content.tobytes()).hexdigest()


ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | io.BytesIO | Image.Image | np.ndarray | Tensor | Source"
)


def read(image: ImageLike, white: float | None = None) -> Source:
    """Read an image once, for its digest and its pixels; `white` as in `as_rgb`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it is a folder, a pipe or a device; or, of an array, as in `as_rgb`.
        TypeError: it is no image.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, Image.Image | np.ndarray | Tensor):
        return Source("the image", as_rgb(image, white))
    if isinstance(image, bytes):
        return Source("the image", image)
    if isinstance(image, io.BytesIO):
        return Source("the image", image.getvalue())
    if not isinstance(image, str | os.PathLike):
        raise TypeError(
            "expected an image: a path, bytes, a Pillow image, an array or a tensor, "
            f"got {shown(image)}"
        )
    path = Path(image)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such image file")
    if not path.is_file():  # a device may never end
        raise ImageError(f"{path}: expected an image file, got a folder, a pipe or a device")
    return Source(str(path), path.read_bytes())


def digest(image: ImageLike) -> str:
    """A name for the content of an image: sha256 of the file's bytes, or of the RGB pixels."""
    return read(image).digest


def open_image(image: ImageLike, *, smallest: int | None = None) -> Image.Image:
    """A file, or a Pillow image, as a Pillow image turned as its EXIF orientation says.

    Of several frames or pages the first is taken, and a warning says so.

    Args:
        smallest: pixels; a JPEG file may be decoded faster, to sides of at least this length.

    Raises:
        FileNotFoundError, ImageError: there is no such file; it cannot be read.
    """
    with undecoded(image) as opened:
        if getattr(opened, "is_animated", False) and opened.format != "MPO":
            warnings.warn(
                "an image file holds several frames or pages: only the first is used", stacklevel=2
            )
        if smallest is not None:
            opened.draft(None, (smallest, smallest))
        turned = ImageOps.exif_transpose(opened)
        if opened.format == "PPM" and turned.mode.startswith("I"):
            # Pillow has applied the largest value that the header names
            return Image.fromarray(np.rint(np.asarray(turned) / 257).astype(np.uint8))
        return turned


def image_size(image: ImageLike) -> tuple[int, int]:
    """Width and height of a picture in pixels, turned as EXIF says; a file is not decoded."""
    if isinstance(image, np.ndarray | Tensor):
        height, width = one_picture(image).shape[:2]
        return width, height
    with undecoded(image) as opened:
        width, height = opened.size
        sideways = opened.getexif().get(0x0112) in SIDEWAYS
        return (height, width) if sideways else (width, height)


def as_rgb(
    image: ImageLike, white: float | None = None, *, smallest: int | None = None
) -> Image.Image:
    """An image of any accepted kind as an 8-bit RGB Pillow image of its own size (table above).

    Args:
        image: a path, the bytes of a file, a Pillow image, an array (H, W) or (H, W, 1 to 4
            channels), or a tensor (1 to 4 channels, H, W); integers have 8 or 16 bits.
        white: the value that is white in a picture of more than 8 bits. None goes by the largest
            value of this picture, and a warning says so; better go by all, with `white_level`.
        smallest: as in `open_image`.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: it cannot be read, or has values outside the ranges above.
    """
    if isinstance(image, Source) and isinstance(image.content, Image.Image):
        return image.content
    if not isinstance(image, Image.Image | np.ndarray | Tensor):
        image = read(image)
    name = image.name if isinstance(image, Source) else "the image"
    deep = _deep(image)
    if deep is not None:
        picture = from_array(to_eight_bits(deep, white, name))
    elif isinstance(image, np.ndarray | Tensor):
        picture = from_array(one_picture(image))
    else:
        picture = open_image(image, smallest=smallest)
    if picture.mode == "F":
        picture = from_array(np.asarray(picture), name)
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def white_level(images: Iterable[ImageLike]) -> int | None:
    """The largest value that a camera can give, by the largest one in these images.

    It is 255, 1023, 4095, 8191, 16383 or 65535, for cameras of 8 to 16 bits whose files have 16;
    None if no image has more than 8 bits. A warning says which it is.
    """
    deep = [values.max() for values in in_parallel(_deep, images) if values is not None]
    return white_of(max(deep)) if deep else None


def decode(image: ImageLike, size: int = 448, *, white: float | None = None) -> Tensor:
    """An image as (3, size, size) uint8, RGB; `white` as in `as_rgb`."""
    rgb = as_rgb(image, white)
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def iter_decoded(
    images: Iterable[ImageLike], *, size: int = 448, batch: int = 16, white: float | None = None
) -> Iterator[Tensor]:
    """Decode in parallel, in order: batches (at most `batch`, 3, size, size), uint8."""
    decoded = in_parallel(lambda item: decode(item, size, white=white), images, ahead=2 * batch)
    while chunk := list(islice(decoded, batch)):
        yield torch.stack(chunk)


def in_parallel(
    function: Callable[[T], R], items: Iterable[T], *, ahead: int = 64, workers: int | None = None
) -> Iterator[R]:
    """`map` in threads, in order, never more than `ahead` items in advance (constant memory)."""
    items = iter(items)
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        pending = deque(pool.submit(function, item) for item in islice(items, ahead))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(items, 1))
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def undecoded(image: ImageLike) -> Iterator[Image.Image]:
    """A Pillow image, of which the header is read; what is raised within names the image."""
    source = image if isinstance(image, Image.Image) else read(image)
    name = source.name if isinstance(source, Source) else "the image"
    try:
        if isinstance(source, Source):
            yield _lazy(source)
        elif isinstance(source, ImageFile.ImageFile) and source.format not in FORMATS:
            raise ImageError(f"format {source.format} is not decoded: pass image.convert('RGB')")
        else:
            yield source
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: expected an image, but its content is of no known image format; "
            "remove the file"
        ) from None
    except Exception as error:  # Pillow raises a dozen kinds at a damaged file
        raise ImageError(
            f"{name}: the image is damaged, cut short or unreadable ({error}); "
            "copy it again or remove it"
        ) from error


def _lazy(source: Source) -> Image.Image:
    if isinstance(source.content, Image.Image):
        return source.content
    try:
        return Image.open(io.BytesIO(source.content), formats=readable_formats())
    except Image.DecompressionBombError as error:
        megapixels = int(re.findall(r"\d+", str(error))[0]) / 1e6
    if source.content.startswith(b"\xff\xd8"):  # JPEG can be decoded at an eighth of the size
        large = JpegImagePlugin.JpegImageFile(io.BytesIO(source.content))
        large.draft(None, (1024, 1024))
        return large
    raise ImageError(
        f"{source.name}: the picture has {megapixels:.0f} megapixels, more than can be decoded; "
        "store it smaller, in parts, or as JPEG"
    )


def _deep(image: ImageLike) -> np.ndarray | None:
    """The values (H, W) or (H, W, 2 to 4) of a picture of more than 8 bits; None of another."""
    if isinstance(image, np.ndarray | Tensor):
        array = one_picture(image)
        return array if array.dtype == np.uint16 else None
    source = image if isinstance(image, Image.Image) else read(image)
    with undecoded(source) as opened:
        if opened.mode.startswith("I") and opened.format != "PPM":
            return np.asarray(open_image(source))
        if isinstance(source, Source) and exchange_bytes(opened):
            low = np.asarray(ImageOps.exif_transpose(opened))
            return 256 * np.asarray(open_image(source), np.uint16) + low
    return None
