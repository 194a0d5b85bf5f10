"""How a scene looks: colours, noise, slopes, shadows and the camera.

Scenes are *linear* values, about 0 (black) to 1 (white), of shape (H, W) or, in colour,
(3, H, W): channels first, because NumPy is several times faster with a long last axis.
"""

import numpy as np
from scipy import ndimage

from .shapes import SIZE, Array, Rng, grid


def ink(red: float, green: float, blue: float) -> Array:
    """One colour of shape (3, 1, 1), to be combined with scenes (3, H, W)."""
    return np.array([red, green, blue]).reshape(3, 1, 1)


def mix(below: Array, above: Array | float, alpha: Array) -> Array:
    """Lay `above` over `below` with opacity `alpha` (H, W)."""
    return below + alpha * (above - below)


def shadow(body: Array, lx: float, ly: float, softness: float = 5.0) -> Array:
    """Light lost (0 to 1) around a flat body (H, W): a cast shadow, and darkness at its foot."""
    small = body[::2, ::2]  # soft things are drawn at half the resolution
    far = ndimage.shift(small, (-3.5 * ly, -3.5 * lx), order=1, mode="nearest")
    cast = 0.75 * ndimage.gaussian_filter(far, softness / 2, truncate=3.0)
    cast = np.maximum(cast, 0.7 * ndimage.gaussian_filter(small, 2.0, truncate=3.0))
    lost: Array = ndimage.zoom(cast, 2, order=1, grid_mode=True, mode="nearest")
    return lost


def smooth_noise(rng: Rng, scale: float) -> Array:
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
    below = 0.5 * (0.5 - t) ** 2 * values[nearest - 1]
    return below + (0.75 - t * t) * values[nearest] + 0.5 * (0.5 + t) ** 2 * values[nearest + 1]


def slopes(height: Array) -> tuple[Array, Array]:
    """Slopes (along x, along y) of a relief (H, W) in pixels, by central differences."""
    gy: Array = np.gradient(height, axis=0)
    gx: Array = np.gradient(height, axis=1)
    gx[:, [0, -1]] = gx[:, [1, -2]]
    gy[[0, -1]] = gy[[1, -2]]
    return gx, gy


def expose(scene: Array, lens: Rng, light: float = 1.0) -> Array:
    """The camera without its noise: grey levels 0 to 255, in the shape of `scene`.

    Exposure (`light`: 1 is a new lamp), vignetting, slight defocus and tone curve.
    """
    x, y = grid()
    sigma = 0.8 * lens.uniform(0.85, 1.25)  # of the defocus blur, pixels
    corner = lens.uniform(0.10, 0.2)  # loss of light in the corners
    off = lens.uniform(-40, 40, 2)
    falloff = 1.0 - corner * ((x - off[0]) ** 2 + (y - off[1]) ** 2) / (SIZE**2 / 2)
    linear = ndimage.gaussian_filter(scene, sigma, truncate=3.0, axes=(-2, -1))
    linear = np.maximum(linear * (falloff * light), 0.0)
    # Highlights roll off smoothly instead of clipping, as film and camera curves do.
    over = np.maximum(linear - 0.8, 0.0)
    tone: Array = linear - over + over / (1.0 + 5.0 * over)
    return tone * 255.0
