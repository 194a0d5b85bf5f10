"""How much two scores differ: the paired interval of notebook 05.

Nothing here is needed to train, score or decide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from differnet_course.metrics import Interval, bootstrap
from differnet_lite.checks import vector

__all__ = [
    "paired_difference",
]


def paired_difference(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    n_resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """metric(first) - metric(second) with its 95 % bootstrap interval.

    Both are taken on the same resampled images, see `metrics.bootstrap`; labels (N,) are 0 or 1,
    `first` and `second` (N,) scores of the same images.

    Example:
        >>> from differnet_course.metrics import auroc
        >>> paired_difference(auroc, [0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4]).value
        0.0
    """
    a = vector("first", first)
    b = vector("second", second)
    if len(a) != len(b):
        raise ValueError(f"expected scores of the same images, got {len(a)} and {len(b)}")

    def difference(y: np.ndarray, images: np.ndarray) -> float:
        rows = images.astype(int)
        return metric(y, a[rows]) - metric(y, b[rows])

    return bootstrap(difference, labels, np.arange(len(a)), n_resamples=n_resamples, seed=seed)
