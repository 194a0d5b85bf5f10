"""The category "flange": a turned metal ring in any in-plane pose, grey.

Normal variation: pose (uniform rotation, small shift), depth and pitch of the tool marks, direction
of the light, brightness, grime on the mat. A relief under a directional light.
"""

import numpy as np
from scipy import ndimage

from .rendering import mix, shadow, slopes, smooth_noise
from .shapes import Array, Point, Rng, blotch, cover, grid, polar, polyline, rotate, stroke, wander

DEFECTS = ("scratch", "dent", "chip", "stain", "blocked_hole")

OUTER, BORE, BOLT_CIRCLE, BOLT = 164.0, 66.0, 116.0, 15.0  # radii, pixels
HUB = 88.0  # the raised collar reaches from the bore to here


def scene(part: Rng, flaw: Rng, defect: str | None) -> Array:
    """Linear grey values (448, 448) of one flange."""
    x, y = grid()
    shift, pose = part.uniform(-9, 9, 2), part.uniform(0, 2 * np.pi)
    sx, sy = x - shift[0], y - shift[1]
    u, v = rotate(sx, sy, pose)
    r = np.sqrt(u * u + v * v)
    lx, ly = polar(1.0, part.normal(-2.1, 0.10))  # direction the light comes from: upper left
    gain = part.uniform(0.97, 1.17)

    # Outline: distance to the metal, negative inside it.
    rim, bore = r - OUTER, BORE - r
    bolts = np.full_like(r, 1e6)
    blocked = np.zeros_like(r)
    victim = int(flaw.integers(6))
    for k in range(6):
        phi = k * np.pi / 3
        hole = (u - BOLT_CIRCLE * np.cos(phi)) ** 2 + (v - BOLT_CIRCLE * np.sin(phi)) ** 2
        if defect == "blocked_hole" and k == victim:
            blocked = cover(np.sqrt(hole) - BOLT)
        bolts = np.minimum(bolts, hole)
    bolts = np.sqrt(bolts)
    # A pin hole and a flat on the rim make the pose visible.
    pin = np.sqrt((u - 132 * np.cos(0.52)) ** 2 + (v - 132 * np.sin(0.52)) ** 2) - 5.0
    rim = np.maximum(rim, u - (OUTER - 5.0))
    chip = np.zeros_like(r)
    if defect == "chip":
        rim, bore, chip = _chip(flaw, u, v, rim, bore)
    solid = np.maximum(np.maximum(rim, bore), np.maximum(BOLT - bolts, -pin))
    metal = cover(solid)

    # Relief in pixels: collar, chamfers, countersinks.
    height = 5.0 * cover(r - HUB, 7.0)
    height -= 4.0 * np.clip(1 + rim / 7.0, 0, 1) + 4.0 * np.clip(1 + bore / 6.0, 0, 1)
    height -= 3.5 * np.clip((BOLT + 5.0 - bolts) / 5.0, 0, 1)
    height += 0.12 * smooth_noise(part, 24.0)
    albedo = 1.0 + 0.025 * smooth_noise(part, 48.0) + 0.02 * smooth_noise(part, 9.0)

    # Tool marks: rings of random depth, slightly off centre, with a wavy phase.
    depth, stretch = part.uniform(0.85, 1.15), part.uniform(0.95, 1.08)
    profile = ndimage.gaussian_filter1d(part.standard_normal(1400), 1.6)
    profile += 0.35 * ndimage.gaussian_filter1d(part.standard_normal(1400), 0.8)
    off = part.normal(0, 1.2, 2)
    at = np.sqrt((u - off[0]) ** 2 + (v - off[1]) ** 2) * 4.0 * stretch + 2.0
    marks = depth * np.interp(at, np.arange(1400.0), profile)
    grain = smooth_noise(part, 0.9)
    nicks = np.zeros_like(r)  # handling marks that every part carries: not defects
    for _ in range(int(part.integers(0, 3))):
        angle, radius = part.uniform(0, 2 * np.pi), part.uniform(95, 150)
        start = polar(radius, angle)
        path = wander(part, start, part.uniform(0, 2 * np.pi), part.uniform(8, 26))
        nicks += part.uniform(0.1, 0.35) * cover(polyline(u, v, path) - 0.5, 1.5)
    height -= 0.6 * nicks
    spots = np.clip(smooth_noise(part, 5.0) - 2.4, 0, 1) * part.uniform(0.0, 0.2)

    if defect == "dent":
        height -= _dent(flaw, u, v)
    if defect == "scratch":
        groove = _scratch(flaw, u, v)
        height -= groove
        albedo = albedo + 0.22 * groove

    gx, gy = slopes(height)
    # The tool marks tilt the surface along the radius only.
    inv = 1.0 / np.maximum(r, 1.0)
    tilt = 0.12 * marks
    gx, gy = gx + tilt * sx * inv, gy + tilt * sy * inv
    facing = 1.0 / np.sqrt(1.0 + gx * gx + gy * gy)
    lambert = np.maximum((0.75 - 0.66 * (gx * lx + gy * ly)) * facing, 0.0)
    # Turned metal reflects in a bow tie: bright where the marks run across the light.
    along = (-sy * lx + sx * ly) * inv + 0.35 * (gx * lx + gy * ly)
    half = part.uniform(0.85, 1.0)
    bow = np.exp(-((along / 0.33) ** 2)) * (0.8 + 0.3 * marks)
    glint = np.exp(-(((gx * lx + gy * ly) + 0.42) ** 2) / 0.02)
    surface = albedo * (0.30 * lambert + 0.12 + 0.018 * grain) + 0.36 * half * bow
    surface = surface + 0.42 * glint - spots
    surface += 0.02 * (sx * lx + sy * ly) / OUTER
    if defect == "chip":  # broken metal is grainy and dull
        surface = mix(surface, 0.30 + 0.10 * grain, chip)
    if defect == "stain":
        surface = surface * (1.0 - _stain(flaw, u, v))

    # The mat with the shadow of the part, darkest right beside the light-averted edge.
    mat = 0.15 + 0.012 * smooth_noise(part, 90.0) + 0.010 * grain
    mat += 0.04 * np.clip(grain - 2.6, 0, 1)
    mat = mat * (1.0 - shadow(metal, lx, ly))
    image = mix(mat, surface, metal)
    if defect == "blocked_hole":  # filled with swarf or cast shut, at varying depth
        fill = flaw.uniform(0.14, 0.34) + 0.04 * smooth_noise(flaw, 1.4)
        image = mix(image, fill, blocked)
    return gain * image


def _spot(flaw: Rng, low: float, high: float) -> Point:
    """A point of the face between two radii that does not fall on a bolt hole."""
    while True:
        radius, angle = flaw.uniform(low, high), flaw.uniform(0, 2 * np.pi)
        off = (angle + np.pi / 6) % (np.pi / 3) - np.pi / 6  # from the nearest bolt hole
        if abs(radius - BOLT_CIRCLE) > BOLT + 8 or abs(off) * BOLT_CIRCLE > BOLT + 12:
            return polar(radius, angle)


def _chip(flaw: Rng, u: Array, v: Array, rim: Array, bore: Array) -> tuple[Array, Array, Array]:
    """Bite a piece out of the outer or the inner edge; also where the break shows."""
    angle, size = flaw.uniform(0.4, 2 * np.pi - 0.4), flaw.uniform(10, 22)
    outside = flaw.random() < 0.65
    centre = polar(OUTER + 0.3 * size if outside else BORE - 0.2 * size, angle)
    bite = blotch(flaw, u, v, centre, size, rough=0.5, stretch=flaw.uniform(1.0, 1.7))
    broken = cover(bite - flaw.uniform(2.0, 5.0), 2.0)
    if outside:
        return np.maximum(rim, -bite), bore, broken
    return rim, np.maximum(bore, -bite), broken


def _dent(flaw: Rng, u: Array, v: Array) -> Array:
    """Depth of a dent, pixels."""
    centre, size = _spot(flaw, 94, 150), flaw.uniform(8, 16)
    spot = blotch(flaw, u, v, centre, size, rough=0.2, stretch=flaw.uniform(1.0, 1.8))
    t = np.clip(1.0 + spot / size, 0.0, 2.0)  # 0 in the middle, 1 at the outline
    lip = 0.25 * np.exp(-(((t - 1.15) / 0.18) ** 2))  # metal pushed up around it
    return flaw.uniform(0.3, 0.6) * size * (np.clip(1.0 - t * t, 0.0, 1.0) ** 1.5 - lip)


def _scratch(flaw: Rng, u: Array, v: Array) -> Array:
    """Depth of a scratch, pixels, sometimes with a second one beside it."""
    start, angle = _spot(flaw, 94, 145), flaw.uniform(0, 2 * np.pi)
    groove = np.zeros_like(u)
    for _ in range(int(flaw.integers(1, 4))):
        path = wander(flaw, start, angle + flaw.normal(0, 0.1), flaw.uniform(70, 150), bend=0.08)
        groove += stroke(flaw, u, v, path, (0.1, 0.4, 1.4), soft=1.4) * flaw.uniform(1.2, 2.2)
        start = (start[0] + flaw.uniform(-9, 9), start[1] + flaw.uniform(-9, 9))
    return groove


def _stain(flaw: Rng, u: Array, v: Array) -> Array:
    """Share of light lost in a dried liquid stain: darker at its edge."""
    radius = flaw.uniform(14, 28)
    centre, stretch = _spot(flaw, 94, 150), flaw.uniform(1.0, 2.0)
    spot = blotch(flaw, u, v, centre, radius, rough=0.35, stretch=stretch)
    strength = flaw.uniform(0.3, 0.55)
    return strength * cover(spot, 3.0) * (0.65 + 0.6 * np.exp(-(((spot + 2.5) / 2.5) ** 2)))
