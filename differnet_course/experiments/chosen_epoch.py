"""What a figure owes to choosing the epoch on the test set: the last one beside the best one.

The authors' program scores the test set 24 times while it trains and prints the highest AUROC it
saw; so do many figures that are compared with it. Whoever inspects parts has no test labels, and
gets the last epoch. Here both are of one training, so that what differs is the choice alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from differnet_course.experiments.measuring import made_here
from differnet_course.experiments.storing import write_table
from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category
from differnet_lite.oldchecks import checked, whole
from differnet_lite.flow import CouplingFlow
from differnet_lite.folders import Category, DatasetError, load_category
from differnet_lite.metrics import auroc
from differnet_lite.model import DifferNet
from differnet_lite.sampling import training_sampler
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.training import train_flow

__all__ = ["add_epochs", "last_and_best", "run_epochs", "epoch_by_epoch", "with_known_views"]

CELL = ("category", "preset", "settings", "seed")
TESTS = 24  # how often the authors' program looks at the test set
QUESTION = (
    "What does a figure owe to choosing the epoch on the test set? One flow is trained on all "
    "normals, and the test set scored 24 times on the way. Writes epochs.csv into --out (a row for "
    "each test; finished trainings are kept, and the same command goes on) and prints the last "
    "epoch beside the best one."
)


@checked(n=whole(1))
def with_known_views(settings: Settings, n: int, *, seed: int = 0) -> Settings:
    """The same with n random angles for all images and epochs in place of new ones in every step.

    The trunk then runs once for each view, and the paper's protocol fits an evening without a GPU.
    """
    angles = np.random.default_rng(seed).uniform(0, 360, n).round(3).tolist()
    turns = dataclasses.replace(settings.transformations, angles=tuple(angles))
    return dataclasses.replace(settings, transformations=turns)


@checked(tests=whole(1))
def epoch_by_epoch(
    category: Category,
    settings: Settings,
    *,
    seed: int = 0,
    tests: int = TESTS,
    device: str | torch.device = "auto",
    cache: str | Path | None = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """Train one flow on all normals, and look at the test set on the way.

    Args:
        category: with normal and anomalous test images.
        settings: of the model; how it calibrates plays no part.
        seed, device, cache, progress: see `DifferNet`.
        tests: how often the test set is scored, evenly, the last time after the last epoch.

    Returns:
        A row for each test: epoch, auroc and train, the loss in nats per dimension. The last one's
        scores are those of `DifferNet(settings, calibration="none")` with this seed.

    Raises:
        DatasetError: the test set lacks normal or anomalous images.
    """
    if len(set(category.labels)) < 2:
        raise DatasetError(f"{category.root}: expected test images with and without a defect")
    common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
    model = DifferNet(settings, seed=seed, **common)
    s, train = model.settings, list(category.train)
    known = None if s.transformations.angles is None else model.features(train)
    judged = model.features(list(category.test), description="features of test images")
    rows: list[dict[str, float]] = []
    looks = {round(s.epochs * k / tests) for k in range(1, tests + 1)}

    def look(epoch: int, history: dict[str, list[float]], flow: CouplingFlow) -> None:
        if epoch in looks:
            scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
            area = auroc(category.labels, scorer.scores(judged))
            rows.append({"epoch": epoch, "auroc": area, "train": history["train"][-1]})

    train_flow(
        training_sampler(model.extractor, train, known, s),
        len(train),
        s,
        n_features=model.extractor.n_features,
        device=model.extractor.device,
        seed=seed,
        progress=progress,
        on_epoch=look,
    )
    return pd.DataFrame(rows)


@checked
def last_and_best(table: pd.DataFrame) -> pd.DataFrame:
    """For each category and preset: AUROC of the last and of the best epoch, over seeds.

    Args:
        table: rows of `epoch_by_epoch` with columns category, preset and seed.

    Returns:
        Columns category, preset, seeds, last, best, gain (means over seeds), last_sd, best_sd and
        gain_sd (standard deviations; nan for one seed).
    """
    ordered = table.sort_values("epoch")
    of_seed = ordered.groupby(["category", "preset", "seed"], sort=False)["auroc"]
    each = of_seed.agg(last="last", best="max").reset_index()
    each["gain"] = each["best"] - each["last"]
    grouped = each.groupby(["category", "preset"], sort=False)
    names = {"last": "mean", "best": "mean", "gain": "mean"}
    spread = grouped[list(names)].std().add_suffix("_sd")
    seeds = grouped["seed"].nunique().rename("seeds")
    return pd.concat([seeds, grouped[list(names)].mean(), spread], axis=1).reset_index()


def add_epochs(studies: Any) -> None:
    """Add the command to the sub-parsers of argparse."""
    made = studies.add_parser("epochs", help="Last or best epoch?", description=QUESTION)
    made.add_argument(
        "--categories",
        nargs="+",
        default=["flange"],
        metavar="CATEGORY",
        help=f"built-in names ({', '.join(SAMPLE_CATEGORIES)}) or folders in the MVTec layout "
        "(default: flange)",
    )
    made.add_argument("--preset", choices=list(PRESETS), default="paper", help="default: paper")
    made.add_argument(
        "--views",
        type=int,
        metavar="N",
        help="train on N random views of each image, the same in all epochs, in place of new ones "
        "in every step; 64 are a tenth of the work without a GPU",
    )
    made.add_argument("--epochs", type=int, help="default: the preset's")
    made.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0 (default 5)")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    made.add_argument("--out", default="results", help="folder (default results)")
    made.add_argument("--no-progress", action="store_true", help="no progress bars")


def run_epochs(args: argparse.Namespace) -> int:
    """Train and keep one flow after the other; 0 when all are there."""
    out, settings, name = Path(args.out), PRESETS[args.preset], args.preset
    whole(1)("--seeds", args.seeds)
    if args.epochs is not None:
        settings = dataclasses.replace(settings, epochs=args.epochs)
    if args.views is not None:
        settings, name = with_known_views(settings, args.views), f"{name}, {args.views} known views"
    digest = hashlib.sha256(json.dumps(settings.to_json()).encode()).hexdigest()[:12]
    out.mkdir(parents=True, exist_ok=True)
    path = out / "epochs.csv"
    tables = [pd.read_csv(path)] if path.exists() else []
    common: dict[str, Any] = {"device": args.device, "progress": not args.no_progress}
    for folder in args.categories:
        if folder in SAMPLE_CATEGORIES:
            folder = make_sample_category(folder, progress=not args.no_progress)
        category = load_category(folder)
        for seed in tqdm(range(args.seeds), category.name, unit="seed", disable=args.no_progress):
            what = (category.name, name, digest, seed)
            if any((table[[*CELL]] == what).all(axis=1).any() for table in tables):
                continue
            found = epoch_by_epoch(category, settings, seed=seed, **common)
            about = dict(zip(CELL, what, strict=True)) | made_here()
            tables.append(found.assign(**about))
            write_table(pd.concat(tables, ignore_index=True), path.with_suffix(""))
    table = pd.concat(tables, ignore_index=True)
    own = table[table["settings"] == digest]
    print(last_and_best(own).round(4).to_string(index=False))
    print(f"\n{path}")
    return 0
