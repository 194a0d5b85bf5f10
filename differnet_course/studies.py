"""How much two scores differ: the paired interval of notebook 05."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from differnet_course.metrics import Interval, bootstrap
from differnet_lite.checks import vector

__all__ = ["paired_difference"]


def paired_difference(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    n_resamples: int = 500,
) -> Interval:
    """metric(first) - metric(second) of (N,) scores, with its 95 % bootstrap interval.

    Both are taken on the same resampled images, see `metrics.bootstrap`.

    Example:
        >>> from differnet_course.metrics import auroc
        >>> paired_difference(auroc, [0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4]).value
        0.0
    """
    a = vector("first", first)
    b = vector("second", second)

    def difference(y: np.ndarray, images: np.ndarray) -> float:
        rows = images.astype(int)
        return metric(y, a[rows]) - metric(y, b[rows])

    return bootstrap(difference, labels, np.arange(len(a)), n_resamples=n_resamples)
