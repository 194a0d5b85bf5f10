"""The paper's studies as grids, and what to read from their tables.

| study | question |
|---|---|
| `table1` | which method finds the defects of which category? |
| `few-shot` | how many training images does each method need? |
| `ablations` | what does each part of DifferNet add? |

DifferNet runs without held-out images here: no threshold is needed, so every method trains on
the same images. One training image is a cell like any other; where a method cannot use it, its
row holds the error.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from differnet_course.experiments.grid import Grid, options_json
from differnet_course.experiments.summaries import over_categories, summarise
from differnet_course.published import METHODS
from differnet_lite.settings import DEFAULT
from differnet_lite.transforms import Transformations

__all__ = ["ABLATIONS", "N_TRAIN", "STUDIES", "TABLE1_METHODS", "Study"]

TABLE1_METHODS = tuple(method for method in METHODS if method != "autoencoder-ssim")
FEW_SHOT_METHODS = ("ocsvm", "1-nn", "differnet", "mahalanobis")
N_TRAIN = (1, 2, 4, 8, 16, 32, None)

OWN: dict[str, dict[str, Any]] = {"differnet": {"calibration": "none", "reference_images": 0}}
QUICK: dict[str, dict[str, Any]] = {"differnet": {"epochs": 2}} | {
    method: {"steps": 20}
    for method in ("geotrans", "ganomaly", "dsebm", "autoencoder-l2", "autoencoder-ssim")
}

# factor: level: settings; an empty one is the default. Random angles run the trunk anew in every
# epoch, so that pair gets few epochs, and a mean over views, which needs a fixed grid, is a factor
# of its own. Rotations are varied alone: the default's small zooms and shifts are no rotations.
ABLATIONS: dict[str, dict[str, dict[str, Any]]] = {
    "scales": {"1": {"n_scales": 1}, "2": {"n_scales": 2}, "3": {}},
    "rotations": {
        str(n): {"transformations": Transformations.grid(n, zoom=0, shift=0)}
        for n in (1, 4, 16, 64)
    },
    "width": {str(n): {} if n == DEFAULT.hidden else {"hidden": n} for n in (64, 128, 256, 512)},
    "blocks": {str(n): {} if n == DEFAULT.n_blocks else {"n_blocks": n} for n in (2, 4, 8, 16)},
    "score": {"z² alone": {}, "with log-det": {"use_log_det": True}},
    "views": {"their mean": {}, "one by one": {"pool_views": False}},
    "angles (one by one, 16 epochs)": {
        "fixed": {"pool_views": False, "epochs": 16},
        "random": {
            "pool_views": False,
            "epochs": 16,
            "transformations": Transformations(angles=None, n_train=4, n_test=16),
        },
    },
}
SLOW = [
    ("rotations", "64"),
    *(("angles (one by one, 16 epochs)", level) for level in ("fixed", "random")),
]  # left out by --quick


@dataclasses.dataclass(frozen=True)
class Study:
    """A question, and how to answer it.

    Attributes:
        title: of its figure.
        methods: that it compares unless told otherwise.
        by: columns of the table that tell the rows of the summary apart.
        grid: makes its grid from categories, methods, seeds and whether to be quick.
    """

    title: str
    methods: tuple[str, ...]
    by: tuple[str, ...]
    grid: Callable[[Sequence[Any], Sequence[str], Sequence[int], bool], Grid]

    def summary(self, table: pd.DataFrame, *, quick: bool = False) -> pd.DataFrame:
        """The table of a run, summarised; see `summarise`.

        For table 1 with a row for each method's mean over categories, where there are several;
        for ablations with columns `factor`, `level` and `default`.
        """
        short = summarise(table, self.by)
        if self.by == ("category", "method") and table["category"].nunique() > 1:
            short = pd.concat([short, over_categories(table)], ignore_index=True)
        if "n_train" in self.by:
            short = short.sort_values(["category", "n_train"], kind="stable", ignore_index=True)
        return _by_level(short, quick) if "options" in self.by else short


def _options(methods: Sequence[str], quick: bool) -> dict[str, dict[str, Any]]:
    return {
        method: OWN.get(method, {}) | (QUICK.get(method, {}) if quick else {}) for method in methods
    }


def _table1(
    categories: Sequence[Any], methods: Sequence[str], seeds: Sequence[int], quick: bool
) -> Grid:
    return Grid(methods=_options(methods, quick), categories=categories, seeds=seeds)


def _few_shot(
    categories: Sequence[Any], methods: Sequence[str], seeds: Sequence[int], quick: bool
) -> Grid:
    return Grid(
        methods=_options(methods, quick),
        categories=categories,
        seeds=seeds,
        n_train=(1, 4, 16, None) if quick else N_TRAIN,
    )


def _levels(quick: bool) -> Mapping[tuple[str, str], dict[str, Any]]:
    """The settings of each factor and level."""
    return {
        (factor, level): settings | (QUICK["differnet"] if quick else {})
        for factor, levels in ABLATIONS.items()
        for level, settings in levels.items()
        if not (quick and (factor, level) in SLOW)
    }


def _ablations(
    categories: Sequence[Any], methods: Sequence[str], seeds: Sequence[int], quick: bool
) -> Grid:
    return Grid(
        methods=_options(methods, False),
        categories=categories,
        seeds=seeds,
        settings=list(_levels(quick).values()),
    )


def _by_level(short: pd.DataFrame, quick: bool) -> pd.DataFrame:
    """The summary by options as one by factor and level; the default is a level of most factors."""
    parts = []
    for (factor, level), settings in _levels(quick).items():
        rows = short[short["options"] == options_json(OWN["differnet"] | settings)].drop(
            columns=["options", "method"]
        )
        if rows.empty:
            warnings.warn(
                f"{factor} = {level}: no row has these options: run the study to its end, or "
                "again, if another version made the table",
                stacklevel=3,
            )
        parts.append(rows.assign(factor=factor, level=level, default=not ABLATIONS[factor][level]))
    both = pd.concat(parts, ignore_index=True)
    return both[["factor", "level", "default", *both.columns.drop(["factor", "level", "default"])]]


STUDIES: dict[str, Study] = {
    "table1": Study(
        "All methods on all categories", TABLE1_METHODS, ("category", "method"), _table1
    ),
    "few-shot": Study(
        "How many training images?", FEW_SHOT_METHODS, ("category", "n_train", "method"), _few_shot
    ),
    "ablations": Study(
        "One factor at a time", ("differnet",), ("category", "method", "options"), _ablations
    ),
}
