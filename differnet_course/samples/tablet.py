"""The category "tablet": an embossed, scored, speckled tablet on a tray, colour.

The pose is fixed up to a few degrees. Normal variation: pose, shade of the coating,
speckles of the filler, depth of the imprint, light, dust on the tray.
"""

import numpy as np

from .rendering import ink, mix, shadow, slopes, smooth_noise
from .shapes import Array, Point, Rng, arc, blotch, cover, grid, polar, polyline, rotate, wander

DEFECTS = ("chip", "crack", "contamination", "misprint", "discoloration")

HALF_LENGTH, HALF_WIDTH = 168.0, 98.0  # of the outline, pixels

# The imprint, stroke by stroke in the frame of the tablet: "DN" left, "25" right.
STROKES: tuple[Array, ...] = (
    np.array([[-122.0, -30.0], [-122.0, 30.0]]),
    np.concatenate(
        [[[-122.0, -30.0]], arc((-108.0, 0.0), 30.0, -np.pi / 2, np.pi / 2), [[-122.0, 30.0]]]
    ),
    np.array([[-60.0, 30.0], [-60.0, -30.0]]),
    np.array([[-60.0, -30.0], [-28.0, 30.0]]),
    np.array([[-28.0, 30.0], [-28.0, -30.0]]),
    np.concatenate([arc((44.0, -15.0), 15.0, -np.pi, 0.5), [[28.0, 30.0]]]),
    np.array([[28.0, 30.0], [61.0, 30.0]]),
    np.array([[116.0, -30.0], [90.0, -30.0]]),
    np.concatenate([[[90.0, -30.0], [88.0, -4.0]], arc((98.0, 11.0), 19.0, -1.9, 2.4)]),
)


def scene(part: Rng, flaw: Rng, defect: str | None) -> Array:
    """Linear colours (3, 448, 448) of one tablet."""
    x, y = grid()
    shift, tilt = part.uniform(-6, 6, 2), np.deg2rad(part.normal(0, 2.2))
    u, v = rotate(x - shift[0], y - shift[1], tilt)
    lx, ly = polar(1.0, part.normal(-2.0, 0.12))
    gain = part.uniform(0.92, 1.06)

    # Outline: a superellipse; `rho` is 1 on it, so that the distance is about linear.
    rho = _outline(u, v)
    edge = (rho - 1.0) * (HALF_WIDTH + 20.0 * (u / HALF_LENGTH) ** 2)
    broken = np.zeros_like(x)
    if defect == "chip":
        edge, broken = _chip(flaw, u, v, edge)
    body = cover(edge, 1.5)

    # Relief, pixels: domed face, land around it, score line, debossed glyphs.
    inner = np.clip(1.0 + edge / 14.0, 0.0, 1.0)
    height = -14.0 * (1.0 - np.sqrt(1.0 - np.minimum(inner * inner, 0.999)))
    height -= 13.0 * np.minimum(rho, 1.0) ** 2
    deep = part.uniform(0.75, 1.25)
    blur = part.uniform(2.4, 3.2)
    inside = cover(edge + 12.0, 6.0)
    height -= 3.6 * cover(np.abs(u - 4.0) - 2.6, 4.5) * inside
    glyphs = _imprint(part, flaw, defect, u, v)
    height -= 2.3 * deep * cover(glyphs - 3.0, blur)
    grain = smooth_noise(part, 1.4)
    height += 0.11 * smooth_noise(part, 5.0) + 0.035 * grain
    if defect == "crack":
        crack = _crack(flaw, u, v) * inside
        height -= 1.2 * crack
    if defect == "chip":
        height -= broken * (4.0 + 0.8 * smooth_noise(flaw, 2.2))

    # Coating, speckles of the filler, ink at the bottom of the imprint.
    shade = ink(0.75, 0.68, 0.56) + ink(*part.normal(0, 0.006, 3)) + part.normal(0, 0.02)
    speckle = smooth_noise(part, 1.7)
    colour = shade * (1.0 + 0.018 * smooth_noise(part, 50.0) + 0.008 * speckle)
    colour = mix(colour, shade * 0.80, 0.55 * cover(glyphs - 2.2, 3.0))
    amount = part.normal(2.45, 0.08)
    colour = mix(colour, ink(0.42, 0.27, 0.17), 0.55 * np.clip(2.2 * (speckle - amount), 0, 1))
    colour = mix(colour, ink(0.85, 0.80, 0.72), 0.5 * np.clip(2.0 * (-speckle - amount), 0, 1))
    for size in part.uniform(1.2, 2.4, 3):  # a few larger grains of filler: normal
        place = (part.uniform(-130, 130), part.uniform(-70, 70))
        lump = blotch(part, u, v, place, size)
        colour = mix(colour, ink(0.40, 0.27, 0.18), part.uniform(0.3, 0.7) * cover(lump, 1.5))
    if defect == "discoloration":
        colour = _discolour(flaw, u, v, colour)
    if defect == "contamination":
        colour, bump = _contamination(flaw, u, v, colour, inside)
        height += bump
    if defect == "crack":
        colour = mix(colour, 0.35 * shade, 0.8 * crack)
    if defect == "chip":
        colour = mix(colour, shade * ink(1.08, 1.12, 1.2), 0.7 * broken)

    gx, gy = slopes(height)
    facing = 1.0 / np.sqrt(1.0 + gx * gx + gy * gy)
    lambert = np.maximum((0.86 - 0.55 * (gx * lx + gy * ly)) * facing, 0.0)
    gloss = np.exp(-((gx * lx + gy * ly + 0.46) ** 2 + (gx * ly - gy * lx) ** 2) / 0.02)
    occlusion = 1.0 - 0.30 * np.clip(1.0 + edge / 9.0, 0.0, 1.0) ** 2
    pill = colour * ((0.20 + 0.85 * lambert) * occlusion)
    pill = pill + 0.16 * part.uniform(0.7, 1.3) * gloss

    # The tray: blue-grey plastic with a fine grain, dust, and the soft shadow.
    tray = ink(0.17, 0.22, 0.27) * (1.0 + 0.05 * smooth_noise(part, 80.0))
    dust = np.clip(-speckle - 3.2, 0, 1) * part.uniform(0.1, 0.5)
    tray = tray + 0.010 * grain + dust
    tray = tray * (1.0 - 0.9 * shadow(body, lx, ly, softness=10.0))
    return gain * mix(tray, pill, body)


def _outline(u: Array, v: Array) -> Array:
    """A smooth function that is 1 on the outline, less inside: near to a superellipse."""
    p, q = (u / HALF_LENGTH) ** 2, (v / HALF_WIDTH) ** 2
    rho: Array = np.sqrt(np.sqrt(0.25 * p * p + q * q + 0.75 * p * p * p + p * q))
    return rho


def _near_edge(angle: float, rho: float) -> Point:
    """The point at about `rho` (1: on the outline) in the direction `angle`."""
    u, v = HALF_LENGTH * np.cos(angle), HALF_WIDTH * np.sin(angle)
    scale = rho / float(_outline(np.array(u), np.array(v)))
    return u * scale, v * scale


def _imprint(part: Rng, flaw: Rng, defect: str | None, u: Array, v: Array) -> Array:
    """Distance to the strokes; a misprint lacks one stroke or most of it."""
    missing = int(flaw.integers(len(STROKES))) if defect == "misprint" else -1
    place = part.normal(0, 1.5, 2)
    best = np.full(u.shape, 1e6)
    for k, line in enumerate(STROKES):
        if k == missing:
            line = line[: int(flaw.integers(1, max(2, len(line) // 2)))]
        best = np.minimum(best, polyline(u, v, line + place, reach=9.0))
    return best


def _chip(flaw: Rng, u: Array, v: Array, edge: Array) -> tuple[Array, Array]:
    """Bite a piece out of the edge; the break shows as a rough, pale bevel."""
    angle, size = flaw.uniform(0, 2 * np.pi), flaw.uniform(13, 26)
    centre = _near_edge(angle, 1.02)
    bite = blotch(flaw, u, v, centre, size, rough=0.45, stretch=flaw.uniform(1.0, 1.8))
    gone = bite + flaw.uniform(0.7, 1.1) * size  # the bevel reaches further in
    return np.maximum(edge, -gone), cover(bite, 3.0)


def _crack(flaw: Rng, u: Array, v: Array) -> Array:
    """Opacity of a crack with a branch that starts near the edge."""
    angle = flaw.uniform(0, 2 * np.pi)
    start = _near_edge(angle, 0.95)
    inward = np.arctan2(-np.sin(angle) * 0.6, -np.cos(angle)) + flaw.normal(0, 0.4)
    length = flaw.uniform(70, 150)
    path = wander(flaw, start, float(inward), length, bend=0.35, steps=12)
    widths = np.linspace(flaw.uniform(1.2, 2.2), 0.2, len(path))
    near = polyline(u, v, path, widths)
    if flaw.random() < 0.6:
        fork = (float(path[5, 0]), float(path[5, 1]))
        side = wander(flaw, fork, float(inward) + flaw.choice([-0.8, 0.8]), 0.4 * length, bend=0.3)
        near = np.minimum(near, polyline(u, v, side, np.linspace(0.9, 0.2, len(side))))
    return cover(near, 1.4)


def _discolour(flaw: Rng, u: Array, v: Array, colour: Array) -> Array:
    """A soft stain from moisture: yellow, grey or pink."""
    centre = (flaw.uniform(-115, 115), flaw.uniform(-55, 55))
    radius = flaw.uniform(20, 40)
    spot = blotch(flaw, u, v, centre, radius, rough=0.35, stretch=flaw.uniform(1.0, 1.6))
    hue = (ink(0.98, 0.86, 0.55), ink(0.80, 0.80, 0.78), ink(1.0, 0.78, 0.74))[flaw.integers(3)]
    alpha = flaw.uniform(0.6, 1.1) * cover(spot, 0.45 * radius)
    return mix(colour, colour * hue, alpha)


def _contamination(
    flaw: Rng, u: Array, v: Array, colour: Array, inside: Array
) -> tuple[Array, Array]:
    """A foreign particle or fibre pressed into the face, and its relief."""
    centre = (flaw.uniform(-125, 125), flaw.uniform(-60, 60))
    hue = (ink(0.08, 0.08, 0.09), ink(0.22, 0.10, 0.06), ink(0.10, 0.16, 0.30))[flaw.integers(3)]
    if flaw.random() < 0.35:  # a fibre
        path = wander(flaw, centre, flaw.uniform(0, 2 * np.pi), flaw.uniform(35, 80), bend=0.5)
        shape = cover(polyline(u, v, path) - 0.8, 1.3)
    else:
        shape = np.zeros_like(u)
        for _ in range(int(flaw.integers(1, 4))):
            size = flaw.uniform(4.0, 8.5)
            shape = np.maximum(shape, cover(blotch(flaw, u, v, centre, size, 0.5, 1.3), 1.5))
            centre = (centre[0] + flaw.uniform(-16, 16), centre[1] + flaw.uniform(-16, 16))
    shape = shape * inside
    return mix(colour, hue, flaw.uniform(0.65, 0.95) * shape), 0.8 * shape
