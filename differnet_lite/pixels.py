"""Values of any kind, in arrays and in files of more than 8 bits, as Pillow images of 8 bits."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch
from PIL import Image, ImageFile
from torch import Tensor

__all__ = ["ImageError", "as_picture", "exchange_bytes", "one_picture", "to_eight_bits", "white_of"]

DEPTHS = (8, 10, 12, 13, 14, 16)  # bits of cameras
NATIVE = ";16B" if sys.byteorder == "little" else ";16L"
OTHER_ORDER = {";16B": ";16L", ";16L": ";16B", ";16N": NATIVE}


class ImageError(ValueError):
    """A file or array that cannot be read as an image."""


def one_picture(array: np.ndarray | Tensor) -> np.ndarray:
    """An array or tensor of one picture as (H, W) or (H, W, 2 to 4), channels last."""
    if isinstance(array, Tensor):
        tensor = array.detach().cpu()
        if tensor.dtype == torch.bfloat16:  # NumPy has none
            tensor = tensor.float()
        array = (tensor.movedim(0, -1) if tensor.ndim == 3 else tensor).numpy()
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or 0 in array.shape or channels > 4:
        raise ImageError(
            "expected an array (H, W) or (H, W, 1 to 4 channels), or a tensor "
            f"(1 to 4 channels, H, W), got shape {array.shape}"
        )
    return array[..., 0] if array.shape[2:] == (1,) else array


def as_picture(array: np.ndarray, name: str = "the array") -> Image.Image:
    """A Pillow image of (H, W) or (H, W, 2 to 4): uint8, floats in [0, 1], or truth values."""
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise ImageError(
                f"{name}: expected float values in [0, 1], got {array.min():g}..{array.max():g}; "
                "of 0 to 255 divide by 255"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"{name}: expected uint8, uint16, bool or float values, got {array.dtype}; "
            "convert the array first"
        )
    mode = None if array.ndim == 2 else {2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[-1]]
    return Image.fromarray(np.ascontiguousarray(array), mode)


def white_of(largest: float, usual: float | None = None) -> int:
    """The white of a camera, of the fewest bits that fit the largest value; a warning says which.

    By the `usual` picture's largest value one bad pixel is noticed.

    Example:
        >>> white_of(65000)
        65535
    """
    white, often = (
        next((2**bits - 1 for bits in DEPTHS if value < 2**bits), 65535)
        for value in (largest, usual or largest)
    )
    if often < white:
        warnings.warn(
            f"a picture has the value {largest:g}, so {white} is taken for white, but most have "
            f"none above {often}; if it is a bad pixel, give white={often}",
            stacklevel=3,
        )
    elif white < 65535:
        warnings.warn(
            f"pictures of more than 8 bits have no value above {largest:g}, so {white} is taken "
            "for white; if it is not, give the largest value of the camera, such as white=65535",
            stacklevel=3,
        )
    return white


def to_eight_bits(values: np.ndarray, white: float | None, name: str) -> np.ndarray:
    """Integers (H, W) or (H, W, 2 to 4) of more than 8 bits as uint8; `white` becomes 255.

    None goes by the largest value of this picture, and a warning says so.
    """
    largest = values.max()
    if values.min() < 0 or (white is None and largest > 65535):
        raise ImageError(
            f"{name}: expected values in 0..65535, got {values.min()}..{largest}; "
            "scale the image first"
        )
    if white is None:
        white = white_of(largest)
    elif largest > white:
        warnings.warn(
            f"a picture has values above the white level, {white:g}; they are cut", stacklevel=3
        )
    scaled = np.minimum(values, white) * (255 / white)
    if values.ndim == 3 and values.shape[-1] in (2, 4):  # alpha has all of its bits
        scaled[..., -1] = values[..., -1] / 257
    return np.rint(scaled).astype(np.uint8)


def exchange_bytes(opened: Image.Image) -> bool:
    """Make Pillow take the low bytes of a 16-bit colour file for the high ones, which it keeps.

    False if it is no such file; then nothing is changed.
    """
    tiles = []
    for tile in opened.tile if isinstance(opened, ImageFile.ImageFile) else ():
        arguments = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
        raw = str(arguments[0])
        if raw.startswith(("RGB;16", "RGBA;16")):
            exchanged = raw[:-4] + OTHER_ORDER[raw[-4:]]
            tiles.append(tile._replace(args=(exchanged, *arguments[1:])))
    if tiles and isinstance(opened, ImageFile.ImageFile):
        opened.tile = tiles
    return bool(tiles)
