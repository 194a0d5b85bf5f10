"""Is the promise kept? True false-alarm rates of every rule, by many repetitions on fresh normals.

Of a pool of normal images n are drawn, detectors learn from them, every rule sets its threshold,
and others of the pool are judged. A repetition learns K + 2 detectors: one of all n images, K of
all but a fold, and one of what a held-out split leaves, so that all rules see the same images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_course.baselines.feature_methods import Mahalanobis, drawn_rows
from differnet_course.samples import render
from differnet_lite import DifferNet, load_category
from differnet_lite.files import replacing
from differnet_lite.sampling import view_sampler
from differnet_lite.scoring import scorer_of
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.splits import cross_splits, held_out_split
from differnet_lite.thresholds import (
    Threshold,
    TooFewNormalsError,
    conformal_threshold,
    pac_threshold,
    quantile_threshold,
)
from differnet_lite.training import train_flow

__all__ = ["cv_plus", "feature_pool", "repetition", "run_promise", "simulated_cell"]

ALPHAS = (0.1, 0.05, 0.01)
STREAM = 2026  # tells these images from those of `make_sample_category`, whatever the seed
JUDGED = 1000  # normal images in a repetition: the others of the pool, or as many of them

Score = Callable[[Tensor], np.ndarray]
Learn = Callable[[Tensor, Settings, int], Score]


def feature_pool(folder: Path, n_normals: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, T, D) of fresh normal images of a built-in category, and of its defects."""
    model = DifferNet(progress=False)
    category = load_category(folder)
    bad = [path for path, label in zip(category.test, category.labels, strict=True) if label]
    normals = []
    for k in range(n_normals):
        source = np.random.SeedSequence(seed, spawn_key=(STREAM, k))
        image, _ = render(folder.name, np.random.default_rng(source))
        normals.append(model.features([image]))
    return torch.cat(normals), model.features(bad)


def learn_mahalanobis(features: Tensor, settings: Settings, seed: int) -> Score:
    """`baselines.Mahalanobis` of the views (n, T, D) of normal images."""
    density = Mahalanobis(settings.noise).fit(drawn_rows(features, settings, seed))
    return lambda rows: density.score(rows).numpy()


def learn_flow(features: Tensor, settings: Settings, seed: int) -> Score:
    """DifferNet's flow, trained as `DifferNet.fit` trains it."""
    s = settings
    sample = view_sampler(features, views_per_image=s.views_per_image, pool_views=s.pool_views)
    n, _, n_features = features.shape
    flow, _ = train_flow(sample, n, s, n_features=n_features, seed=seed, progress=False)
    scorer = scorer_of([flow], s)
    return lambda rows: scorer.scores(rows[:, None])


DETECTORS: dict[str, Learn] = {"mahalanobis": learn_mahalanobis, "flow": learn_flow}


def repetition(
    features: Tensor, normal: Tensor, bad: Tensor, learn: Learn, settings: Settings, seed: int
) -> tuple[list[dict[str, Any]], float]:
    """What each rule flags, with the detectors that learn from n normal images.

    With out-of-fold scores "cross" judges by the detector of all n, "cross-mean" by the mean of
    the folds' scores.

    Args:
        features: (n, T, D), of all views.
        normal, bad: (M, D) new images, pooled over their views.
        learn: one of `DETECTORS`.
        settings: of the flow, the folds and the split.
        seed: of the splits and the detectors.

    Returns:
        For each alpha and rule the share of the normal and of the bad images that is flagged, nan
        where the rule refuses; and by which share the folds' detectors score new normals higher
        than the detector of all n.
    """
    n = len(features)
    rows = features.mean(1)
    split = held_out_split(range(n), settings.holdout, seed=seed)
    of_all = learn(features, settings, seed)
    of_split = learn(features[split.train], settings, seed)
    held_out = of_split(rows[split.calibrate])
    folds = []
    by_fold = []
    for k, part in enumerate(cross_splits(range(n), settings.folds, seed=seed)[1:]):
        folds.append(learn(features[part.train], settings, seed + k + 1))
        by_fold.append(folds[k](rows[part.calibrate]))
    out_of_fold = np.concatenate(by_fold)
    new = torch.cat([normal, bad])
    scores = np.stack([score(new) for score in folds])
    all_scores = of_all(new)
    split_scores = of_split(new)
    p = cv_plus(by_fold, scores)
    table = []
    for alpha in ALPHAS:
        flagged = {
            "split": _flagged(conformal_threshold, held_out, alpha, split_scores),
            "quantile": _flagged(quantile_threshold, held_out, alpha, split_scores),
            "pac": _flagged(pac_threshold, held_out, alpha, split_scores),
            "cross": _flagged(conformal_threshold, out_of_fold, alpha, all_scores),
            "cross-mean": _flagged(conformal_threshold, out_of_fold, alpha, scores.mean(0)),
        }
        flagged["cv+"] = np.where(np.isnan(flagged["cross"]), np.nan, p <= alpha)
        for rule, marks in flagged.items():
            shares = {"rate": marks[: len(normal)].mean(), "detected": marks[len(normal) :].mean()}
            table.append({"alpha": alpha, "rule": rule, **shares})
    good = slice(len(normal))
    return table, float(scores[:, good].mean() / all_scores[good].mean() - 1)


def _flagged(
    rule: Callable[..., Threshold], calibration: np.ndarray, alpha: float, scores: np.ndarray
) -> np.ndarray:
    try:
        return np.asarray(scores >= rule(calibration, alpha).value, dtype=float)
    except TooFewNormalsError:
        return np.full(len(scores), np.nan)


def cv_plus(by_fold: Sequence[np.ndarray], scores: np.ndarray) -> np.ndarray:
    r"""P-values (M,) by K-fold CV+: a new image is compared by the detector that saw neither.

    .. math::
        p = \frac{1 + \sum_k \#\{i \in \mathrm{fold}_k : s_{-k}(i) \ge s_{-k}(x)\}}{n + 1}, \qquad
        P(p \le \alpha) \le 2 \alpha + \min\{2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1)\}.

    Args:
        by_fold: K arrays, of each fold's images by the detector that did not see them.
        scores: (K, M), of new images by these detectors.

    References:
        Barber, Candès, Ramdas, Tibshirani, "Predictive inference with the jackknife+", Annals
        of Statistics 2021, arXiv 1905.02928, theorem 4.
    """
    pairs = list(zip(by_fold, scores, strict=True))
    above = sum((fold[:, None] >= new).sum(0) for fold, new in pairs)
    return (1 + above) / (1 + sum(map(len, by_fold)))


def simulated_cell(
    pool: tuple[Tensor, Tensor],
    detector: str,
    n: int,
    repetitions: int,
    *,
    settings: Settings = DEFAULT,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """The true false-alarm rates of all rules with n normal images, and what they detect.

    Args:
        pool: features of more than n normal images, and of anomalous ones.
        detector: "mahalanobis" or "flow".
        n: normal images to learn from and to calibrate on, at least 2.
        repetitions: how often n are drawn.
        settings, seed, progress: see `repetition`; whether to show a progress bar.

    Returns:
        `excess`, the mean over repetitions, and `rates`: for each alpha and rule the mean true
        rate, its standard error, the 10 and the 90 % quantile, how often it exceeds alpha, and the
        share of defects that is detected; None where the rule refuses.
    """
    normals, bad = pool
    if not 2 <= n < len(normals):
        raise ValueError(f"n: expected 2 to less than the {len(normals)} normal images, got {n}")
    rows: list[dict[str, Any]] = []
    excess = []
    for r in tqdm(range(repetitions), f"n = {n}", disable=not progress, leave=False):
        order = np.random.default_rng([seed, n, r]).permutation(len(normals))
        drawn = int(np.random.default_rng([seed, n, r, 1]).integers(2**31))
        new = normals[order[n : n + JUDGED]].mean(1)
        learn = DETECTORS[detector]
        some, more = repetition(normals[order[:n]], new, bad.mean(1), learn, settings, drawn)
        rows.extend(some)
        excess.append(more)
    table = pd.DataFrame(rows)
    table["exceeds"] = (table["rate"] > table["alpha"] + 1e-9).where(table["rate"].notna())
    groups = table.astype({"exceeds": float}).groupby(["alpha", "rule"], sort=False)
    rate = groups["rate"]
    columns = {"mean": rate.mean(), "error": rate.sem()}
    columns |= {"low": rate.quantile(0.1), "high": rate.quantile(0.9)}
    columns |= {"exceeds": groups["exceeds"].mean(), "detected": groups["detected"].mean()}
    short = pd.DataFrame(columns).round(5).reset_index().to_json(orient="records")
    return {
        "held_out": len(held_out_split(range(n), settings.holdout, seed=drawn).calibrate),
        "excess": round(float(np.mean(excess)), 4),
        "rates": json.loads(short),  # with None for nan
    }


def run_promise(
    folders: Sequence[Path],
    out: Path,
    *,
    detector: str,
    sizes: Sequence[int],
    repetitions: int,
    n_normals: int,
    seed: int = 0,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """`simulated_cell` of each folder and size, as promise.json; cells that are there are kept."""
    path = out / "promise.json"
    cells = json.loads(path.read_bytes())["cells"] if path.exists() else []
    for folder in folders:
        pool = None
        for n in sizes:
            key = {"category": folder.name, "detector": detector, "n": n}
            key |= {"repetitions": repetitions, "normals": n_normals, "seed": seed}
            if any(key.items() <= cell.items() for cell in cells):
                continue
            pool = pool or feature_pool(folder, n_normals, seed)
            cell = simulated_cell(pool, detector, n, repetitions, seed=seed, progress=progress)
            cells.append(key | cell)
            with replacing(path) as file:
                file.write(json.dumps({"cells": cells}, indent=1).encode())
    return cells
