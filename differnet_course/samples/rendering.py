"""How a scene looks: colours, noise fields, relief, shadows and the camera.

Everything is float64 arithmetic on one thread without BLAS or FFT. Scenes are *linear*
values, about 0 (black) to 1 (white), of shape (H, W) or, colour, (3, H, W): channels first,
because NumPy is several times faster with a long last axis.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from differnet_course.samples.shapes import SIZE, Array, grid

__all__ = [
    "expose",
    "ink",
    "mix",
    "shadow",
    "slopes",
    "smooth_noise",
]


def ink(red: float, green: float, blue: float) -> Array:
    """One colour of shape (3, 1, 1), to be combined with scenes (3, H, W)."""
    return np.array([red, green, blue]).reshape(3, 1, 1)


def mix(below: Array, above: Array | float, alpha: Array) -> Array:
    """Lay `above` over `below` with opacity `alpha` (H, W)."""
    return below + alpha * (above - below)


def shadow(body: Array, lx: float, ly: float, softness: float = 5.0) -> Array:
    """Light lost (0 to 1) around a flat body, away from the light and at its foot.

    Args:
        body: Coverage of the body, (H, W).
        lx: Direction towards the light, to the right.
        ly: Direction towards the light, downwards.
        softness: Standard deviation of the blur of the cast shadow, pixels.
    """
    small = body[::2, ::2]  # soft things are drawn at half the resolution
    far = ndimage.shift(small, (-3.5 * ly, -3.5 * lx), order=1, mode="nearest")
    cast = 0.75 * ndimage.gaussian_filter(far, softness / 2, truncate=3.0)
    cast = np.maximum(cast, 0.7 * ndimage.gaussian_filter(small, 2.0, truncate=3.0))
    lost: Array = ndimage.zoom(cast, 2, order=1, grid_mode=True, mode="nearest")
    return lost


def smooth_noise(rng: np.random.Generator, scale: float) -> Array:
    """Gaussian noise (H, W), smooth over about `scale` pixels, standard deviation 1."""
    if scale < 4:
        white = rng.standard_normal((SIZE, SIZE))
        noise: Array = ndimage.gaussian_filter(white, scale, truncate=3.0)
        return noise * float(2 * np.sqrt(np.pi) * scale)
    # A quadratic B-spline through coarse white noise: the same look at a tenth of the work.
    cells = int(np.ceil(SIZE / scale)) + 3
    coarse = rng.standard_normal((cells, cells))
    axis = np.arange(SIZE) / scale + 1.0
    rows = _spline(coarse, axis)
    return _spline(rows.T, axis).T * 1.82  # mean square of the spline weights is 0.55


def _spline(values: Array, at: Array) -> Array:
    """Quadratic B-spline with coefficients `values` (K, ...) at the positions `at` (H,)."""
    nearest = np.floor(at + 0.5).astype(np.int64)
    t = (at - nearest)[:, None]
    return (
        0.5 * (0.5 - t) ** 2 * values[nearest - 1]
        + (0.75 - t * t) * values[nearest]
        + 0.5 * (0.5 + t) ** 2 * values[nearest + 1]
    )


def slopes(height: Array) -> tuple[Array, Array]:
    """Slopes (along x, along y) of a relief (H, W) in pixels, by central differences."""
    gx, gy = np.empty_like(height), np.empty_like(height)
    gx[:, 1:-1] = 0.5 * (height[:, 2:] - height[:, :-2])
    gy[1:-1] = 0.5 * (height[2:] - height[:-2])
    gx[:, [0, -1]], gy[[0, -1]] = gx[:, [1, -2]], gy[[1, -2]]
    return gx, gy


def expose(
    scene: Array, lens: np.random.Generator, *, light: float = 1.0, focus: float = 0.8
) -> Array:
    """The camera without its noise: exposure, vignetting, slight defocus, tone curve.

    Args:
        scene: Linear values, (H, W) or (3, H, W).
        lens: Randomness of the camera.
        light: Brightness of the lamp; 1 is a new lamp.
        focus: Mean standard deviation of the defocus blur, pixels.

    Returns:
        Noise-free grey levels 0 to 255, the shape of `scene`.
    """
    x, y = grid()
    sigma = focus * lens.uniform(0.85, 1.25)
    corner = lens.uniform(0.10, 0.2)  # loss of light in the corners
    off = lens.uniform(-40, 40, 2)
    falloff = 1.0 - corner * ((x - off[0]) ** 2 + (y - off[1]) ** 2) / (SIZE**2 / 2)
    linear = ndimage.gaussian_filter(scene, sigma, truncate=3.0, axes=(-2, -1))
    linear = np.maximum(linear * (falloff * light), 0.0)
    # Highlights roll off smoothly instead of clipping, as film and camera curves do.
    over = np.maximum(linear - 0.8, 0.0)
    tone: Array = linear - over + over / (1.0 + 5.0 * over)
    return tone * 255.0
