"""One image of any sample category, with the mask of its defect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from differnet_course.samples import button, flange, switch, tablet, weave
from differnet_course.samples.rendering import expose
from differnet_course.samples.shapes import SIZE, Array, Mask
from differnet_lite.oldchecks import checked, real

__all__ = ["DEFECTS", "SAMPLE_CATEGORIES", "VERSION", "check", "render"]

VERSION = 1  # raise whenever a pixel of any image changes
SAMPLE_CATEGORIES: tuple[str, ...] = ("flange", "weave", "tablet", "switch", "button")
DEFECTS: dict[str, tuple[str, ...]] = {
    "flange": flange.DEFECTS,
    "weave": weave.DEFECTS,
    "tablet": tablet.DEFECTS,
    "switch": switch.DEFECTS,
    "button": button.DEFECTS,
}

_Scene = Callable[[np.random.Generator, np.random.Generator, str | None], Array]
_SCENES: dict[str, _Scene] = {
    "flange": flange.scene,
    "weave": weave.scene,
    "tablet": tablet.scene,
    "switch": switch.scene,
    "button": button.scene,
}
_VISIBLE = 2.0  # grey levels: what changes by less is no part of the defect
_SMALLEST = 30  # pixels: a defect that shows less than this is drawn anew
_ATTEMPTS = 20


@checked(ageing=real(0, below=1))
def render(
    category: str,
    rng: np.random.Generator,
    *,
    defect: str | None = None,
    ageing: float = 0.0,
) -> tuple[NDArray[np.uint8], Mask]:
    """Render one image and the mask of its defect.

    Two calls with generators in the same state and different `defect` show the same part
    under the same light with the same sensor noise: they differ inside the mask only, and
    every pixel that the defect changes by two grey levels or more lies in the mask.

    Args:
        category: One of `SAMPLE_CATEGORIES`.
        rng: Source of all randomness; advanced by the same amount whatever the defect.
        defect: One of `DEFECTS[category]`, or None for a normal part.
        ageing: Share of the lamp's light that is lost, 0 to 1 (exclusive).

    Returns:
        image: uint8, (448, 448) for grey categories, (448, 448, 3) for colour ones.
        mask: bool, (448, 448), True where the defect changed the image.

    Raises:
        ValueError: Unknown category or defect, or `ageing` out of range or so high that the
            defect does not show.

    Example:
        >>> image, mask = render("flange", np.random.default_rng(0), defect="dent")
        >>> image.shape, image.dtype, bool(mask.any())
        ((448, 448), dtype('uint8'), True)
    """
    check(category, defect)
    if not 0.0 <= ageing < 1.0:
        raise ValueError(f"expected 0 <= ageing < 1 (share of light lost), got {ageing}")
    _keep_freed_memory()
    part_seed, flaw_seed, lens_seed = rng.integers(2**63, size=3)
    draw = _SCENES[category]

    def photograph(kind: str | None, lens: np.random.Generator) -> Array:
        scene = draw(np.random.default_rng(part_seed), flaw, kind)
        return expose(scene, lens, light=1.0 - ageing)

    flaw, lens = np.random.default_rng(flaw_seed), np.random.default_rng(lens_seed)
    level = photograph(None, lens)
    noise = lens.standard_normal(level.shape)  # one noise, with and without the defect
    image = _digitise(level, noise)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if defect is None:
        return image, mask
    for _ in range(_ATTEMPTS):  # it may have fallen into a shadow
        flawed = photograph(defect, np.random.default_rng(lens_seed))
        change = np.abs(flawed - level)
        mask = (change if change.ndim == 2 else change.max(axis=0)) >= _VISIBLE
        # Where a change passes through zero inside the defect, that is defect too.
        mask = ndimage.binary_closing(np.pad(mask, 4), iterations=3)[4:-4, 4:-4] | mask
        if np.count_nonzero(mask) >= _SMALLEST:
            break
    else:
        raise ValueError(
            f"expected a lamp bright enough to show {defect!r}, got ageing={ageing}; lower it"
        )
    inside = mask if image.ndim == 2 else mask[..., None]
    return np.where(inside, _digitise(flawed, noise), image), mask


def check(category: str, defect: str | None) -> None:
    """Raise ValueError unless there are such a category and such a defect of it."""
    if category not in SAMPLE_CATEGORIES:
        raise ValueError(f"expected a category of {SAMPLE_CATEGORIES}, got {category!r}")
    if defect is not None and defect not in DEFECTS[category]:
        raise ValueError(
            f"expected a defect of {DEFECTS[category]} or None for {category!r}, got {defect!r}"
        )


def _keep_freed_memory() -> None:
    """Make glibc reuse the memory of freed arrays: rendering takes half the time.

    Its malloc returns large blocks to the system when they are freed, and every new array
    pays for fresh pages, until one block of up to 32 MiB was freed; from then on blocks of
    that size are reused. This one is never written to, so it costs next to nothing.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


def _digitise(level: Array, noise: Array) -> NDArray[np.uint8]:
    """Add read and shot noise to grey levels 0 to 255; uint8, (H, W) or (H, W, 3)."""
    # Demosaicing averages neighbouring pixels, so colour images have less noise.
    strength = 1.0 if level.ndim == 2 else 0.6
    noisy = level + noise * (strength * np.sqrt(0.6 + 0.009 * level))
    pixels = np.rint(np.clip(noisy, 0.0, 255.0)).astype(np.uint8)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
