r"""What a score is made of, and how much two scores differ: the studies of notebook 05.

Nothing here is needed to train, score or decide.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from differnet_course.metrics import Interval, bootstrap
from differnet_lite.checks import vector
from differnet_lite.scoring import Scorer

__all__ = [
    "paired_difference",
    "scale_contributions",
]


def scale_contributions(
    scorer: Scorer, features: Tensor, normal: Tensor, *, n_scales: int = 3, steps: int = 8
) -> np.ndarray:
    r"""How much of tau(y) - tau(normal) comes from each scale, (N, S).

    Integrated gradients along the straight way from the normal features to the image's,

    .. math::
        c_s = \sum_{d \in s} (y_d - \bar y_d)
        \int_0^1 \frac{\partial \tau}{\partial y_d}(\bar y + u (y - \bar y))\, du ,

    by the midpoint rule; the contributions add up to the difference of the scores, but for the
    rule's error.

    Args:
        scorer: of a fitted model.
        features: (N, T, D).
        normal: (D,) or (T, D), the mean features of normal images.
        n_scales: S; the scales are equal parts of D.
        steps: of the midpoint rule.

    Returns:
        Contributions in units of the score, mean over the views; negative where a scale looks
        more normal than the mean.

    References:
        Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365.
    """
    change = features - normal  # (N, T, D)
    total = torch.zeros_like(change)
    for step in range(steps):
        total += scorer.gradient(normal + (step + 0.5) / steps * change) / steps
    scales = (total * change).chunk(n_scales, dim=-1)  # S of (N, T, D / S)
    return torch.stack([part.sum(-1).mean(1) for part in scales], dim=1).double().numpy()


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
