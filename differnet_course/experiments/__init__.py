"""Comparisons: a grid of methods, categories, seeds and settings, and the studies of the paper.

    from differnet_course.experiments import Grid, run
    grid = Grid(methods=["differnet", "mahalanobis"], categories=["data/flange"], seeds=range(3))
    table = run(grid, "results", n_jobs=2)

Reading order: grid (what is to be done), measuring (one cell), workers (many at a time), storing
(results on disk), running (all of it), summaries (mean and spread), studies (the paper's).
Needs pandas and joblib: `pip install 'differnet_lite[experiments]'`.
"""

from __future__ import annotations

from differnet_course.experiments.grid import Cell, Grid, subset
from differnet_course.experiments.running import run
from differnet_course.experiments.studies import STUDIES, Study
from differnet_course.experiments.summaries import as_text, provenance, summarise
from differnet_course.published import published_table

__all__ = [
    "STUDIES",
    "Cell",
    "Grid",
    "Study",
    "as_text",
    "provenance",
    "published_table",
    "run",
    "subset",
    "summarise",
]
