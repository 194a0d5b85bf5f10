"""Shared tools of the sample categories: shapes, noise fields, lighting, camera.

Everything is float64 arithmetic on one thread without BLAS or FFT, in pixels, with
the origin in the middle of the image, x to the right and y downwards. Scenes are
*linear* values, about 0 (black) to 1 (white), of shape (H, W) or, colour, (3, H, W):
channels first, because NumPy is several times faster with a long last axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "SIZE",
    "Array",
    "Mask",
    "arc",
    "blotch",
    "cover",
    "expose",
    "grid",
    "ink",
    "mix",
    "polyline",
    "rotate",
    "segment",
    "shadow",
    "slopes",
    "smooth_noise",
    "wander",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SIZE = 448  # height and width of every image, pixels


def grid() -> tuple[Array, Array]:
    """Coordinates (x, y) of the pixel centres, each of shape (H, W), in pixels."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    return np.broadcast_to(axis, (SIZE, SIZE)), np.broadcast_to(axis[:, None], (SIZE, SIZE))


def rotate(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates (x, y) in a frame turned by `angle` radians (clockwise on screen)."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, c * y - s * x


def cover(distance: Array, soft: float = 1.0) -> Array:
    """Share of each pixel inside a shape, from its signed distance (negative inside).

    Args:
        distance: Signed distance to the outline, pixels, any shape.
        soft: Width of the edge in pixels; 1 is plain anti-aliasing.

    Returns:
        Coverage 0 to 1, the shape of `distance`.
    """
    t = np.clip(0.5 - distance / soft, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


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


def segment(x: Array, y: Array, a: tuple[float, float], b: tuple[float, float]) -> Array:
    """Distance of every pixel to the line segment from `a` to `b`, pixels."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    t = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / (dx * dx + dy * dy + 1e-9), 0.0, 1.0)
    return np.sqrt((x - a[0] - t * dx) ** 2 + (y - a[1] - t * dy) ** 2)


def polyline(
    x: Array, y: Array, points: Array, widths: Array | None = None, reach: float = 16.0
) -> Array:
    """Signed distance to a polyline with a half width at each point.

    Args:
        x: Pixel coordinates to the right, (H, W).
        y: Pixel coordinates downwards, (H, W).
        points: (P, 2) corners.
        widths: (P,) half widths in pixels; zero everywhere when left out.
        reach: Distance in pixels beyond which the result need not be right, only large.

    Returns:
        (H, W) distance minus the half width of the nearest stretch.
    """
    half = np.zeros(len(points)) if widths is None else widths
    best = np.full(x.shape, 1e6)
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    nx, ny, nearest = x[near], y[near], best[near]
    for k in range(len(points) - 1):
        pair = [(float(p[0]), float(p[1])) for p in points[k : k + 2]]
        nearest = np.minimum(nearest, segment(nx, ny, *pair) - 0.5 * (half[k] + half[k + 1]))
    best[near] = nearest
    return best


def arc(centre: tuple[float, float], radius: float, start: float, stop: float) -> Array:
    """Corners (9, 2) along an arc from angle `start` to `stop` (radians, clockwise)."""
    angles = np.linspace(start, stop, 9)
    circle: Array = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle *= radius
    circle += np.asarray(centre)
    return circle


def wander(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    bend: float = 0.15,
    steps: int = 7,
) -> Array:
    """Corners (steps + 1, 2) of a path that leaves `start` at `angle` and wanders.

    Args:
        rng: Source of randomness.
        start: First corner, pixels.
        angle: First direction, radians.
        length: Length along the path, pixels.
        bend: Standard deviation of the change of direction at each step, radians.
        steps: Number of straight stretches.
    """
    headings = angle + np.cumsum(rng.normal(0.0, bend, steps))
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    path: Array = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    path += np.asarray(start)
    return path


def blotch(
    rng: np.random.Generator,
    x: Array,
    y: Array,
    centre: tuple[float, float],
    radius: float,
    rough: float = 0.25,
    stretch: float = 1.0,
) -> Array:
    """Signed distance (roughly) to an irregular spot.

    Args:
        rng: Source of randomness.
        x: Pixel coordinates to the right, (H, W).
        y: Pixel coordinates downwards, (H, W).
        centre: Middle of the spot, pixels.
        radius: Mean radius, pixels.
        rough: Amplitude of the wobble of the outline, relative to the radius.
        stretch: Ratio of the long to the short axis.
    """
    u, v = rotate(x - centre[0], y - centre[1], rng.uniform(0, np.pi))
    u, v = u / np.sqrt(stretch), v * np.sqrt(stretch)
    distance: Array = np.sqrt(u * u + v * v)
    near = distance < 3.0 * radius + 8.0  # the outline matters only here
    phi = np.arctan2(v[near], u[near])
    outline = np.ones_like(phi)
    for k in range(2, 7):
        outline += rough / k * rng.normal() * np.cos(k * phi + rng.uniform(0, 2 * np.pi))
    distance[near] -= radius * np.clip(outline, 0.2, 2.0)
    return distance


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
