"""A production line for lab 3: it takes two photographs of every part, a second apart."""

from collections.abc import Sequence

import numpy as np

from differnet_lite.images import ImageLike, as_rgb

__all__ = ["second_shots"]


def second_shots(images: Sequence[ImageLike], *, seed: int = 0) -> list[np.ndarray]:
    """A second photograph of each part: moved by a pixel, other exposure, fresh camera noise.

    Args:
        images: N photographs, as files or arrays.
        seed: of the movements, the exposures and the noise; each image has its own numbers.

    Returns:
        N arrays (H, W, 3) uint8.
    """
    shots = []
    for k, image in enumerate(images):
        rng = np.random.default_rng([seed, k])
        pixels = np.asarray(as_rgb(image))
        height, width = pixels.shape[:2]
        down, right = rng.integers(-1, 2, 2)
        moved = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
        moved = moved[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        exposed = moved * rng.uniform(0.98, 1.02) + rng.normal(0, 2, pixels.shape)
        shots.append(np.clip(exposed, 0, 255).round().astype(np.uint8))
    return shots
