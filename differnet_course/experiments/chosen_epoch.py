"""What a figure owes to choosing the epoch on the test set: the last one beside the best one.

The authors' program scores the test set 24 times while it trains and prints the highest AUROC it
saw; so do many figures that are compared with it. Whoever inspects parts has no test labels, and
gets the last epoch. Here both are of one training, so that what differs is the choice alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from differnet_course.experiments.running import made_here, options_json, write_table
from differnet_course.metrics import auroc
from differnet_lite import DifferNet, load_category
from differnet_lite.flow import CouplingFlow
from differnet_lite.folders import Category, DatasetError
from differnet_lite.sampling import fresh_view_sampler, view_sampler
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import PRESETS
from differnet_lite.training import train_flow

__all__ = ["epoch_by_epoch", "last_and_best", "run_epochs"]

TESTS = 24  # how often the authors' program looks at the test set


def epoch_by_epoch(category: Category, model: DifferNet, *, tests: int = TESTS) -> pd.DataFrame:
    """Train one flow on all normals, and look at the test set on the way.

    Args:
        category: with normal and anomalous test images.
        model: whose settings, seed and device are taken; it is not fitted itself.
        tests: how often the test set is scored, evenly, the last time after the last epoch.

    Returns:
        A row for each test: epoch, auroc and train, the loss in nats per dimension. The last one's
        scores are those of the same model fitted with calibration="none".

    Raises:
        DatasetError: the test set lacks normal or anomalous images.
    """
    if len(set(category.labels)) < 2:
        raise DatasetError(f"{category.root}: expected test images with and without a defect")
    s = model.settings
    train = list(category.train)
    if s.transformations.angles is None:
        sample = fresh_view_sampler(model.extractor, train, s.transformations)
    else:
        n_views = s.views_per_image
        features = model.features(train)
        sample = view_sampler(features, views_per_image=n_views, pool_views=s.pool_views)
    judged = model.features(list(category.test))
    looks = {round(s.epochs * k / tests) for k in range(1, tests + 1)}
    rows: list[dict[str, float]] = []

    def look(epoch: int, history: dict[str, list[float]], flow: CouplingFlow) -> None:
        if epoch in looks:
            scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
            area = auroc(category.labels, scorer.scores(judged))
            rows.append({"epoch": epoch, "auroc": area, "train": history["train"][-1]})

    train_flow(
        sample,
        len(train),
        s,
        n_features=model.extractor.n_features,
        device=model.extractor.device,
        seed=model.seed,
        progress=model.progress,
        on_epoch=look,
    )
    return pd.DataFrame(rows)


def last_and_best(table: pd.DataFrame) -> pd.DataFrame:
    """For each category and preset: AUROC of the last and of the best epoch, over seeds.

    Args:
        table: rows of `epoch_by_epoch` with columns category, preset and seed.

    Returns:
        Columns category, preset, seeds, last, best, gain (means over seeds), last_sd, best_sd and
        gain_sd (standard deviations; nan for one seed).
    """
    by_seed = table.sort_values("epoch").groupby(["category", "preset", "seed"], sort=False)
    areas = by_seed["auroc"].agg(last="last", best="max").reset_index()
    areas["gain"] = areas["best"] - areas["last"]
    grouped = areas.groupby(["category", "preset"], sort=False)
    columns = grouped[["last", "best", "gain"]]
    seeds = grouped["seed"].nunique().rename("seeds")
    return pd.concat([seeds, columns.mean(), columns.std().add_suffix("_sd")], axis=1).reset_index()


def run_epochs(args: argparse.Namespace, folders: list[Path]) -> None:
    """Train one flow after the other, store each in epochs.csv; print the last and best epochs."""
    turns = None
    name = args.preset
    if args.views is not None:  # the same views in all epochs: the trunk runs once for each
        angles = np.random.default_rng(0).uniform(0, 360, args.views).round(3).tolist()
        preset = PRESETS[args.preset].transformations
        turns = dataclasses.replace(preset, angles=tuple(angles))
        name = f"{name}, {args.views} known views"
    path = Path(args.out) / "epochs.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for folder in folders:
        category = load_category(folder)
        for seed in range(args.seeds):
            model = DifferNet(
                args.preset,
                transformations=turns,
                epochs=args.epochs,
                seed=seed,
                device=args.device,
                progress=args.progress,
            )
            text = options_json(dataclasses.asdict(model.settings))
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            names = {"category": category.name, "preset": name, "settings": digest, "seed": seed}
            if len(table) and (table[[*names]] == [*names.values()]).all(axis=1).any():
                continue
            rows = epoch_by_epoch(category, model).assign(**names, **made_here())
            table = pd.concat([table, rows], ignore_index=True)
            write_table(table, path)
    print(last_and_best(table[table["settings"] == digest]).round(4).to_string(index=False))
    print(f"\n{path}")
