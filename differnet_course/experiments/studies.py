"""The paper's studies: what they compare, and what to read from their tables.

DifferNet runs without held-out images here: no threshold is needed, so every method trains on
the same images. Where a method cannot use one training image, its row holds the error.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from differnet_course.experiments.running import Cell, cells, options_json
from differnet_course.experiments.summaries import over_categories, summarise
from differnet_course.published import METHODS
from differnet_lite.settings import DEFAULT
from differnet_lite.transforms import Transformations

__all__ = ["ABLATIONS", "STUDIES", "Study"]

Options = dict[str, Any]
OWN: dict[str, Options] = {"differnet": {"calibration": "none", "map_images": 0}}
SAME_SCORES = ("calibration", "map_images", "reference_images")  # options that move no score here

# factor: level: settings; an empty one is the default. Random angles run the trunk anew in every
# epoch, so that pair gets few epochs. Rotations are varied alone, without zooms and shifts.
ONE_BY_ONE: Options = {"pool_views": False, "epochs": 16}
ABLATIONS: dict[str, dict[str, Options]] = {
    "scales": {"1": {"n_scales": 1}, "2": {"n_scales": 2}, "3": {}},
    "rotations": {
        str(n): {"transformations": Transformations.grid(n, zoom=0.0, shift=0.0)}
        for n in (1, 4, 16, 64)
    },
    "width": {str(n): {} if n == DEFAULT.hidden else {"hidden": n} for n in (64, 128, 256, 512)},
    "blocks": {str(n): {} if n == DEFAULT.n_blocks else {"n_blocks": n} for n in (2, 4, 8, 16)},
    "score": {"z² alone": {}, "with log-det": {"use_log_det": True}},
    "views": {"their mean": {}, "one by one": {"pool_views": False}},
    "angles (one by one, 16 epochs)": {
        "fixed": ONE_BY_ONE,
        "random": ONE_BY_ONE
        | {"transformations": Transformations(angles=None, n_train=4, n_test=16)},
    },
}


@dataclasses.dataclass(frozen=True)
class Study:
    """A question, and how to answer it.

    Args:
        title: of its figure.
        methods: that it compares unless told otherwise.
        by: columns of the table that tell the rows of the summary apart.
        n_train: numbers of training images.
        ablations: factors and their levels, see `ABLATIONS`.
    """

    title: str
    methods: Sequence[str]
    by: Sequence[str]
    n_train: Sequence[int | None] = (None,)
    ablations: Mapping[str, Mapping[str, Options]] = dataclasses.field(default_factory=dict)

    def cells(
        self, categories: Sequence[Any], methods: Sequence[str], seeds: Sequence[int]
    ) -> list[Cell]:
        """What to run."""
        settings = [options for levels in self.ablations.values() for options in levels.values()]
        different = {options_json(options): options for options in settings}
        return cells(
            methods={method: OWN.get(method, {}) for method in methods},
            categories=categories,
            seeds=seeds,
            settings=list(different.values()) or [{}],
            n_train=self.n_train,
        )

    def summary(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table of a run, summarised; see `summarise`.

        For table 1 with a row for each method's mean over categories, where there are several;
        for ablations with columns `factor`, `level` and `default`.
        """
        short = summarise(table, self.by)
        if "n_train" in self.by:
            return short.sort_values(["category", "n_train"], kind="stable", ignore_index=True)
        if self.ablations:
            return self._by_level(short)
        if table["category"].nunique() > 1:
            return pd.concat([short, over_categories(table)], ignore_index=True)
        return short

    def _by_level(self, short: pd.DataFrame) -> pd.DataFrame:
        """The summary by options as one by factor and level; a default is in several factors."""
        options = short["options"].map(_that_matter)
        parts = []
        for factor, levels in self.ablations.items():
            for level, settings in levels.items():
                rows = short[options == _that_matter(options_json(settings))]
                if rows.empty:
                    warnings.warn(
                        f"{factor} = {level}: no row has these options; run the study to its end",
                        stacklevel=3,
                    )
                names = {"factor": factor, "level": level, "default": not settings}
                parts.append(rows.drop(columns=["options", "method"]).assign(**names))
        both = pd.concat(parts, ignore_index=True)
        return both[[*names, *both.columns.drop([*names])]]


def _that_matter(options: str) -> str:
    """Options (JSON) less those that move no score here."""
    items = json.loads(options).items()
    return options_json({name: value for name, value in items if name not in SAME_SCORES})


STUDIES = {
    "table1": Study(
        "All methods on all categories",
        [method for method in METHODS if method != "autoencoder-ssim"],
        ("category", "method"),
    ),
    "few-shot": Study(
        "How many training images?",
        ("ocsvm", "1-nn", "differnet", "mahalanobis"),
        ("category", "n_train", "method"),
        n_train=(1, 2, 4, 8, 16, 32, None),
    ),
    "ablations": Study(
        "One factor at a time",
        ("differnet",),
        ("category", "method", "options"),
        ablations=ABLATIONS,
    ),
}
