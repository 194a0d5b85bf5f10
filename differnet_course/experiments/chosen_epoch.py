"""What a figure owes to choosing the epoch on the test set: the last one beside the best one.

The authors' program scores the test set 24 times while it trains and prints the highest AUROC it
saw. Whoever inspects parts has no test labels, and gets the last epoch. Here both are of one
training, so that what differs is the choice alone.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from differnet_course.experiments.running import content, made_here, memory
from differnet_course.folders import Category, load_category
from differnet_course.metrics import auroc
from differnet_lite import DifferNet
from differnet_lite.flow import CouplingFlow
from differnet_lite.sampling import fresh_view_sampler, view_sampler
from differnet_lite.scoring import scorer_of
from differnet_lite.training import train_flow

TESTS = 24  # how often the authors' program looks at the test set, evenly, at last after training


def epoch_by_epoch(category: Category, model: DifferNet) -> pd.DataFrame:
    """Train one flow on all normals by a model's settings, and look at the test set on the way.

    A row for each look: epoch, auroc and train, the loss in nats per dimension. The last one's
    scores are those of the same model fitted with calibration="none".
    """
    s = model.settings
    train = list(category.train)
    if s.transformations.angles is None:
        sample = fresh_view_sampler(model.extractor, train, s.transformations)
    else:
        n_views = s.views_per_image
        features = model.features(train)
        sample = view_sampler(features, views_per_image=n_views, pool_views=s.pool_views)
    judged = model.features(list(category.test))
    looks = {round(s.epochs * k / TESTS) for k in range(1, TESTS + 1)}
    rows: list[dict[str, float]] = []

    def look(epoch: int, history: dict[str, list[float]], flow: CouplingFlow) -> None:
        if epoch in looks:
            area = auroc(category.labels, scorer_of([flow], s).scores(judged))
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
    """For each category and preset of `run_epochs`: AUROC of the last and of the best epoch.

    Columns are category, preset, seeds, last, best, gain (means over seeds), last_sd, best_sd and
    gain_sd (standard deviations; nan for one seed).
    """
    by_seed = table.sort_values("epoch").groupby(["category", "preset", "seed"], sort=False)
    areas = by_seed["auroc"].agg(last="last", best="max").reset_index()
    areas["gain"] = areas["best"] - areas["last"]
    grouped = areas.groupby(["category", "preset"], sort=False)
    columns = grouped[["last", "best", "gain"]]
    seeds = grouped["seed"].nunique().rename("seeds")
    return pd.concat([seeds, columns.mean(), columns.std().add_suffix("_sd")], axis=1).reset_index()


def run_epochs(
    folders: Sequence[Path],
    out: Path,
    *,
    seeds: int,
    preset: str = "paper",
    views: int | None = None,
) -> pd.DataFrame:
    """`epoch_by_epoch` of every folder and seed, as epochs.csv; finished trainings are kept.

    With `views` so many random views are the same in all epochs: the trunk runs once for each.
    """
    trained = memory(out).cache(_trained, ignore=["folder"])
    tables = [
        trained(content(load_category(folder)), preset, views, seed, folder)
        for folder in folders
        for seed in range(seeds)
    ]
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(out / "epochs.csv", index=False)
    return table


def _trained(images: str, preset: str, views: int | None, seed: int, folder: Path) -> pd.DataFrame:
    model = DifferNet(preset, seed=seed, progress=False)
    name = preset
    if views is not None:
        angles = np.random.default_rng(0).uniform(0, 360, views).round(3).tolist()
        turns = dataclasses.replace(model.settings.transformations, angles=tuple(angles))
        model.set_params(transformations=turns)
        name = f"{preset}, {views} known views"
    category = load_category(folder)
    rows = epoch_by_epoch(category, model)
    return rows.assign(category=category.name, preset=name, seed=seed, **made_here())
