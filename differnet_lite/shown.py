"""What photographs look like to a model that is shown them: one pass over their files.

A threshold holds for photographs that are made like those of the training: same camera, size,
shape, compression. The model file holds a summary of them, and a batch that differs gets a note.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from differnet_lite.images import ImageLike, image_size, in_parallel, pixels, read, undecoded
from differnet_lite.pixels import white_of

__all__ = ["Look", "Summary", "differences", "summary_of", "survey", "too_many_flagged", "white_in"]

SIDE = 64  # pixels, of a thumbnail
ASPECT = 1.1  # a shape this many times wider or narrower than all that were shown is another one
SCALE = 1.5  # so for the length of a side
LOSSY = ("WEBP", "AVIF", "HEIF", "JPEG2000")  # besides JPEG, which says how much
STEP = 2.0  # times the coarsest quantization of the training
FINE = 3.0  # grey levels, of a JPEG file of quality 97: no note below
RARE = 1e-3  # a batch that is rarer than this, if the promise holds, gets a note


class Look(NamedTuple):
    """What one reading of a photograph says; the last three are empty of headers alone."""

    path: Path | None
    size: tuple[int, int]  # width and height, pixels, turned as EXIF says
    format: str  # as Pillow names it; "pixels" of what is no file
    colour: str  # "grey" or "colour"
    step: float  # of a JPEG file, the mean step of its quantization, grey levels; 0 of others
    digest: str = ""  # see `Source`
    largest: float = 0  # value of a picture of more than 8 bits; 0 of others
    thumbnail: np.ndarray = np.empty(0, np.float32)  # (SIDE^2,), of mean 0 and spread 1


class Summary(TypedDict):
    """Of a set of images."""

    aspect: tuple[float, float]  # smallest and largest width / height
    side: tuple[float, float]  # so of the geometric mean of the sides, pixels
    formats: list[str]
    colours: list[str]
    step: float  # the largest, see `Look`


def survey(
    images: Sequence[ImageLike], *, headers_only: bool = False, progress: bool = False
) -> list[Look]:
    """Look at each image once; with `headers_only` no pixel is decoded."""
    looks = in_parallel(functools.partial(_look, headers_only=headers_only), images)
    bar = tqdm(looks, "looking at images", len(images), disable=not progress, leave=False)
    return list(bar)


def white_in(looks: Iterable[Look]) -> int | None:
    """What is white in these images, see `white_of`; None if none has more than 8 bits."""
    largest = [look.largest for look in looks if look.largest]
    return white_of(max(largest), float(np.median(largest))) if largest else None


def summary_of(looks: Sequence[Look]) -> Summary:
    """A summary of one or more images."""
    sizes = np.array([look.size for look in looks], dtype=float)
    aspect = sizes[:, 0] / sizes[:, 1]
    side = np.sqrt(sizes[:, 0] * sizes[:, 1])
    return {
        "aspect": (float(aspect.min()), float(aspect.max())),
        "side": (float(side.min()), float(side.max())),
        "formats": sorted({look.format for look in looks}),
        "colours": sorted({look.colour for look in looks}),
        "step": max(look.step for look in looks),
    }


def differences(shown: Summary, batch: Summary) -> list[str]:
    """Notes, a sentence each, on how a batch differs from what a model was shown."""
    notes = []
    if _beyond(batch["aspect"], shown["aspect"], ASPECT):
        notes.append(
            "these photographs have another shape than the training's (width / height "
            f"{_range(batch['aspect'])}, trained on {_range(shown['aspect'])}): all are "
            "stretched to a square, so a good part looks different"
        )
    if _beyond(batch["side"], shown["side"], SCALE):
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
        "bad, or the photographs have changed (light, camera, distance); if all are good, fit again"
    )


def _look(image: ImageLike, headers_only: bool) -> Look:
    source = read(image)
    path = Path(image) if isinstance(image, str | os.PathLike) else None
    with undecoded(source) as opened:
        grey = opened.mode in ("1", "L", "LA", "F") or opened.mode.startswith("I")
        tables = getattr(opened, "quantization", None) or {0: [0]}
        header = Look(
            path=path,
            size=image_size(source),
            format=opened.format or "pixels",
            colour="grey" if grey else "colour",
            step=float(np.mean(tables[0])),
        )
    if headers_only:
        return header
    picture = pixels(source, smallest=4 * SIDE)
    largest = 0.0
    if isinstance(picture, np.ndarray):
        largest = float(picture.max())
        values = picture.astype(np.float32)
        picture = Image.fromarray(values if values.ndim == 2 else values.mean(2))
    else:
        picture = picture.convert("L").convert("F")  # not rounded below: grain is told from grain
    small = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2)
    brightness = np.asarray(small).ravel()
    thumbnail = (brightness - brightness.mean()) / max(brightness.std(), 1e-3)
    return header._replace(digest=source.digest, largest=largest, thumbnail=thumbnail)


def _beyond(batch: Sequence[float], shown: Sequence[float], times: float) -> bool:
    return batch[0] * times < shown[0] or batch[1] > shown[1] * times


def _range(bounds: Sequence[float], digits: int = 2) -> str:
    low, high = (f"{value:.{digits}f}" for value in bounds)
    return low if low == high else f"{low} to {high}"
