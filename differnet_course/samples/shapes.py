"""Where a shape is: pixel coordinates, signed distances, and the pixels that they cover.

Lengths are in pixels, with the origin in the middle of the image, x to the right and y downwards;
angles are in radians, clockwise. A signed distance (H, W) is negative inside the shape.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Point = tuple[float, float]
Rng = np.random.Generator
SIZE = 448  # height and width of every image, pixels


def grid() -> tuple[Array, Array]:
    """Coordinates (x, y) of the pixel centres, each of shape (H, W)."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    return np.broadcast_to(axis, (SIZE, SIZE)), np.broadcast_to(axis[:, None], (SIZE, SIZE))


def rotate(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates (x, y) in a frame turned by `angle`."""
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, c * y - s * x


def polar(radius: float, angle: float) -> Point:
    """The point at a distance from the origin, in a direction."""
    return float(radius * np.cos(angle)), float(radius * np.sin(angle))


def cover(distance: Array, soft: float = 1.0) -> Array:
    """Share (0 to 1) of each pixel inside a shape, whose edge is `soft` pixels wide."""
    t = np.clip(0.5 - distance / soft, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def polyline(
    x: Array, y: Array, points: Array, widths: Array | None = None, reach: float = 16.0
) -> Array:
    """Signed distance to a line through points (P, 2), of half widths (P,) or without width.

    Beyond `reach` pixels from the line the result is no distance, only large.
    """
    half = np.zeros(len(points)) if widths is None else widths
    best = np.full(x.shape, 1e6)
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    near = (x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1])
    nx, ny, nearest = x[near], y[near], best[near]
    for k in range(len(points) - 1):
        (ax, ay), (bx, by) = points[k : k + 2].tolist()
        dx, dy = bx - ax, by - ay
        t = np.clip(((nx - ax) * dx + (ny - ay) * dy) / (dx * dx + dy * dy + 1e-9), 0.0, 1.0)
        away = np.sqrt((nx - ax - t * dx) ** 2 + (ny - ay - t * dy) ** 2)
        nearest = np.minimum(nearest, away - 0.5 * (half[k] + half[k + 1]))
    best[near] = nearest
    return best


def stroke(
    rng: Rng, x: Array, y: Array, path: Array, widths: tuple[float, float, float], soft: float = 1.5
) -> Array:
    """Coverage of a stroke along a path (P, 2): half widths at its ends, least and most between."""
    end, least, most = widths
    half = np.concatenate([[end], rng.uniform(least, most, len(path) - 2), [end]])
    return cover(polyline(x, y, path, half), soft)


def arc(centre: Point, radius: float, start: float, stop: float) -> Array:
    """Points (9, 2) along an arc from angle `start` to `stop`."""
    angles = np.linspace(start, stop, 9)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius + np.asarray(centre)


def wander(
    rng: Rng, start: Point, angle: float, length: float, bend: float = 0.15, steps: int = 7
) -> Array:
    """Points (steps + 1, 2) of a path that turns by about `bend` at each step."""
    headings = angle + np.cumsum(rng.normal(0.0, bend, steps))
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * (length / steps)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)]) + np.asarray(start)


def blotch(
    rng: Rng,
    x: Array,
    y: Array,
    centre: Point,
    radius: float,
    rough: float = 0.25,
    stretch: float = 1,
) -> Array:
    """Signed distance, roughly, to a spot of a mean radius.

    Its outline strays by the share `rough` of it; `stretch` is the long axis over the short one.
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
