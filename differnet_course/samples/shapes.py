"""Where a shape is: pixel coordinates, signed distances, and the pixels that they cover.

Lengths are in pixels, with the origin in the middle of the image, x to the right and y
downwards. A signed distance is negative inside the shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SIZE",
    "Array",
    "Mask",
    "arc",
    "blotch",
    "cover",
    "grid",
    "polyline",
    "rotate",
    "segment",
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
