"""Is the promise kept? True false-alarm rates of four rules, by many repetitions on fresh normals.

Of a pool of normal images n are drawn, Mahalanobis detectors learn from them, every rule sets its
threshold, and others of the pool are judged. A repetition learns K + 2 detectors: one of all n
images, K of all but a fold, and one of what a held-out split leaves.
"""

import contextlib
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
from differnet_course.experiments.running import memory
from differnet_course.folders import load_category
from differnet_course.samples import render
from differnet_course.thresholds import quantile_threshold
from differnet_lite import DifferNet
from differnet_lite.settings import DEFAULT
from differnet_lite.splits import cross_splits, held_out_split
from differnet_lite.thresholds import TooFewNormalsError, conformal_threshold

ALPHAS = (0.1, 0.05, 0.01)
STREAM = 2026  # tells these images from those of `make_sample_category`
JUDGED = 1000  # normal images in a repetition: the others of the pool, or as many of them

Pool = tuple[np.ndarray, np.ndarray]


def feature_pool(folder: Path, n_normals: int) -> Pool:
    """Features (N, T, D) of fresh normal images of a built-in category, and of its defects."""
    model = DifferNet(progress=False)
    category = load_category(folder)
    bad = [path for path, label in zip(category.test, category.labels, strict=True) if label]
    seeds = [np.random.SeedSequence(0, spawn_key=(STREAM, k)) for k in range(n_normals)]
    images = (render(folder.name, np.random.default_rng(seed))[0] for seed in seeds)
    normals = torch.cat([model.features([image]) for image in images])
    return normals.numpy(), model.features(bad).numpy()


def learn(features: Tensor, seed: int) -> Callable[[Tensor], np.ndarray]:
    """`baselines.Mahalanobis` of the views (n, T, D) of normal images."""
    density = Mahalanobis(DEFAULT.noise).fit(drawn_rows(features, DEFAULT, seed))
    return lambda rows: density.score(rows).numpy()


def repetition(features: Tensor, normal: Tensor, bad: Tensor, seed: int) -> list[dict[str, Any]]:
    """What each rule flags, with the detectors that learn from features (n, T, D).

    With out-of-fold scores "cross" judges by the detector of all n, "cross-mean" by the mean of
    the folds' scores. For each alpha and rule there is the share of the new normal and bad images
    (M, D), pooled over their views, that is flagged; nan where the rule refuses.
    """
    n = len(features)
    rows = features.mean(1)
    new = torch.cat([normal, bad])
    split = held_out_split(range(n), DEFAULT.holdout, seed=seed)
    all_scores = learn(features, seed)(new)
    of_split = learn(features[split.train], seed)
    held_out = of_split(rows[split.calibrate])
    split_scores = of_split(new)
    by_fold = []
    scores = []
    for k, part in enumerate(cross_splits(range(n), DEFAULT.folds, seed=seed)[1:]):
        fold = learn(features[part.train], seed + k + 1)
        by_fold.append(fold(rows[part.calibrate]))
        scores.append(fold(new))
    out_of_fold = np.concatenate(by_fold)
    rules = {
        "split": (conformal_threshold, held_out, split_scores),
        "quantile": (quantile_threshold, held_out, split_scores),
        "cross": (conformal_threshold, out_of_fold, all_scores),
        "cross-mean": (conformal_threshold, out_of_fold, np.mean(scores, axis=0)),
    }
    table = []
    for alpha in ALPHAS:
        for rule, (threshold, calibration, judged) in rules.items():
            row = {"alpha": alpha, "rule": rule, "rate": np.nan, "detected": np.nan}
            with contextlib.suppress(TooFewNormalsError):
                flagged = judged >= threshold(calibration, alpha).value
                row["rate"] = flagged[: len(normal)].mean()
                row["detected"] = flagged[len(normal) :].mean()
            table.append(row)
    return table


def simulated_cell(pool: Pool, n: int, repetitions: int) -> dict[str, Any]:
    """True false-alarm rates of all rules with n normal images of a pool, drawn repeatedly.

    For each alpha and rule `rates` has the mean true rate, its standard error, the 10 and the 90 %
    quantile, how often it exceeds alpha, and the share of defects that is detected; None where the
    rule refuses.
    """
    normals, bad = map(torch.as_tensor, pool)
    if not 2 <= n < len(normals):
        raise ValueError(f"n: expected 2 to less than the {len(normals)} normal images, got {n}")
    rows = []
    for r in tqdm(range(repetitions), f"n = {n}", leave=False):
        order = np.random.default_rng([0, n, r]).permutation(len(normals))
        drawn = int(np.random.default_rng([0, n, r, 1]).integers(2**31))
        new = normals[order[n : n + JUDGED]].mean(1)
        rows.extend(repetition(normals[order[:n]], new, bad.mean(1), drawn))
    table = pd.DataFrame(rows)
    table["exceeds"] = (table["rate"] > table["alpha"] + 1e-9).where(table["rate"].notna())
    groups = table.astype({"exceeds": float}).groupby(["alpha", "rule"], sort=False)
    rate = groups["rate"]
    columns = {"mean": rate.mean(), "error": rate.sem()}
    columns |= {"low": rate.quantile(0.1), "high": rate.quantile(0.9)}
    columns |= {"exceeds": groups["exceeds"].mean(), "detected": groups["detected"].mean()}
    short = pd.DataFrame(columns).round(5).reset_index().to_json(orient="records")
    held_out = len(held_out_split(range(n), DEFAULT.holdout, seed=drawn).calibrate)
    named = {"n": n, "repetitions": repetitions, "held_out": held_out}
    return named | {"rates": json.loads(short)}  # with None for nan


def run_promise(
    folders: Sequence[Path], out: Path, *, sizes: Sequence[int], repetitions: int, n_normals: int
) -> list[dict[str, Any]]:
    """`simulated_cell` of each folder and size, as promise.json; cells that are there are kept."""
    kept = memory(out)
    cells = []
    for folder in folders:
        pool = kept.cache(feature_pool)(folder, n_normals)
        for n in sizes:
            named = {"category": folder.name, "detector": "mahalanobis", "normals": n_normals}
            cells.append(named | kept.cache(simulated_cell)(pool, n, repetitions))
    (out / "promise.json").write_text(json.dumps({"cells": cells}, indent=1), encoding="utf-8")
    return cells
