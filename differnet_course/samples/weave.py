"""The category "weave": plain-woven cloth that fills the frame, grey.

Pitch, shear and orientation vary a little; thickness, tone and waviness of every thread, and
brightness, vary much. The lamp ages: test images are a little darker than training images.
"""

import numpy as np
from numpy.typing import NDArray

from .rendering import mix, smooth_noise
from .shapes import SIZE, Array, Mask, Point, Rng, blotch, cover, grid, polyline, rotate, wander

DEFECTS = ("broken_thread", "loose_thread", "hole", "oil_spot", "doubled_thread")

AGEING = 0.10  # mean share of the lamp's light lost between training and test
Index = NDArray[np.int64]
THREADS = 64  # per-thread tables: more than can ever cross the frame


def scene(part: Rng, flaw: Rng, defect: str | None) -> Array:
    """Linear grey values (448, 448) of one piece of cloth."""
    x, y = grid()
    gain = part.uniform(0.84, 1.12)
    angle, shear = part.normal(0, 0.025), part.normal(0, 0.012)
    pitch = part.normal(13.0, 0.10, 2) * np.array([1.0, 1.08])
    u, v = rotate(x, y, angle)
    u = u + shear * v + 1.2 * smooth_noise(part, 70.0) + 0.25 * smooth_noise(part, 16.0)
    v = v + 1.2 * smooth_noise(part, 70.0) + 0.25 * smooth_noise(part, 16.0)
    if defect == "loose_thread":
        u, v, loop = _pull(flaw, x, y, u, v)
    u, v = u / pitch[0] + THREADS / 2 + 0.25, v / pitch[1] + THREADS / 2 + 0.25

    wide = part.normal(0.45, 0.018, (2, THREADS))
    tone = part.normal((0.62, 0.56), 0.020, (THREADS, 2)).T
    drift = part.normal(0, 0.03, (2, THREADS))
    damage = _Damage(flaw, defect)
    u, v = damage.spread(u, v)
    fuzz = smooth_noise(part, 1.1)
    cloth, gap = np.empty_like(u), np.empty_like(u)
    for top in range(0, SIZE, 32):  # bands that fit the processor's cache: twice as fast
        band = slice(top, top + 32)
        cloth[band], gap[band] = _threads(u[band], v[band], fuzz[band], wide, tone, drift, damage)
    under = 0.10 + 0.02 * smooth_noise(part, 30.0)
    cloth = mix(cloth, under, gap)
    cloth = cloth * (1.0 + 0.045 * fuzz) * (1.0 + 0.03 * smooth_noise(part, 60.0))
    cloth += 0.10 * np.clip(fuzz - 3.3, 0, 1)  # lint

    if defect == "oil_spot":
        cloth = cloth * (1.0 - _oil(flaw, x, y))
    if defect == "loose_thread":
        cloth = mix(cloth, 0.30 * cloth, 0.7 * cover(loop - 4.5, 5.0))
        ridge = 0.45 + 0.55 * np.sqrt(np.clip(1.0 - ((loop - 1.2) / 4.4) ** 2, 0.0, 1.0))
        cloth = mix(cloth, 0.72 * ridge, cover(loop - 3.0, 1.2))
    # The lamp stands to one side: a gentle gradient whose direction varies.
    side = part.uniform(0, 2 * np.pi)
    light: Array = 1.0 + part.uniform(0.02, 0.10) * (x * np.cos(side) + y * np.sin(side)) / 224.0
    return gain * light * cloth


class _Damage:
    """Which threads are gone, and which are doubled, at any place of the weave."""

    def __init__(self, flaw: Rng, defect: str | None) -> None:
        self.defect = defect
        self.line = int(flaw.integers(THREADS // 2 - 11, THREADS // 2 + 12))
        self.middle = flaw.uniform(-10, 10) + THREADS / 2
        self.half = flaw.uniform(7, 16) if defect == "doubled_thread" else flaw.uniform(1.5, 4.5)
        self.upright = flaw.random() < 0.5
        self.extra = flaw.uniform(0.5, 0.9)  # width of the second strand, in threads
        self.size = flaw.uniform(0.5, 1.0)
        # Threads tear at different lengths: shift the outline of a hole thread by thread.
        self.fray = flaw.normal(0, 0.3, (2, THREADS))

    def gone(self, u: Array, v: Array, i: Index, j: Index) -> tuple[Mask, Mask]:
        """Where the warp and where the weft is missing."""
        if self.defect == "hole":
            du, dv = u - self.line - 0.5, v - self.middle
            warp = du * du + (dv + self.fray[0][i]) ** 2 < self.size**2
            return warp, (du + self.fray[1][j]) ** 2 + dv * dv < self.size**2
        return self.stretch("broken_thread", u, v, i, j)

    def stretch(self, defect: str, u: Array, v: Array, i: Index, j: Index) -> tuple[Mask, Mask]:
        """Where the warp and where the weft has a defect that runs along a thread."""
        nowhere = np.zeros(u.shape, dtype=bool)
        if self.defect != defect:
            return nowhere, nowhere
        if self.upright:
            return (i == self.line) & (np.abs(v - self.middle) < self.half), nowhere
        return nowhere, (j == self.line) & (np.abs(u - self.middle) < self.half)

    def spread(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Make room for a doubled thread: its neighbours are crowded aside."""
        if self.defect != "doubled_thread":
            return u, v
        along, across = (v, u) if self.upright else (u, v)
        away = across - self.line - 0.5
        reach = 0.5 + self.extra
        push = self.extra * np.clip(away / reach, -1.0, 1.0)
        push *= np.clip(1.0 - (np.abs(away) - reach) / 2.0, 0.0, 1.0)
        push *= cover(np.abs(along - self.middle) - self.half, 2.0)
        return (u - push, v) if self.upright else (u, v - push)


def _threads(
    u: Array, v: Array, fuzz: Array, wide: Array, tone: Array, drift: Array, damage: _Damage
) -> tuple[Array, Array]:
    """Brightness of the upper thread, and opacity of the gaps between threads.

    The whole part of `u` and `v` is a thread's number; `fuzz` makes fibres irregular. Of each
    thread, (2, THREADS) for warp and weft: its half width, brightness and sideways offset.
    """
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a, b = u - i - 0.5, v - j - 0.5  # place across the warp and across the weft thread
    warp_gone, weft_gone = damage.gone(u, v, i, j)
    double_a, double_b = damage.stretch("doubled_thread", u, v, i, j)
    # Height of both threads: a round profile on a path that dives under its neighbour.
    over = 1.0 - 2.0 * ((i + j) % 2)  # +1 where the warp lies on top
    offset_a, offset_b = drift[0][i], drift[1][j]
    ta = np.clip((a + offset_a) / wide[0][i], -1.0, 1.0)
    tb = np.clip((b + offset_b) / wide[1][j], -1.0, 1.0)
    ta = np.where(double_a, 2.0 * np.abs(ta) - 1.0, ta)
    tb = np.where(double_b, 2.0 * np.abs(tb) - 1.0, tb)
    round_a, round_b = np.sqrt(1.0 - ta * ta), np.sqrt(1.0 - tb * tb)
    sin_a, cos_a = np.sin(np.pi * a), np.cos(np.pi * a)
    sin_b, cos_b = np.sin(np.pi * b), np.cos(np.pi * b)
    dive = 0.42 * over
    warp = 0.5 * round_a + dive * cos_b - 3.0 * ((np.abs(ta) >= 1.0) | warp_gone)
    weft = 0.5 * round_b - dive * cos_a - 3.0 * ((np.abs(tb) >= 1.0) | weft_gone)
    # Fibres twist along the thread; light from the upper left grazes the round profile.
    twist_a = np.sin(2 * np.pi * (2.6 * v + 1.5 * a) + 1.3 * fuzz + 60.0 * offset_a)
    twist_b = np.sin(2 * np.pi * (2.6 * u + 1.5 * b) + 1.3 * fuzz + 60.0 * offset_b)
    lit_a = 0.42 + 0.58 * round_a - 0.16 * ta - 0.14 * over * sin_b
    lit_b = 0.42 + 0.58 * round_b - 0.14 * tb + 0.16 * over * sin_a
    # Threads that go under lie in the shade.
    bright_a = tone[0][i] * lit_a * (0.72 + 0.28 * over * cos_b) * (1.0 + 0.07 * twist_a)
    bright_b = tone[1][j] * lit_b * (0.72 - 0.28 * over * cos_a) * (1.0 + 0.07 * twist_b)
    upper = np.clip((warp - weft) * 6.0 + 0.5, 0.0, 1.0)
    return bright_b + (bright_a - bright_b) * upper, cover(np.maximum(warp, weft) + 0.9, 0.4)


def _inside(flaw: Rng, margin: float = 40.0) -> Point:
    """A point of the frame at least `margin` pixels from its border."""
    reach = 224.0 - margin
    return float(flaw.uniform(-reach, reach)), float(flaw.uniform(-reach, reach))


def _pull(flaw: Rng, x: Array, y: Array, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Pinch the cloth along a pulled thread; also the signed distance to its loose loop."""
    centre, angle = _inside(flaw, 70.0), flaw.integers(2) * np.pi / 2 + flaw.normal(0, 0.1)
    along, across = rotate(x - centre[0], y - centre[1], float(angle))
    length, depth = flaw.uniform(50, 100), flaw.uniform(5, 9)
    pinch = np.clip(1.0 - np.abs(across) / 45.0, 0.0, 1.0) ** 2 * np.tanh(across / 5.0)
    pinch *= depth * np.clip(1.0 - (along / length) ** 2, 0.0, 1.0) ** 2
    u = u + pinch * -np.sin(angle)
    v = v + pinch * np.cos(angle)
    path = wander(flaw, centre, float(angle) + flaw.normal(0, 0.5), flaw.uniform(35, 80), bend=0.5)
    return u, v, polyline(x, y, path)


def _oil(flaw: Rng, x: Array, y: Array) -> Array:
    """Share of light lost in an oil spot with a soft edge and a few splashes."""
    radius, centre = flaw.uniform(16, 34), _inside(flaw, 50.0)
    loss = cover(blotch(flaw, x, y, centre, radius, rough=0.3, stretch=1.3), 7.0)
    for _ in range(int(flaw.integers(0, 4))):
        away, phi = radius * flaw.uniform(1.2, 1.9), flaw.uniform(0, 2 * np.pi)
        drop = (centre[0] + away * np.cos(phi), centre[1] + away * np.sin(phi))
        loss = np.maximum(loss, cover(blotch(flaw, x, y, drop, flaw.uniform(2, 5)), 3.0))
    return flaw.uniform(0.25, 0.5) * loss
