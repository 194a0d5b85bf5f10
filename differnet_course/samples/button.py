"""The category "button": four-hole buttons in two finishes on dark cloth, colour.

Half of the buttons are plain, half speckled, and both are normal: the features are two clouds, a
tight one and a wide one. On a plain button a speck is a defect. Pose (any rotation, small shift),
shade, number and depth of the speckles, light and cloth vary as well.
"""

import numpy as np

from .rendering import ink, mix, shadow, slopes, smooth_noise
from .shapes import Array, Point, Rng, blotch, cover, grid, polar, rotate, stroke, wander

DEFECTS = ("scratch", "chip", "inclusion", "vein")

RADIUS, DISH = 158.0, 120.0  # of the outline and of the dished middle, pixels
HOLE, PITCH = 17.0, 34.0  # radius of a hole, and its distance from the middle
PLAIN = 0.5  # share of the plain buttons


def scene(part: Rng, flaw: Rng, defect: str | None) -> Array:
    """Linear colours (3, 448, 448) of one button."""
    x, y = grid()
    shift, pose = part.uniform(-6, 6, 2), part.uniform(0, 2 * np.pi)
    x, y = x - shift[0], y - shift[1]
    u, v = rotate(x, y, pose)
    r = np.sqrt(x * x + y * y)
    lx, ly = polar(1.0, part.normal(-2.1, 0.08))  # direction the light comes from: upper left
    gain = part.uniform(0.97, 1.05)

    # Outline: distance to the resin, negative inside it.
    holes = np.full_like(r, 1e6)
    for k in range(4):
        phi = np.pi / 4 + k * np.pi / 2
        away = (u - PITCH * np.cos(phi)) ** 2 + (v - PITCH * np.sin(phi)) ** 2
        holes = np.minimum(holes, away)
    holes = np.sqrt(holes) - HOLE
    edge, broken = r - RADIUS, np.zeros_like(r)
    if defect == "chip":
        edge, broken = _chip(flaw, x, y, edge)
    body = cover(np.maximum(edge, -holes), 1.5)

    # Relief, pixels: rounded rim, dished middle, bevelled holes.
    height = -16.0 * (1.0 - np.sqrt(1.0 - np.clip(1.0 + edge / 26.0, 0.0, 0.999) ** 2))
    height -= 9.0 * cover(r - DISH, 26.0)
    height -= 3.5 * np.clip(1.0 - holes / 7.0, 0.0, 1.0) ** 2
    height += 0.05 * smooth_noise(part, 12.0)

    # Resin: cast ivory, and in half of the buttons specks of two sizes.
    resin = ink(0.74, 0.68, 0.55) * (1.0 + part.normal(0, 0.012)) + ink(*part.normal(0, 0.006, 3))
    colour = resin * (1.0 + 0.012 * smooth_noise(part, 60.0))
    if part.random() >= PLAIN:
        colour = _speckle(part, colour)
    if defect == "scratch":
        groove = _scratch(flaw, x, y)
        height -= groove
        colour = mix(colour, 0.82 * colour + 0.05, 0.6 * np.minimum(groove, 1.0))
    if defect == "inclusion":
        colour = mix(colour, ink(0.10, 0.07, 0.05), _inclusion(flaw, x, y))
    if defect == "vein":
        colour = mix(colour, ink(0.45, 0.27, 0.13), _vein(flaw, x, y))
    if defect == "chip":  # broken resin is pale and rough
        colour = mix(colour, 1.1 * colour + 0.05, broken)
        height -= broken * (3.0 + 0.8 * smooth_noise(flaw, 2.0))

    gx, gy = slopes(height)
    towards, across = gx * lx + gy * ly, gx * ly - gy * lx
    lambert = np.maximum((0.84 - 0.6 * towards) / np.sqrt(1.0 + gx * gx + gy * gy), 0.0)
    gloss = np.exp(-((towards + 0.42) ** 2 + across**2) / 0.018)
    gloss += 0.5 * np.exp(-((towards - 0.5) ** 2 + (across - 0.1) ** 2) / 0.03)  # a window
    image = colour * (0.2 + 0.85 * lambert) + 0.32 * part.uniform(0.9, 1.1) * gloss

    fibres = 1.0 + 0.05 * smooth_noise(part, 80.0) + 0.035 * smooth_noise(part, 1.8)
    cloth = ink(0.20, 0.23, 0.26) * (fibres * (1.0 - 0.85 * shadow(body, lx, ly, softness=9.0)))
    return gain * mix(cloth, image, body)


def _speckle(part: Rng, colour: Array) -> Array:
    """Small black and larger brown specks, many or few, faint or strong."""
    few, depth = part.uniform(0.7, 1.6), part.uniform(0.55, 0.95)
    for size, hue in ((2.6, ink(0.16, 0.10, 0.07)), (5.0, ink(0.40, 0.24, 0.13))):
        colour = mix(colour, hue, depth * np.clip(1.8 * (smooth_noise(part, size) - few), 0, 1))
    return colour


def _place(flaw: Rng, low: float, high: float) -> Point:
    """A point between two distances from the middle, both beyond the holes."""
    return polar(flaw.uniform(low, high), flaw.uniform(0, 2 * np.pi))


def _chip(flaw: Rng, x: Array, y: Array, edge: Array) -> tuple[Array, Array]:
    """Bite a piece out of the rim; the break reaches further in than the bite."""
    size = flaw.uniform(10, 20)
    centre = _place(flaw, RADIUS + 0.25 * size, RADIUS + 0.25 * size)
    bite = blotch(flaw, x, y, centre, size, rough=0.45, stretch=flaw.uniform(1.0, 1.7))
    return np.maximum(edge, -(bite + flaw.uniform(3, 6))), cover(bite, 2.5)


def _scratch(flaw: Rng, x: Array, y: Array) -> Array:
    """Depth of a scratch, pixels."""
    angle, length = flaw.uniform(0, 2 * np.pi), flaw.uniform(60, 130)
    path = wander(flaw, _place(flaw, 60, 115), angle, length, bend=0.1)
    return stroke(flaw, x, y, path, (0.1, 0.4, 1.2)) * flaw.uniform(0.8, 1.4)


def _inclusion(flaw: Rng, x: Array, y: Array) -> Array:
    """Opacity of a dark grain in the resin: a speck larger than those of a speckled button."""
    radius, stretch = flaw.uniform(4, 8.5), flaw.uniform(1.0, 1.6)
    spot = blotch(flaw, x, y, _place(flaw, 70, 140), radius, rough=0.4, stretch=stretch)
    return flaw.uniform(0.6, 0.9) * cover(spot, 2.0)


def _vein(flaw: Rng, x: Array, y: Array) -> Array:
    """Opacity of a streak of brown resin that strayed in, of the colour of the brown specks."""
    angle, length = flaw.uniform(0, 2 * np.pi), flaw.uniform(70, 120)
    path = wander(flaw, _place(flaw, 60, 120), angle, length, bend=0.35, steps=9)
    return stroke(flaw, x, y, path, (0.3, 2, 5), soft=5.0) * flaw.uniform(0.45, 0.8)
