"""What a model was shown, and how a batch of new photographs differs from it.

A threshold holds for photographs that are made like those of the training: same camera, size,
shape, compression. The model file holds a summary of them, and a batch that differs gets a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np

from differnet_lite.images import ImageLike, image_header, in_parallel

__all__ = ["Summary", "differences", "too_many_flagged", "summary_of"]

ASPECT = 1.1  # a shape this many times wider or narrower than all that were shown is another one
SCALE = 1.5  # so for the length of a side
LOSSY = ("JPEG", "WEBP")
RARE = 1e-3  # a batch that is rarer than this, if the promise holds, gets a note


class Summary(TypedDict):
    """Of a set of images: ranges of width / height and of the geometric mean side; formats."""

    aspect: tuple[float, float]
    side: tuple[float, float]
    formats: list[str]


def summary_of(images: Iterable[ImageLike]) -> Summary | None:
    """A summary of images by their headers; None if there are none."""
    headers = list(in_parallel(image_header, images))
    if not headers:
        return None
    sizes = np.array([header[:2] for header in headers], dtype=float)
    aspect = sizes[:, 0] / sizes[:, 1]
    side = np.sqrt(sizes[:, 0] * sizes[:, 1])
    formats = sorted({header[2] for header in headers})
    return {
        "aspect": (float(aspect.min()), float(aspect.max())),
        "side": (float(side.min()), float(side.max())),
        "formats": formats,
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
    new = [name for name in batch["formats"] if name in LOSSY and name not in shown["formats"]]
    if new and not set(LOSSY) & set(shown["formats"]):
        notes.append(
            f"these photographs are compressed ({', '.join(new)}), the training's were not "
            f"({', '.join(shown['formats'])}): compression alone can look anomalous"
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


def _range(bounds: Sequence[float], digits: int = 2) -> str:
    low, high = (f"{value:.{digits}f}" for value in bounds)
    return low if low == high else f"{low} to {high}"
