"""Is the promise kept? True false-alarm rates of every rule, by many repetitions on fresh normals.

Of a pool of normal images n are drawn, detectors learn from them, every rule sets its threshold,
and others of the pool are judged. A repetition learns K + 2 detectors: one of all n images, K of
all but a fold, and one of what a held-out split leaves, so that all rules see the same images.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

import differnet_lite
from differnet_course.baselines.feature_methods import Mahalanobis, drawn_rows
from differnet_course.metrics import auroc
from differnet_course.samples import SAMPLE_CATEGORIES, render
from differnet_lite import DifferNet, load_category
from differnet_lite.files import replacing
from differnet_lite.sampling import view_sampler
from differnet_lite.scoring import Scorer, flow_score
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

__all__ = ["Pool", "Repetition", "feature_pool", "run_promise", "simulated_cell"]

ALPHAS = (0.1, 0.05, 0.01)
STREAM = 2026  # tells these images from those of `make_sample_category`, whatever the seed
JUDGED = 1000  # normal images in a repetition: the others of the pool, or as many of them

Score = Callable[[Tensor], np.ndarray]
Learn = Callable[[Tensor, Settings, int], Score]
Shares = dict[str, float | None]


class Pool(NamedTuple):
    """Features of every view: normal images (N, T, D), test images (M, T, D), their labels (M,)."""

    normals: Tensor
    test: Tensor
    anomalous: np.ndarray


def feature_pool(folder: Path, n_normals: int, seed: int = 0, *, progress: bool = True) -> Pool:
    """Features of a category; a built-in one gets fresh normal images in place of its own."""
    model = DifferNet(progress=False)
    category = load_category(folder)
    test = model.features(list(category.test))
    labels = np.asarray(category.labels, dtype=bool)
    if folder.name not in SAMPLE_CATEGORIES:
        return Pool(model.features(list(category.train)), test, labels)
    normals = []
    for start in tqdm(range(0, n_normals, 50), "normals", disable=not progress):
        images = []
        for k in range(start, min(start + 50, n_normals)):
            source = np.random.SeedSequence(seed, spawn_key=(STREAM, k))
            images.append(render(folder.name, np.random.default_rng(source))[0])
        normals.append(model.features(images))
    return Pool(torch.cat(normals), test, labels)


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
    scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
    return lambda rows: scorer.scores(rows[:, None])


DETECTORS: dict[str, Learn] = {"mahalanobis": learn_mahalanobis, "flow": learn_flow}


class Repetition:
    """The detectors of n normal images, by their features (n, T, D), and what calibrates them."""

    def __init__(self, features: Tensor, learn: Learn, settings: Settings, seed: int) -> None:
        n = len(features)
        rows = features.mean(1)
        split = held_out_split(range(n), settings.holdout, seed=seed)
        self.everyone = learn(features, settings, seed)
        self.split = learn(features[split.train], settings, seed)
        self.held_out = self.split(rows[split.calibrate])
        self.folds = []
        self.out_of_fold = np.empty(n)
        self.fold = np.empty(n, dtype=int)
        for k, part in enumerate(cross_splits(range(n), settings.folds, seed=seed)[1:]):
            score = learn(features[part.train], settings, seed + k + 1)
            self.folds.append(score)
            self.out_of_fold[part.calibrate] = score(rows[part.calibrate])
            self.fold[part.calibrate] = k

    def flagged(self, rows: Tensor, alphas: Sequence[float]) -> list[Shares]:
        """The share of rows (M, D) that each rule flags at each alpha; None where it refuses.

        With out-of-fold scores "cross" judges by the detector of all n, "cross-mean" by the mean
        of the folds' scores, and "by the folds" is the mean rate of the folds' detectors.
        """
        everyone = self.everyone(rows)
        split = self.split(rows)
        folds = np.stack([score(rows) for score in self.folds])
        p = self.cv_plus(folds)
        out = self.out_of_fold
        held = self.held_out
        rates = []
        for alpha in alphas:
            share: Shares = {
                "split": _share(conformal_threshold, held, alpha, split),
                "quantile": _share(quantile_threshold, held, alpha, split),
                "pac": _share(pac_threshold, held, alpha, split),
                "cross": _share(conformal_threshold, out, alpha, everyone),
                "cross-mean": _share(conformal_threshold, out, alpha, folds.mean(0)),
                "cross-pac": _share(pac_threshold, out, alpha, everyone),
                "by the folds": _share(conformal_threshold, out, alpha, folds),
            }
            share["cv+"] = None if share["cross"] is None else float(np.mean(p <= alpha))
            rates.append(share)
        return rates

    def cv_plus(self, folds: np.ndarray) -> np.ndarray:
        r"""P-values (M,) of images by K-fold CV+, from the scores (K, M) of the folds' detectors.

        .. math:: p = \frac{1 + \sum_k \#\{i \in \mathrm{fold}_k : s_{-k}(i) \ge s_{-k}(x)\}}{n + 1}

        A new image is compared with each fold's images by the detector that saw neither. Proved is

        .. math::
            P(p \le \alpha) \le 2 \alpha + \min\{2 (1 - 1/K) / (n/K + 1), (1 - K/n) / (K + 1)\}.

        References:
            Barber, Candès, Ramdas, Tibshirani, "Predictive inference with the jackknife+", Annals
            of Statistics 2021, arXiv 1905.02928, theorem 4.
        """
        above = np.zeros(folds.shape[1])
        for k, scores in enumerate(folds):
            calibration = np.sort(self.out_of_fold[self.fold == k])
            above += len(calibration) - np.searchsorted(calibration, scores, side="left")
        return (1 + above) / (len(self.out_of_fold) + 1)


def _share(
    rule: Callable[..., Threshold], calibration: np.ndarray, alpha: float, scores: np.ndarray
) -> float | None:
    try:
        return float(np.mean(scores >= rule(calibration, alpha).value))
    except TooFewNormalsError:
        return None


def simulated_cell(
    pool: Pool,
    category: str,
    detector: str,
    n: int,
    repetitions: int,
    settings: Settings = DEFAULT,
    seed: int = 0,
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """The true false-alarm rates of all rules with n normal images, and what they detect.

    Args:
        pool: features of more than n normal images, and of test images.
        category, detector: names; "mahalanobis" or "flow".
        n: normal images to learn from and to calibrate on, at least 2.
        repetitions: how often n are drawn.
        settings: of the flow, the views, the folds and the split.
        seed: of the draws and the detectors.
        progress: whether to show a progress bar.

    Returns:
        `auroc` on the test set of the detector of all n and of the split's (mean, lowest,
        highest); `excess`, by how much the folds' detectors score new normals higher than that of
        all n (a share of the mean score); and `rates`: for each alpha and rule the mean true rate,
        its standard error, the 10 and the 90 % quantile, how often it exceeds alpha, and the share
        of defects that is detected; None where the rule refuses.
    """
    total = len(pool.normals)
    if not 2 <= n < total:
        raise ValueError(f"n: expected 2 to less than the {total} normal images, got {n}")
    test = pool.test.mean(1)
    areas = []
    excess = []
    false_alarms: list[list[Shares]] = []  # a repetition, an alpha
    detected: list[list[Shares]] = []
    for r in tqdm(range(repetitions), f"{category}, n = {n}", disable=not progress, leave=False):
        order = np.random.default_rng([seed, n, r]).permutation(total)
        drawn = int(np.random.default_rng([seed, n, r, 1]).integers(2**31))
        repetition = Repetition(pool.normals[order[:n]], DETECTORS[detector], settings, drawn)
        new = pool.normals[order[n : n + JUDGED]].mean(1)
        scores = [repetition.everyone(test), repetition.split(test)]
        areas.append([auroc(pool.anomalous, values) for values in scores])
        by_folds = np.mean([score(new).mean() for score in repetition.folds])
        excess.append(by_folds / repetition.everyone(new).mean() - 1)
        false_alarms.append(repetition.flagged(new, ALPHAS))
        detected.append(repetition.flagged(test[pool.anomalous], ALPHAS))
    flow = detector == "flow"
    reach = [[round(float(x), 4) for x in (a.mean(), a.min(), a.max())] for a in np.array(areas).T]
    return {
        "category": category,
        "detector": detector,
        "n": n,
        "held_out": len(repetition.held_out),
        "repetitions": repetitions,
        "judged": len(new),
        "defects": int(pool.anomalous.sum()),
        "epochs": settings.epochs if flow else None,
        "learning_rate": settings.learning_rate if flow else None,
        "auroc": {"all": reach[0], "split": reach[1]},
        "excess": round(float(np.mean(excess)), 4),
        "rates": [
            {"alpha": alpha, "rule": rule}
            | _summary([x[i][rule] for x in false_alarms], [x[i][rule] for x in detected], alpha)
            for i, alpha in enumerate(ALPHAS)
            for rule in false_alarms[0][i]
        ],
        "version": differnet_lite.__version__,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _summary(rates: Sequence[float | None], powers: Sequence[float | None], alpha: float) -> Shares:
    """Over repetitions; a rule refuses in all of them or in none, as it looks at n alone."""
    names = ("mean", "error", "low", "high", "exceeds", "detected")
    if rates[0] is None:
        return dict.fromkeys(names)
    shares = np.array(rates, dtype=float)
    n = len(shares)
    error = shares.std(ddof=1) / n**0.5 if n > 1 else np.nan
    low, high = np.quantile(shares, [0.1, 0.9])
    power = np.mean(np.array(powers, dtype=float))
    values = (shares.mean(), error, low, high, np.mean(shares > alpha + 1e-9), power)
    return {k: round(float(v), 5) if v == v else None for k, v in zip(names, values, strict=True)}


def run_promise(args: argparse.Namespace, folders: list[Path]) -> None:
    """Measure one cell after the other, and store each in promise.json."""
    settings = dataclasses.replace(DEFAULT, epochs=args.epochs, learning_rate=args.learning_rate)
    path = Path(args.out) / "promise.json"
    stored = json.loads(path.read_bytes())["cells"] if path.exists() else []
    cells = {(cell["category"], cell["detector"], cell["n"]): cell for cell in stored}
    for folder in folders:
        pool = None
        for n in args.sizes:
            key = (folder.name, args.detector, n)
            command = _command(args, folder.name, n)
            if key in cells and cells[key]["command"] == command:
                continue
            if pool is None:
                pool = feature_pool(folder, args.normals, args.seed, progress=args.progress)
            cell = simulated_cell(
                pool, *key, args.repetitions, settings, args.seed, progress=args.progress
            )
            cells[key] = cell | {"command": command}
            lines = ",\n".join(json.dumps(cells[key]) for key in sorted(cells))
            with replacing(path) as file:
                file.write(f'{{"cells": [\n{lines}\n]}}\n'.encode())
            print(f"\n{folder.name}, {args.detector}, n = {n}; AUROC {cell['auroc']}")
            print(pd.DataFrame(cell["rates"]).to_string(index=False), flush=True)
    print(f"\n{path}")


def _command(args: argparse.Namespace, name: str, n: int) -> str:
    """The command that makes one cell, without the folders of this machine."""
    flow = f" --epochs {args.epochs} --learning-rate {args.learning_rate}"
    return (
        f"python -m differnet_course.experiments promise --categories {shlex.quote(name)}"
        f" --detector {args.detector} --sizes {n} --repetitions {args.repetitions}"
        f" --normals {args.normals} --seed {args.seed}{flow if args.detector == 'flow' else ''}"
    )
