"""The category "switch": a rotary switch whose pointer must point up, colour.

The pointer (within 4 degrees of upright), the slots of the screws, the wear of the paint and the
light vary. The defect "turned" is a perfect switch in another of its four positions, a quarter turn
apart: averaged over all rotations of the image it looks like a correct one.
"""

import numpy as np

from .rendering import ink, mix, slopes, smooth_noise
from .shapes import Array, Rng, cover, grid, polar, polyline, rotate, stroke, wander

DEFECTS = ("turned", "scratch", "missing_mark", "crack")

KNOB, TOP = 96.0, 80.0  # radii of the knurled skirt and of the flat top, pixels
MARK_IN, MARK_OUT = 118.0, 142.0  # radii between which the scale marks lie
SCREWS = 182.0  # distance of the screws from the middle, along x and y


def scene(part: Rng, flaw: Rng, defect: str | None) -> Array:
    """Linear colours (3, 448, 448) of one switch on its panel."""
    x, y = grid()
    shift, tilt = part.uniform(-5, 5, 2), np.deg2rad(part.normal(0, 0.6))
    x, y = rotate(x - shift[0], y - shift[1], tilt)
    gain = part.uniform(0.92, 1.07)
    r = np.sqrt(x * x + y * y)
    lx, ly = polar(1.0, part.uniform(0, 2 * np.pi))  # a weak lamp beside the ring light
    pointer = np.deg2rad(np.clip(part.normal(0, 1.6), -4, 4))
    if defect == "turned":
        pointer += flaw.integers(1, 4) * np.pi / 2

    # Panel: powder-coated steel with twelve printed marks and four screws.
    coat = smooth_noise(part, 2.2)
    paint = ink(0.30, 0.345, 0.335) + ink(*part.normal(0, 0.005, 3))
    panel = paint * (1.0 + 0.035 * coat + 0.03 * smooth_noise(part, 70.0))
    marks = _marks(flaw, defect, x, y)
    wear = np.clip(0.9 + 0.10 * smooth_noise(part, 6.0) + 0.04 * coat, 0.0, 1.0)
    panel = mix(panel, ink(0.86, 0.86, 0.82), marks * wear)
    panel = _screws(part, panel, x, y, lx, ly)

    # Shadow of the knob on the panel: wide and faint below it, dark at its foot.
    shade = 0.45 * cover(np.sqrt((x + 8 * lx) ** 2 + (y + 8 * ly) ** 2) - KNOB - 4, 26.0)
    panel = panel * (1.0 - np.maximum(shade, 0.75 * cover(r - KNOB - 2.5, 8.0)))

    # Knob: skirt with ridges that turn with the pointer, chamfer, flat top.
    u, v = rotate(x, y, pointer)
    phi = np.arctan2(v, u)
    ridge = np.cos(36.0 * phi)
    on_skirt = cover(TOP - r, 5.0) * cover(r - KNOB, 5.0)
    height = 10.0 * cover(r - TOP - 2.0, 10.0) + 6.0 * cover(r - KNOB, 8.0)
    height += 1.0 * ridge * on_skirt - 0.9 * cover(np.abs(r - 62.0) - 1.2, 2.5)
    fine = smooth_noise(part, 1.5)
    height += 0.05 * fine
    arrow = _arrow(u, v)
    height -= 0.9 * cover(arrow + 1.0, 3.0)
    if defect == "crack":
        crack = _crack(flaw, u, v)
        height -= 1.5 * crack
    scratch = _scratch(flaw, x, y) if defect == "scratch" else np.zeros_like(r)
    height -= 0.5 * scratch
    gx, gy = slopes(height)
    lit = 1.0 - 0.30 * (gx * lx + gy * ly) / np.sqrt(1.0 + gx * gx + gy * gy)
    # A big diffuse lamp above: little depends on where an edge faces.
    gloss = np.exp(-((gx * lx + gy * ly + 0.55) ** 2 + (gx * ly - gy * lx) ** 2) / 0.06)
    sheen = 1.0 + 0.35 * np.exp(-(((r - 44.0) / 16.0) ** 2))  # of the ring light
    plastic = ink(0.155, 0.155, 0.162) * (1.0 + 0.05 * smooth_noise(part, 40.0))
    knob = plastic * (lit * sheen) + 0.24 * part.uniform(0.8, 1.2) * gloss
    knob = knob * (1.0 - 0.25 * on_skirt * (0.5 - 0.5 * ridge))
    fill = mix(ink(0.80, 0.79, 0.75), ink(0.80, 0.22, 0.10), cover(v + 46.0))
    knob = mix(knob, fill * (lit * wear), cover(arrow, 1.5))
    if defect == "crack":  # the broken plastic shows pale
        knob = mix(knob, 0.34, 0.7 * crack)
    image = mix(panel, knob, cover(r - KNOB - 0.4 * ridge, 1.5))
    image = mix(image, 0.75, scratch * 0.6)
    dust = np.clip(-fine - 3.3, 0, 1) * part.uniform(0.1, 0.5)
    return gain * (image + dust)


def _marks(flaw: Rng, defect: str | None, x: Array, y: Array) -> Array:
    """Opacity of the twelve scale marks, one of them absent or half there if missing."""
    absent = int(flaw.integers(12)) if defect == "missing_mark" else -1
    nearest = np.full(x.shape, 1e6)
    for k in range(12):
        phi = k * np.pi / 6
        inner, outer = MARK_IN, MARK_OUT + (0.0 if k % 3 else 9.0)  # the four positions
        if k == absent:
            inner += flaw.uniform(0.45, 1.3) * (outer - inner)
            if inner >= outer - 2:
                continue
        ends = np.array([[np.cos(phi), np.sin(phi)]]) * np.array([[inner], [outer]])
        nearest = np.minimum(nearest, polyline(x, y, ends, reach=9.0))
    return cover(nearest - 3.0, 1.5)


def _arrow(u: Array, v: Array) -> Array:
    """Signed distance to the pointer: a bar with a tip that points along -v."""
    bar = np.maximum(np.abs(u) - 5.0, np.abs(v + 30.0) - 34.0)
    tip = np.maximum(0.86 * np.abs(u) - 0.5 * (v + 76.0), v + 46.0)
    return np.minimum(bar, tip)


def _screws(part: Rng, panel: Array, x: Array, y: Array, lx: float, ly: float) -> Array:
    """Four countersunk screws with slots at any angle."""
    slots = part.uniform(0, np.pi, 4)
    panel = panel.copy()
    for k in range(4):
        cx, cy = SCREWS * (1 - 2 * (k % 2)), SCREWS * (1 - 2 * (k // 2))
        # Only a window around the screw: this is most of the time saved in a picture.
        row, column = int(224 + cy) - 38, int(224 + cx) - 38
        window = (slice(max(row, 0), row + 76), slice(max(column, 0), column + 76))
        u, v = x[window] - cx, y[window] - cy
        r = np.sqrt(u * u + v * v)
        slot_u, slot_v = rotate(u, v, float(slots[k]))
        slot = np.maximum(np.abs(slot_v) - 2.2, np.abs(slot_u) - 14.0)
        shine = 0.50 + 0.06 * (u * lx + v * ly) / 15.0 + 0.05 * np.cos(r * 1.9)
        head = mix(shine * part.uniform(0.85, 1.1), 0.07, cover(slot, 1.6))
        below = panel[:, *window] * (1.0 - 0.6 * cover(r - 18.5, 5.0))
        panel[:, *window] = mix(below, head, cover(r - 15.5, 1.5))
    return panel


def _scratch(flaw: Rng, x: Array, y: Array) -> Array:
    """Opacity of a scratch on the panel or the knob."""
    angle = flaw.uniform(0, 2 * np.pi)
    radius = flaw.uniform(20, 60) if flaw.random() < 0.4 else flaw.uniform(112, 165)
    heading, length = flaw.uniform(0, 2 * np.pi), flaw.uniform(70, 150)
    path = wander(flaw, polar(radius, angle), heading, length, bend=0.1)
    return stroke(flaw, x, y, path, (0.1, 0.5, 1.5)) * flaw.uniform(0.7, 1.2)


def _crack(flaw: Rng, u: Array, v: Array) -> Array:
    """Opacity of a crack that runs from the skirt into the top of the knob."""
    angle = flaw.uniform(0, 2 * np.pi)
    inward, length = float(angle + np.pi + flaw.normal(0, 0.45)), flaw.uniform(60, 130)
    path = wander(flaw, polar(KNOB, angle), inward, length, bend=0.4, steps=12)
    widths = np.linspace(flaw.uniform(1.2, 2.4), 0.3, len(path))
    return cover(polyline(u, v, path, widths), 1.4)
