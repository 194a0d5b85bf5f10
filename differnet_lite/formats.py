"""The formats of image files that are decoded, and the endings of their names."""

from __future__ import annotations

import functools
import importlib
import importlib.util

from PIL import Image

__all__ = ["FORMATS", "image_suffixes", "readable_formats"]

# none of these decoders starts a program, as that of EPS does; TGA, without a signature, is last
FORMATS = (
    *("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "PPM", "WEBP", "AVIF", "HEIF", "JPEG2000"),
    "TGA",
)


def image_suffixes() -> tuple[str, ...]:
    """The endings of image files, such as ".png", that can be decoded here."""
    readable = [*readable_formats(), "MPO"]  # which the decoder of JPEG opens
    endings = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, name in endings if name in readable))


@functools.cache
def _load_plugins() -> None:
    Image.init()
    for name in ("pillow_heif", "pi_heif"):  # for HEIC, where one is installed
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).register_heif_opener()


def readable_formats() -> list[str]:
    """Those of `FORMATS` that this Pillow can decode."""
    _load_plugins()
    return [name for name in FORMATS if name in Image.OPEN]
