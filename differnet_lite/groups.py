"""Groups of images that are not independent of each other: copies, frames, and what one knows of.

Images of one group stay on one side of every split: torn apart they make the calibration scores
too low, and then new normal images are flagged far more often than promised.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from differnet_lite.checks import shown
from differnet_lite.listing import DatasetError
from differnet_lite.shown import Look

__all__ = ["apart", "group_labels", "sequence_note"]

COMPONENTS = 128  # of the thumbnails of a folder
STRONGEST = 3  # components that are weakened: day, camera, product, light
LEAST, MOST = 0.3, 0.985  # correlations
CHANCE = 0.01  # of a false pair, in a folder of independent images
SEQUENCE = 0.75  # of the distance to images much later
CLUSTER = 0.7  # of the distance to the sixth nearest image


def group_labels(
    looks: Sequence[Look], groups: str | Sequence[Hashable] | None = None
) -> list[int]:
    """For each of N images the number of its group, from 0 in the order of appearance.

    Images of the same bytes share one, and near copies, such as a photograph that was stored again
    as JPEG, resized, or taken twice; a warning counts these. Images are near copies if, as
    thumbnails less the mean of the folder, they are more alike than chance would make any two of
    the folder: grain or a plain product makes no copies.

    Args:
        looks: see `survey`.
        groups: what else belongs together: a label for each image; "folder", by the folder of its
            file; or a regular expression, by what it matches in the name of the file (its first
            group, if it has one). What it does not match is a group of its own.

    Raises:
        DatasetError: `groups` has another number of labels, or matches no name.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = _near_pairs(looks)
    copies = len({i for pair in pairs for i in pair})
    if copies:
        warnings.warn(
            f"{copies} of {len(looks)} images are near copies of another (stored again, resized, "
            "or taken twice): they form groups, which stay on one side of every split",
            stacklevel=3,
        )
    for labels in ([look.digest for look in looks], _given(looks, groups)):
        first: dict[Hashable, int] = {}
        pairs += [(first.setdefault(label, i), i) for i, label in enumerate(labels)]
    i, j = np.array(pairs).reshape(-1, 2).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(looks), len(looks)))
    return [int(k) for k in connected_components(graph, directed=False)[1]]


def apart(looks: Sequence[Look], others: Sequence[Look]) -> list[int]:
    """Positions of the images that are no copy of one of the others; a warning counts copies."""
    n = len(looks)
    copies = {i for i, j in _near_pairs([*looks, *others]) if i < n <= j}
    digests = {look.digest for look in others}
    copies |= {i for i, look in enumerate(looks) if look.digest in digests}
    if copies:
        warnings.warn(
            f"{len(copies)} of {n} calibration images are copies or near copies of training "
            "images; they cannot calibrate and are left out",
            stacklevel=3,
        )
    return [i for i in range(n) if i not in copies]


def sequence_note(features: Tensor, groups: Sequence[int]) -> str | None:
    """A note if several images seem to show one part, by their features (N, D) or (N, T, D).

    An image is then far closer to the next one than to those a sixth and a third of all images
    later, or to its nearest than to its sixth. Of each of `groups`, known copies, one is taken.
    """
    rows = features.flatten(1).double()
    rows = rows[np.sort(np.unique(groups, return_index=True)[1])]
    n = len(rows)
    if n < 12:
        return None
    rows = (rows - rows.mean(0)) / (rows.std(0) + 1e-12)
    steps = [float((rows[lag:] - rows[:-lag]).norm(dim=1).median()) for lag in (1, n // 6, n // 3)]
    near = torch.cdist(rows[:500], rows).topk(7, largest=False).values  # the first is itself
    clusters = n >= 24 and float((near[:, 1] / near[:, 6]).median()) < CLUSTER
    if steps[0] > SEQUENCE * min(steps[1:]) and not clusters:
        return None
    return (
        f"each of these {n} images is far closer to the next one, or to a few, than to others: "
        "several seem to show one part. See groups: images of one part must not be torn apart"
    )


def _given(looks: Sequence[Look], groups: str | Sequence[Hashable] | None) -> Sequence:
    """A label for each image, by what the user says."""
    if groups is None:
        return range(len(looks))
    if not isinstance(groups, str):
        given = groups.tolist() if hasattr(groups, "tolist") else groups  # NumPy, pandas, torch
        if not isinstance(given, list | tuple) or len(given) != len(looks):
            raise DatasetError(
                f"groups: expected a label for each of {len(looks)} images, got {shown(groups)}"
            )
        labels = [label.item() if hasattr(label, "item") else label for label in given]
        wrong = [x for x in labels if x is None or x != x or not isinstance(x, Hashable)]
        if wrong:
            raise DatasetError(f"groups: expected a word or a number for each, got {wrong[0]}")
        return labels
    paths = [look.path for look in looks]
    if not any(paths):
        raise DatasetError(f"groups: {groups!r} says it by files, and these images are none")
    if groups == "folder":
        return [i if path is None else path.parent for i, path in enumerate(paths)]
    matches = [re.search(groups, path.name) if path else None for path in paths]
    if not any(matches):
        raise DatasetError(f"groups: expected a pattern of file names, but {groups!r} fits none")
    return [i if m is None else (m[1] if m.re.groups else m[0]) for i, m in enumerate(matches)]


def _near_pairs(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Pairs i < j of near copies."""
    from sklearn.utils.extmath import randomized_svd

    n = len(looks)
    if n < 6:  # too few to say how the images differ
        return []
    rows = np.stack([look.thumbnail for look in looks])
    u, s, _ = randomized_svd(rows - rows.mean(0), min(COMPONENTS, n - 1), random_state=0)
    z = u * np.minimum(s, s[min(STRONGEST, n // 10, len(s) - 1)])  # (N, K)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    some = np.random.default_rng(0).permutation(n)[:500]
    sample = (z[some] @ z[some].T)[np.triu_indices(len(some), 1)]
    # of the pairs, 5 % may be copies, and in a small folder 1 in n where each image has one
    share = min(0.95, 1 - 1.5 / n)
    spread = (np.quantile(sample, share) - np.median(sample)) / NormalDist().inv_cdf(share)
    # directions drawn at random in d dimensions correlate with variance 1 / d, and above t with
    # probability of about (1 - t^2)^((d - 1) / 2)
    dimensions = max(1 / max(spread, 1e-3) ** 2, 2)
    closest = 1 - (2 * CHANCE / n**2) ** (2 / (dimensions - 1))
    limit = min(max(math.sqrt(closest), LEAST), MOST)
    pairs: list[tuple[int, int]] = []
    for start in range(0, n, 1000):  # in blocks, for the memory
        near = np.argwhere(z[start : start + 1000] @ z.T > limit) + [start, 0]
        pairs += [(int(i), int(j)) for i, j in near if i < j]
    return pairs
