"""Any image to one form: uint8 RGB at the network's input size.

| what comes | what is done |
|---|---|
| path, bytes, BytesIO | read once, and decoded by the formats of `FORMATS` alone |
| EXIF orientation, of a file or a Pillow image | the picture is turned |
| grey, 1-bit, palette, CMYK, YCbCr | converted to RGB |
| transparency (2 or 4 channels) | laid on white |
| integers of more than 8 bits, grey or colour | times 255 / white; see `white_of` |
| float in [0, 1] | times 255 |
| another size or aspect, from 1 px | resized to a square (bilinear, antialiased), as in the paper |
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import io
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar
from warnings import filterwarnings, warn

import numpy as np
import torch
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError
from torch import Tensor

from differnet_lite.checks import shown
from differnet_lite.pixels import ImageError, as_picture, exchange_bytes, one_picture, to_eight_bits

__all__ = ["ImageError", "ImageLike", "Source", "as_rgb", "decode", "image_size"]
__all__ += ["image_suffixes", "in_parallel", "iter_decoded", "open_image", "pixels", "read"]
__all__ += ["undecoded"]

# none of these decoders starts a program, as that of EPS does; TGA, without a signature, is last
FORMATS = ["PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "PPM", "WEBP", "AVIF", "HEIF"]
FORMATS += ["JPEG2000", "TGA"]
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
# a photograph of 90 megapixels is no attack; what is too large is refused in `undecoded`
filterwarnings("ignore", category=Image.DecompressionBombWarning)

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that was read once: the bytes of its file, or what it is if it has none."""

    name: str  # for messages
    content: bytes | Image.Image | np.ndarray

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of the bytes; of an image without a file, of its pixels."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        values = np.asarray(pixels(self))
        kind = f"{values.shape} {values.dtype}".encode()
        return hashlib.sha256(kind + values.tobytes()).hexdigest()


ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | io.BytesIO | Image.Image | np.ndarray | Tensor | Source"
)


@functools.cache
def readable_formats() -> list[str]:
    """Those of `FORMATS` that this Pillow can decode."""
    Image.init()
    for name in ("pillow_heif", "pi_heif"):  # for HEIC, where one is installed
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


@functools.cache
def image_suffixes() -> tuple[str, ...]:
    """The endings of image files, such as ".png"; a decoder of HEIC may be missing."""
    readable = [*readable_formats(), "MPO"]  # which the decoder of JPEG opens
    endings = Image.registered_extensions().items()
    suffixes = {suffix for suffix, name in endings if name in readable}
    return tuple(sorted(suffixes | {".heic", ".heif"}))  # a telephone's are never passed over


def read(image: ImageLike) -> Source:
    """Read an image once, for its digest and its pixels.

    Raises:
        FileNotFoundError, ImageError, TypeError: there is no such file; it is none, but a folder;
            it is no image.
    """
    if isinstance(image, Source):
        return image
    if isinstance(image, np.ndarray | Tensor):
        return Source("the image", one_picture(image))
    if isinstance(image, io.BytesIO):
        image = image.getvalue()
    if isinstance(image, bytes | Image.Image):
        return Source("the image", image)
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


@contextmanager
def undecoded(source: Source) -> Iterator[Image.Image]:
    """A Pillow image, of which the header is read; what is raised within names the image."""
    try:
        if isinstance(source.content, bytes):
            yield _opened(source.name, source.content)
        elif isinstance(source.content, np.ndarray):
            deep = source.content.dtype == np.uint16
            high = (source.content >> 8).astype(np.uint8) if deep else source.content
            yield as_picture(high, source.name)
        elif getattr(source.content, "format", None) in (None, *FORMATS):
            yield source.content
        else:  # it may be a picture whose decoder starts a program
            raise ImageError(
                f"format {source.content.format} is not decoded: pass image.convert('RGB')"
            )
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        heif = isinstance(source.content, bytes) and source.content[4:8] == b"ftyp"
        remedy = "pip install pillow-heif reads HEIC" if heif else "remove the file"
        raise ImageError(
            f"{source.name}: expected an image, but its content is of no known image format; "
            f"{remedy}"
        ) from None
    except Exception as error:  # Pillow raises a dozen kinds at a damaged file
        raise ImageError(
            f"{source.name}: the image is damaged, cut short or unreadable ({error}); "
            "copy it again or remove it"
        ) from error


def _opened(name: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=readable_formats())
    except Image.DecompressionBombError as error:
        megapixels = int(re.findall(r"\d+", str(error))[0]) / 1e6
    if content.startswith(b"\xff\xd8"):  # JPEG can be decoded at an eighth of the size
        large = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
        large.draft(None, (1024, 1024))
        return large
    raise ImageError(
        f"{name}: the picture has {megapixels:.0f} megapixels, more than can be decoded; "
        "store it smaller, in parts, or as JPEG"
    )


def open_image(image: ImageLike, *, smallest: int | None = None) -> Image.Image:
    """An image as a Pillow image of any mode, turned as its EXIF orientation says.

    Of several frames or pages the first is taken, and a warning says so.

    Args:
        smallest: pixels; a JPEG file may be decoded faster, to sides of at least this length.
    """
    source = read(image)
    with undecoded(source) as opened:
        if getattr(opened, "is_animated", False) and opened.format != "MPO":
            warn("of several frames or pages only the first is used", stacklevel=2)
        if smallest is not None and isinstance(source.content, bytes):
            opened.draft(None, (smallest, smallest))
        turned = ImageOps.exif_transpose(opened)
        if opened.format == "PPM" and turned.mode.startswith("I"):
            # Pillow has applied the largest value that the header names
            return Image.fromarray(np.rint(np.asarray(turned) / 257).astype(np.uint8))
        return turned


def image_size(image: ImageLike) -> tuple[int, int]:
    """Width and height of a picture in pixels, turned as EXIF says; a file is not decoded."""
    with undecoded(read(image)) as opened:
        width, height = opened.size
        sideways = opened.getexif().get(0x0112) in SIDEWAYS
        if sideways and opened.format == "TIFF":  # some versions of Pillow turn these themselves
            return open_image(image).size
        return (height, width) if sideways else (width, height)


def pixels(image: ImageLike, *, smallest: int | None = None) -> Image.Image | np.ndarray:
    """A picture of its own size: 8-bit RGB, or integers (H, W) or (H, W, 2 to 4) of more bits.

    `smallest` is that of `open_image`.
    """
    source = read(image)
    if isinstance(source.content, np.ndarray) and source.content.dtype == np.uint16:
        return source.content
    picture = open_image(source, smallest=smallest)
    if picture.mode.startswith("I"):
        return np.asarray(picture)
    if isinstance(source.content, bytes):
        with undecoded(source) as opened:
            if exchange_bytes(opened):
                low = np.asarray(ImageOps.exif_transpose(opened))
                return 256 * np.asarray(picture, np.uint16) + low
    if picture.mode == "F":
        picture = as_picture(np.asarray(picture), source.name)
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def as_rgb(image: ImageLike, white: float | None = None) -> Image.Image:
    """An image of any accepted kind as an 8-bit RGB Pillow image of its own size (table above).

    Args:
        image: a path, the bytes of a file, a Pillow image, an array (H, W) or (H, W, 1 to 4
            channels), or a tensor (1 to 4 channels, H, W); integers have 8 or 16 bits.
        white: the value that is white in a picture of more than 8 bits. None goes by the largest
            value of this picture, and a warning says so; better go by all, see `white_of`.

    Raises:
        FileNotFoundError, ImageError: there is no such file; it cannot be read, or has values
            outside the ranges above.
    """
    source = read(image)
    picture = pixels(source)
    if isinstance(picture, np.ndarray):
        picture = as_picture(to_eight_bits(picture, white, source.name))
    return picture.convert("RGB")


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


def in_parallel(function: Callable[[T], R], items: Iterable[T], *, ahead: int = 64) -> Iterator[R]:
    """`map` in threads, in order, never more than `ahead` items in advance (constant memory)."""
    items = iter(items)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        pending = deque(pool.submit(function, item) for item in islice(items, ahead))
        try:
            while pending:
                yield pending.popleft().result()
                pending.extend(pool.submit(function, item) for item in islice(items, 1))
        finally:
            for future in pending:
                future.cancel()
