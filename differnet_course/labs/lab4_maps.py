"""Checks of lab 4 on maps: a level that keeps a promise, and the regions above it."""

from __future__ import annotations

import numpy as np

from differnet_course.labs.answers import Answer
from differnet_course.labs.comparing import as_numbers, compare, same
from differnet_course.labs.draws import Draw
from differnet_course.labs.verdicts import Wrong
from differnet_lite.thresholds import conformal_threshold

__all__ = ["level", "regions"]

SETS = 40  # of normal maps, that a level is taken from


def level(answer: Answer, draw: Draw) -> str:
    """4.6: whether a level keeps a share of alpha of normal images from having any mark."""
    n = draw.integer(39, 60)
    side = draw.integer(8, 14)
    alpha = draw.number(0.06, 0.2)

    def maps(many: int) -> np.ndarray:
        strength = draw.rng.gamma(8.0, 0.125, (many, 1, 1))
        return strength * draw.rng.gamma(2.0, 1.0, (many, side, side + 3))

    normal = maps(n)
    new = maps(1000).max((1, 2))
    tops = normal.max((1, 2))
    got = answer(normal, alpha)
    levels = [float(as_numbers(answer(maps(n), alpha)).flatten()[0]) for _ in range(SETS)]
    marked = np.mean([(new > one).mean() for one in levels])
    measured = (
        f"By {SETS} levels like this one, {marked:.0%} of new normal maps get a mark on average, "
        f"where {alpha:.0%} was asked for."
    )
    mistakes = {
        "quantile_of_pixels": np.quantile(normal, 1 - alpha),
        "rank_of_means": conformal_threshold(normal.mean((1, 2)), alpha).value,
        "plain_quantile": np.quantile(tops, 1 - alpha),
        "largest_of_all": tops.max(),
    }
    try:
        compare("The level is", got, conformal_threshold(tops, alpha).value, mistakes)
    except Wrong as error:
        error.addition = measured
        raise
    return measured


def regions(answer: Answer, draw: Draw) -> None:
    """4.7: whether L-shapes of known centre and area are listed."""
    height = draw.integer(40, 50)
    width = draw.integer(60, 70)
    shapes = _three_shapes(draw)
    values = draw.rng.uniform(0.0, 0.4, (height, width))
    for pixels in shapes:
        values[tuple(pixels.T)] = draw.rng.uniform(0.6, 3.0, len(pixels))
    edge = 0.5
    table = as_table(answer(values, edge))
    right = np.array([[*pixels.mean(0), len(pixels)] for pixels in shapes])
    if len(table) != len(right):
        if len(table) == 1 and same(table[0, :2], np.argwhere(values > edge).mean(0), 1e-6):
            raise Wrong("put_all_marked")
        if len(table) == len(right) + 1:
            raise Wrong("region_many")
        raise Wrong("expected_regions_got", n_right=len(right), n_table=len(table))
    if (table[:, 2] == (values <= edge).sum()).any():
        raise Wrong("marked_counts_region")
    if (np.diff(table[:, 2]) > 0).any():
        raise Wrong("regions_order_their")
    areas = right[:, 2:]
    middles = np.array([(pixels.min(0) + pixels.max(0)) / 2 for pixels in shapes])
    if not same(table[:, 2:], areas):
        raise Wrong("area_number_region")
    mistakes = {
        "rows_columns_exchanged": right[:, [1, 0, 2]],
        "give_centre_bounding": np.hstack([middles, areas]),
    }
    compare("The regions are", table, right, mistakes)
    top = float(values.max())
    if len(as_table(answer(values, top + 1))):
        raise Wrong("nothing_above_level")
    if len(as_table(answer(values, top))):
        raise Wrong("pixel_level_above")


def as_table(got: object) -> np.ndarray:
    """The regions as rows of (row, column, area).

    Raises:
        Wrong: they are no list of triples.
    """
    try:
        rows = [[float(x) for x in triple] for triple in got]  # type: ignore[attr-defined]
        return np.array(rows).reshape(len(rows), 3)
    except (TypeError, ValueError) as error:
        raise Wrong("expected_list_triple") from error


def _three_shapes(draw: Draw) -> list[np.ndarray]:
    """The pixels (P, 2) of three L-shapes apart from each other, the largest first."""
    sizes: set[int] = set()
    while len(sizes) < 3:
        shapes = []
        for left, most in ((4, 12), (24, 15), (44, 13)):
            inside = np.ones((draw.integer(4, 20), draw.integer(4, most)), dtype=bool)
            inside[inside.shape[0] // 2 :, inside.shape[1] // 2 :] = False
            shapes.append(np.argwhere(inside) + (draw.integer(3, 15), left))
        sizes = {len(pixels) for pixels in shapes}
    return sorted(shapes, key=len, reverse=True)
