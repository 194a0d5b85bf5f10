"""Masks: where in a photograph a defect is."""

from __future__ import annotations

import os
import warnings

import numpy as np
from PIL import Image

from differnet_lite.images import ImageError, ImageLike, image_size, open_image

__all__ = ["load_mask"]


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
    marked = _marked(mask, str(path))
    return np.asarray(Image.fromarray(marked).resize((size, size), Image.Resampling.NEAREST))


def _marked(mask: Image.Image, name: str) -> np.ndarray:
    """(H, W) bool."""
    if mask.mode == "F" or mask.mode.startswith("I"):
        levels = np.asarray(mask)
        white = 1.0 if mask.mode == "F" else 65535.0
    else:
        colours = np.asarray(mask.convert("RGBA")).astype(np.uint8)
        levels = colours[..., :3].max(-1) * (colours[..., 3] > 127)
        white = 255.0
    if not np.isfinite(levels).all():
        raise ImageError(f"{name}: expected a mask of finite numbers, got NaN or infinity")
    values = np.unique(levels)
    if len(values) <= 2 and values.min() == 0:
        marked = levels != 0
    else:
        marked = levels > white / 2
    between = values[(values > 0) & (values < values.max())]
    notes = [
        (len(between) > 0, "has values between black and white; above half of white is a defect"),
        (not marked.any(), "marks nothing"),
        (marked.mean() > 0.5, "marks more than half of the picture; is it inverted?"),
    ]
    for applies, note in notes:
        if applies:
            warnings.warn(f"{name}: the mask {note}", stacklevel=3)
    return marked
