"""What a model was shown, and how a batch of new photographs differs from it.

A threshold holds for photographs that are made like those of the training: same camera, size,
shape, compression. The model file holds a summary of them, and a batch that differs gets a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from PIL import Image
from torch import Tensor

from differnet_lite.images import ImageLike, image_size, in_parallel, read, undecoded
from differnet_lite.pixels import one_picture

__all__ = ["Summary", "differences", "too_many_flagged", "summary_of"]

ASPECT = 1.1  # a shape this many times wider or narrower than all that were shown is another one
SCALE = 1.5  # so for the length of a side
LOSSY = ("WEBP", "AVIF", "HEIF", "JPEG2000")  # besides JPEG, which says how much
STEP = 2.0  # times the coarsest quantization of the training
FINE = 3.0  # grey levels, of a JPEG file of quality 97: no note below
RARE = 1e-3  # a batch that is rarer than this, if the promise holds, gets a note


class Header(NamedTuple):
    """What the header of an image says.

    Attributes:
        width, height: pixels, turned as EXIF says.
        format: as Pillow names it; "pixels" of what is no file.
        colour: "grey" or "colour".
        step: of a JPEG file, the mean step of its quantization, 1 to 255 grey levels; 0 of others.
    """

    width: int
    height: int
    format: str
    colour: str
    step: float


class Summary(TypedDict):
    """Of a set of images: ranges of width / height and of the geometric mean side; the rest.

    `formats` are the files', `colours` "grey" or "colour", `step` the largest, see `Header`.
    """

    aspect: tuple[float, float]
    side: tuple[float, float]
    formats: list[str]
    colours: list[str]
    step: float


def summary_of(images: Iterable[ImageLike]) -> Summary | None:
    """A summary of images by their headers; None if there are none."""
    headers = list(in_parallel(_header, images))
    if not headers:
        return None
    sizes = np.array([(header.width, header.height) for header in headers], dtype=float)
    aspect = sizes[:, 0] / sizes[:, 1]
    side = np.sqrt(sizes[:, 0] * sizes[:, 1])
    return {
        "aspect": (float(aspect.min()), float(aspect.max())),
        "side": (float(side.min()), float(side.max())),
        "formats": sorted({header.format for header in headers}),
        "colours": sorted({header.colour for header in headers}),
        "step": max(header.step for header in headers),
    }


def differences(shown: Summary, batch: Summary) -> list[str]:
    """Notes, a sentence each, on how a batch differs from what a model was shown."""
    notes = []
    if batch["aspect"][0] * ASPECT < shown["aspect"][0] or (
        batch["aspect"][1] > shown["aspect"][1] * ASPECT
    ):
        notes.append(
            "these photographs have another shape than the training's (width / height "
            f"{_range(batch['aspect'])}, trained on {_range(shown['aspect'])}): all are "
            "stretched to a square, so a good part looks different"
        )
    if batch["side"][0] * SCALE < shown["side"][0] or batch["side"][1] > shown["side"][1] * SCALE:
        notes.append(
            f"these photographs are of another resolution than the training's (sides of about "
            f"{_range(batch['side'], 0)} px, trained on {_range(shown['side'], 0)} px)"
        )
    coarse = batch["step"] > max(STEP * shown["step"], FINE)
    if coarse or set(batch["formats"]) & set(LOSSY) - set(shown["formats"]):
        notes.append(
            f"these photographs ({', '.join(batch['formats'])}) are compressed more than the "
            f"training's ({', '.join(shown['formats'])}): compression alone can look anomalous"
        )
    if not set(batch["colours"]) <= set(shown["colours"]):
        notes.append(
            f"these photographs are in {' and '.join(batch['colours'])}, the training's in "
            f"{' and '.join(shown['colours'])}"
        )
    return notes


def too_many_flagged(n_flagged: int, n: int, alpha: float) -> str | None:
    """A note if far more of a batch is flagged than alpha allows; None otherwise."""
    from scipy.stats import binom  # 0.5 s to import

    if not n or binom.sf(n_flagged - 1, n, alpha) >= RARE:
        return None
    return (
        f"{n_flagged} of {n} are flagged where {alpha:.1%} of good parts would be: many parts are "
        "bad, or the photographs have changed (light, camera, distance). If these are good parts, "
        "fit again; differnet_course.drift tests a stream of them"
    )


def _header(image: ImageLike) -> Header:
    """The header of an image; of a file no pixel is decoded."""
    if isinstance(image, np.ndarray | Tensor):
        bands = one_picture(image).shape[2:]
        colour = "colour" if bands in ((3,), (4,)) else "grey"
        return Header(*image_size(image), "pixels", colour, 0.0)
    source = image if isinstance(image, Image.Image) else read(image)
    with undecoded(source) as opened:
        grey = opened.mode in ("1", "L", "LA", "F") or opened.mode.startswith("I")
        colour = "grey" if grey else "colour"
        tables = getattr(opened, "quantization", None) or {0: [0]}
        step = float(np.mean(tables[0]))
        return Header(*image_size(source), opened.format or "pixels", colour, step)


def _range(bounds: Sequence[float], digits: int = 2) -> str:
    low, high = (f"{value:.{digits}f}" for value in bounds)
    return low if low == high else f"{low} to {high}"
