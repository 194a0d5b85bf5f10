"""Kept results that are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from differnet_course.experiments import Grid
from tests.experiments.conftest import Fake, same_tables, small_run


def test_a_cell_file_cut_short_is_no_cell(folder: Path, tmp_path: Path) -> None:
    grid = Grid(methods=["a"], categories=[folder], seeds=(0, 1, 2))
    table = small_run(grid, tmp_path)
    paths = [tmp_path / "cells" / f"{key}.json" for key in table["key"]]
    paths[0].write_bytes(paths[0].read_bytes()[:40])
    paths[1].write_bytes(paths[2].read_bytes())
    with pytest.warns(UserWarning, match="the kept result is damaged") as caught:
        again = small_run(grid, tmp_path)
    assert len(caught) == 2
    assert Fake.fits[3:] == [("a", 0), ("a", 1)]
    same_tables(again, table)
