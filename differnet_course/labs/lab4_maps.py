"""Checks of lab 4 on maps: a level that keeps a promise, and the regions above it."""

from __future__ import annotations

from typing import Any

import numpy as np

from differnet_course.labs.comparing import call, compare, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.thresholds import conformal_threshold

__all__ = ["level", "regions"]

SETS = 40  # of normal maps, that a level is taken from


def level(answer: Any, draw: Draw) -> str:
    """Whether a level keeps a share of alpha of normal images from having any mark."""
    n, side, alpha = draw.integer(39, 60), draw.integer(8, 14), float(draw.uniform(0.06, 0.2, 1))

    def maps(many: int) -> np.ndarray:
        strength = draw.rng.gamma(8.0, 0.125, (many, 1, 1))
        return strength * draw.rng.gamma(2.0, 1.0, (many, side, side + 3))

    normal, new = maps(n), maps(1000).max((1, 2))
    tops, means = normal.max((1, 2)), normal.mean((1, 2))
    ordered = np.sort(tops)
    wanted = conformal_threshold(tops, alpha).value
    got = call(answer, normal, alpha, name="map_level")
    levels = [np.ravel(call(answer, maps(n), alpha, name="map_level"))[0] for _ in range(SETS)]
    marked = np.mean([(new > float(one)).mean() for one in levels])
    said = (
        f"By {SETS} levels like this one, {marked:.0%} of new normal maps get a mark on average, "
        f"where {alpha:.0%} was asked for."
    )
    pooled = f"That is a quantile of all pixels: of each map a share of alpha is marked. {said}"
    compare(
        "The level",
        got,
        wanted,
        [
            (
                np.quantile(normal, 1 - alpha),
                pooled,
            ),
            (
                conformal_threshold(normal.ravel(), alpha).value,
                pooled,
            ),
            (
                conformal_threshold(means, alpha).value,
                f"You rank the maps' means; a mark appears where the LARGEST value passes. {said}",
            ),
            (
                np.quantile(tops, 1 - alpha),
                "The largest value of each map, right; but their plain quantile promises nothing. "
                "You have written a threshold that does.",
            ),
            (tops.max(), f"The largest value of all: then hardly anything is ever marked. {said}"),
            (
                tops.mean(),
                f"The mean of the largest values: half of the normal images pass it. {said}",
            ),
            (
                ordered[int(np.floor(n * alpha))],
                f"You took the small end of the ranks. {said}",
            ),
        ],
        hint=f"{said} When does a normal image get no mark at all?",
    )
    return said


def regions(answer: Any, draw: Draw) -> None:
    """Whether L-shapes of known centre and area are found."""
    height, width = draw.integer(40, 50), draw.integer(60, 70)
    boxes = []
    for left, most in ((4, 12), (24, 15), (44, 13)):  # apart from each other
        top, tall, wide = draw.integer(3, 15), draw.integer(4, 20), draw.integer(4, most)
        boxes.append((top, left, tall, wide))
    places = [_l_shape(*box) for box in boxes]
    if len({len(place) for place in places}) < 3:
        return regions(answer, draw)
    values = draw.rng.uniform(0.0, 0.4, (height, width))
    edge = 0.5
    for place in places:
        values[tuple(place.T)] = draw.rng.uniform(0.6, 3.0, len(place))
    places.sort(key=len, reverse=True)
    got = call(answer, values, edge, name="regions")
    if not isinstance(got, list | tuple) or any(len(np.atleast_1d(one)) != 3 for one in got):
        raise Wrong("Expected a list with a triple (row, column, area) for each region.")
    found = np.array([[float(x) for x in one] for one in got]).reshape(len(got), 3)
    right = np.array([[*place.mean(0), len(place)] for place in places])
    middles = [(place.min(0) + place.max(0)) / 2 for place in places]
    centre = np.argwhere(values > edge).mean(0)
    if len(found) != len(right):
        if len(found) == 1 and same(found[0, :2], centre, 1e-6):
            raise Wrong(
                "You put all marked pixels into one region. `scipy.ndimage.label` splits them."
            )
        if len(found) == len(right) + 1:
            raise Wrong("One region too many: label 0 is what is NOT marked.")
        raise Wrong(f"Expected {len(right)} regions, got {len(found)}.")
    if (found[:, 2] == (values <= edge).sum()).any():
        raise Wrong(
            "What is NOT marked counts as a region, and one region is missing: labels begin at 1."
        )
    if (np.diff(found[:, 2]) > 0).any():
        raise Wrong("The regions are not in order of their area. Largest first.")
    peaks = np.array([_peak(values, place) for place in places])
    compare(
        "The table of regions",
        found,
        right,
        [
            (right[:, [1, 0, 2]], "Rows and columns are exchanged: row first, from the top."),
            (
                np.column_stack([middles, right[:, 2]]),
                "You give the centre of the bounding box. Asked for is that of the pixels.",
            ),
            (
                right + [0.5, 0.5, 0],
                "Centres are half a pixel off: a region of rows 3 to 5 has its centre in row 4.",
            ),
        ],
        hint="The centre is the mean row and column of a region's pixels, the area their number."
        if same(found[:, 2], right[:, 2], 1e-6) and not _same_set(found[:, :2], peaks)
        else "You give the hottest pixel of each region. Asked for is the centre."
        if _same_set(found[:, :2], peaks)
        else "The area is the number of a region's pixels, not the sum of their values.",
    )
    _nothing(answer, values)


def _l_shape(top: int, left: int, tall: int, wide: int) -> np.ndarray:
    """The pixels (P, 2) of a box without its lower right quarter."""
    inside = np.ones((tall, wide), dtype=bool)
    inside[tall // 2 :, wide // 2 :] = False
    return np.argwhere(inside) + (top, left)


def _peak(values: np.ndarray, place: np.ndarray) -> tuple[int, int]:
    row, column = place[values[tuple(place.T)].argmax()]
    return int(row), int(column)


def _same_set(a: np.ndarray, b: np.ndarray) -> bool:
    return {tuple(map(float, x)) for x in a} == {tuple(map(float, x)) for x in b}


def _nothing(answer: Any, values: np.ndarray) -> None:
    empty = call(answer, values, float(values.max()) + 1, name="regions")
    if len(empty):
        raise Wrong(f"Nothing is above the level, and you find {len(empty)} regions. Expected [].")
    top = float(values.max())
    if len(call(answer, values, top, name="regions")):
        raise Wrong("A pixel AT the level is not above it: mark what is larger.")
