"""One repetition of the false-alarm study: learn from n normal images, calibrate, judge new ones.

Each repetition learns K + 2 detectors: one from all n images, K from all but a fold, and one from
what a held-out split leaves. All rules are computed from the scores of these, so that they are
compared on the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from differnet_lite.sampling import view_sampler
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.splits import Split, cross_splits, held_out_split
from differnet_lite.thresholds import (
    TooFewNormalsError,
    conformal_threshold,
    pac_threshold,
    quantile_threshold,
)
from differnet_lite.training import train_flow

__all__ = [
    "DETECTORS",
    "Calibration",
    "Learn",
    "Scores",
    "calibrated",
    "cv_plus",
    "judged",
    "learn_flows",
    "learn_mahalanobis",
]

Score = Callable[[Tensor], np.ndarray]
Learn = Callable[[Tensor, Sequence[Split], Settings, int], list[Score]]


class Scores(NamedTuple):
    """Scores of M images: by the detector of all normals, of each fold (K, M), of the split."""

    everyone: np.ndarray
    folds: np.ndarray
    split: np.ndarray


class Calibration(NamedTuple):
    """Scores of normals by detectors that did not see them, and the fold of each of the first."""

    out_of_fold: np.ndarray
    fold: np.ndarray
    held_out: np.ndarray


def learn_mahalanobis(
    features: Tensor, splits: Sequence[Split], settings: Settings, seed: int
) -> list[Score]:
    """`baselines.Mahalanobis` on each split: the same draws of views, shared by the splits.

    A covariance is a sum over images, so that of a split is what the images it leaves out lack to
    that of all; and the distance is taken by a Cholesky factor in place of the matrix' root.
    """
    s, generator = settings, torch.Generator().manual_seed(seed)
    sample = view_sampler(features, views_per_image=s.views_per_image, pool_views=s.pool_views)
    everyone, draws = torch.arange(len(features)), max(1, 16 // s.views_per_image)
    rows = torch.cat([sample(everyone, generator) for _ in range(draws)], 1).double()
    centre = rows.mean((0, 1))
    rows = rows - centre

    def moments(images: list[int]) -> tuple[Tensor, Tensor]:
        chosen = rows[images].flatten(0, 1)
        return chosen.sum(0), chosen.T @ chosen

    total = moments(list(range(len(features))))
    found = []
    for split in splits:
        left_out = sorted(set(range(len(features))) - set(split.train))
        first, second = (a - b for a, b in zip(total, moments(left_out), strict=True))
        n = rows.shape[1] * len(split.train)
        mean, identity = first / n, torch.eye(len(first), dtype=torch.float64)
        factor = torch.linalg.cholesky(second / n - torch.outer(mean, mean) + s.noise**2 * identity)
        found.append(_distance(mean + centre, factor))
    return found


def _distance(mean: Tensor, factor: Tensor) -> Score:
    def score(rows: Tensor) -> np.ndarray:
        white = torch.linalg.solve_triangular(factor, (rows.double() - mean).T, upper=False)
        return white.square().mean(0).numpy()

    return score


def learn_flows(
    features: Tensor, splits: Sequence[Split], settings: Settings, seed: int
) -> list[Score]:
    """DifferNet's flow, trained on each split as `DifferNet.fit` trains it."""
    s, found = settings, list[Score]()
    for k, split in enumerate(splits):
        sample = view_sampler(
            features[split.train], views_per_image=s.views_per_image, pool_views=s.pool_views
        )
        flow, _ = train_flow(
            sample,
            len(split.train),
            s,
            n_features=features.shape[-1],
            seed=seed + k,
            progress=False,
        )
        scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
        found.append(_of_rows(scorer))
    return found


def _of_rows(scorer: Scorer) -> Score:
    return lambda rows: scorer.scores(rows[:, None])


DETECTORS: dict[str, Learn] = {"mahalanobis": learn_mahalanobis, "flow": learn_flows}


def calibrated(
    learn: Learn, features: Tensor, *, seed: int, settings: Settings = DEFAULT
) -> tuple[Calibration, Callable[[Tensor], Scores]]:
    """Learn from the views of n normal images (n, T, D), and score each by who did not see it.

    Returns:
        The calibration scores, and what scores rows (M, D), the means over an image's views.
    """
    n, rows = len(features), features.mean(1)
    cross = cross_splits(range(n), settings.folds, seed=seed)
    split = held_out_split(range(n), settings.holdout, seed=seed)
    everyone, *folds, held = learn(features, [*cross, split], settings, seed)
    out_of_fold, fold = np.empty(n), np.empty(n, dtype=int)
    for k, part in enumerate(cross[1:]):
        out_of_fold[part.calibrate] = folds[k](rows[part.calibrate])
        fold[part.calibrate] = k

    def score(new: Tensor) -> Scores:
        return Scores(everyone(new), np.stack([of_fold(new) for of_fold in folds]), held(new))

    return Calibration(out_of_fold, fold, held(rows[split.calibrate])), score


def judged(known: Calibration, new: Scores, alpha: float) -> dict[str, float | None]:
    """The share of new images that each rule flags at alpha; None where the scores are too few.

    "cross" judges by the detector of all n against the out-of-fold scores' threshold, and
    "cross-mean" by the mean of the folds' scores. "by the folds" is the mean rate of the folds'
    detectors, each alone: what it flags more than "cross" is what out-of-fold scores are higher by.
    """
    held, out = known.held_out, known.out_of_fold
    found = {
        "split": _share(lambda: conformal_threshold(held, alpha).value, new.split),
        "quantile": _share(lambda: quantile_threshold(held, alpha).value, new.split),
        "pac": _share(lambda: pac_threshold(held, alpha).value, new.split),
        "cross": _share(lambda: conformal_threshold(out, alpha).value, new.everyone),
        "cross-mean": _share(lambda: conformal_threshold(out, alpha).value, new.folds.mean(0)),
        "cross-pac": _share(lambda: pac_threshold(out, alpha).value, new.everyone),
        "by the folds": _share(lambda: conformal_threshold(out, alpha).value, new.folds),
    }
    found["cv+"] = None if found["cross"] is None else float(np.mean(cv_plus(known, new) <= alpha))
    return found


def cv_plus(known: Calibration, new: Scores) -> np.ndarray:
    r"""P-values of M new images by K-fold CV+.

    .. math:: p = \frac{1 + \sum_k \#\{i \in \mathrm{fold}_k : s_{-k}(i) \ge s_{-k}(x)\}}{n + 1}

    A new image is compared with each fold's images by the detector that saw neither. Proved is

    .. math:: P(p \le \alpha) \le 2 \alpha + \min\{2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1)\}.

    References:
        Barber, Candès, Ramdas, Tibshirani, "Predictive inference with the jackknife+", Annals of
        Statistics 2021, arXiv 1905.02928, theorem 4.
    """
    above = np.zeros(new.folds.shape[1])
    for k, scores in enumerate(new.folds):
        own = np.sort(known.out_of_fold[known.fold == k])
        above += len(own) - np.searchsorted(own, scores, side="left")
    return (1 + above) / (len(known.out_of_fold) + 1)


def _share(threshold: Callable[[], float], scores: np.ndarray) -> float | None:
    try:
        return float(np.mean(scores >= threshold()))
    except TooFewNormalsError:
        return None
