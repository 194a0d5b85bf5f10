"""Mean and spread over seeds, and where a table was made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import differnet_lite
from differnet_course.experiments import Grid, as_text, provenance, summarise
from tests.experiments.conftest import small_run


def test_a_summary_holds_mean_and_spread_of_what_succeeded() -> None:
    rows = [("bottle", "1-nn", s, a, 1.0, 0.5) for s, a in enumerate([0.9, 1.0, None])] + [
        ("flange", "1-nn", 0, 0.5, 1.0, 0.5)
    ]
    table = pd.DataFrame(rows, columns=["category", "method", "seed", "auroc", "fit_s", "score_s"])
    short = summarise(table)
    first = short.iloc[0]
    assert first[["category", "method", "seeds", "failed"]].tolist() == ["bottle", "1-nn", 2, 1]
    np.testing.assert_allclose(
        first[["auroc", "std", "low", "high", "seconds", "paper"]].astype(float),
        [0.95, 0.1 / 2**0.5, 0.9, 1.0, 1.5, 0.987],
    )
    assert short.iloc[1][["std", "paper"]].isna().all()
    assert "95.0 ± 7.1" in as_text(short)
    assert "90.0 to 100.0" in as_text(short)


def test_a_table_says_how_it_was_made(folder: Path, tmp_path: Path) -> None:
    table = small_run(
        Grid(methods=["ocsvm", "breaks"], categories=[folder], seeds=range(2)), tmp_path
    )
    command, cells, where = provenance(pd.read_csv(tmp_path / "table.csv"), "table1").split("\n")
    assert command == "python -m differnet_course.experiments table1 --categories bottle --seeds 2"
    assert cells.startswith("4 cells, of which 2 failed; made from 20") and cells.endswith(" UTC")
    assert where == f"differnet_lite {differnet_lite.__version__} on {table['machine'][0]}"
