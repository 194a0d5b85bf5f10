"""One image of any sample category, with the mask of its defect."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from differnet_lite import Transformations
from differnet_lite.checks import one_of

from . import button, flange, switch, tablet, weave
from .rendering import expose
from .shapes import SIZE, Array, Mask, Rng

VIEWS = Transformations.grid(8)  # the views of the notebooks: half of the default's
VERSION = 1  # raise whenever a pixel of any image changes
MODULES = (flange, weave, tablet, switch, button)
CATEGORIES = {module.__name__.rpartition(".")[2]: module for module in MODULES}
SAMPLE_CATEGORIES: tuple[str, ...] = tuple(CATEGORIES)
DEFECTS: dict[str, tuple[str, ...]] = {name: c.DEFECTS for name, c in CATEGORIES.items()}
VISIBLE = 2.0  # grey levels: what changes by less is no part of the defect
SMALLEST = 30  # pixels: a defect that shows less than this is drawn anew
ATTEMPTS = 20


def render(
    category: str, rng: Rng, *, defect: str | None = None, ageing: float = 0.0
) -> tuple[NDArray[np.uint8], Mask]:
    """Render one image and the mask of its defect.

    Two calls with generators in the same state and different `defect` show the same part under the
    same light with the same noise: they differ inside the mask only, by two grey levels or more.

    Args:
        category: one of `SAMPLE_CATEGORIES`.
        rng: source of all randomness; advanced by the same amount whatever the defect.
        defect: one of `DEFECTS[category]`, or None for a normal part.
        ageing: share of the lamp's light that is lost.

    Returns:
        The image, (448, 448) or in colour (448, 448, 3), uint8, and the mask, (448, 448) bool.

    Example:
        >>> image, mask = render("flange", np.random.default_rng(0), defect="dent")
        >>> image.shape, image.dtype, bool(mask.any())
        ((448, 448), dtype('uint8'), True)
    """
    one_of("category", category, SAMPLE_CATEGORIES)
    if defect is not None:
        one_of(f"defect of {category!r}", defect, DEFECTS[category])
    # Freed at once: glibc reuses freed blocks up to this size from now on, in half the time.
    np.empty(31 * 2**20, dtype=np.uint8)
    part_seed, flaw_seed, lens_seed = rng.integers(2**63, size=3)
    flaw, lens = np.random.default_rng(flaw_seed), np.random.default_rng(lens_seed)

    def photograph(kind: str | None, lens: Rng) -> Array:
        scene = CATEGORIES[category].scene(np.random.default_rng(part_seed), flaw, kind)
        return expose(scene, lens, light=1.0 - ageing)

    level = photograph(None, lens)
    noise = lens.standard_normal(level.shape)  # one noise, with and without the defect
    image = _digitise(level, noise)
    if defect is None:
        return image, np.zeros((SIZE, SIZE), dtype=bool)
    for _ in range(ATTEMPTS):  # it may have fallen into a shadow
        flawed = photograph(defect, np.random.default_rng(lens_seed))
        change = np.abs(flawed - level)
        mask = (change if change.ndim == 2 else change.max(axis=0)) >= VISIBLE
        # Where a change passes through zero inside the defect, that is defect too.
        mask = ndimage.binary_closing(np.pad(mask, 4), iterations=3)[4:-4, 4:-4] | mask
        if np.count_nonzero(mask) >= SMALLEST:
            inside = mask if image.ndim == 2 else mask[..., None]
            return np.where(inside, _digitise(flawed, noise), image), mask
    raise ValueError(f"ageing: {ageing} leaves too little light to show {defect!r}; lower it")


def _digitise(level: Array, noise: Array) -> NDArray[np.uint8]:
    """Add read and shot noise to grey levels 0 to 255; uint8, (H, W) or (H, W, 3)."""
    # Demosaicing averages neighbouring pixels, so colour images have less noise.
    strength = 1.0 if level.ndim == 2 else 0.6
    noisy = level + noise * (strength * np.sqrt(0.6 + 0.009 * level))
    pixels = np.rint(np.clip(noisy, 0.0, 255.0)).astype(np.uint8)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
