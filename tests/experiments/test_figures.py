"""The figures of the studies hold the numbers of their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from differnet_course.experiments import STUDIES, published_table
from differnet_course.plots import (
    plot_ablations,
    plot_comparison,
    plot_few_shot,
    plot_published,
    plot_shifts,
)
from differnet_course.published import METHODS
from tests.experiments.conftest import small_run


def test_figures_of_the_paper_and_of_shifts_hold_their_numbers() -> None:
    heat = plot_published(published_table()).data[0]
    assert heat.y[-1] == "mean" and heat.x[-1] == "DifferNet" and heat.z.shape == (16, 6)
    np.testing.assert_allclose(heat.z[-1], [67.2, 76.2, 70.9, 71.9, 83.8, 94.7], atol=0.06)
    marks = [
        trace for trace in plot_shifts({"dsebm": -0.2, "1-nn": 1.5}).data if trace.mode == "markers"
    ]
    assert [(mark.name, *mark.x) for mark in marks] == [("DSEBM", -0.2), ("1-NN", 1.5)]


def points(figure: Any) -> set[float]:
    return {
        round(float(x), 6)
        for trace in figure.data
        if trace.mode in ("markers", "lines+markers")
        for x in (trace.x if trace.error_x.type else trace.y)
    }


def test_figures_hold_the_numbers_of_the_table(folder: Path, tmp_path: Path) -> None:
    for name, draw in (
        ("table1", plot_comparison),
        ("few-shot", plot_few_shot),
        ("ablations", plot_ablations),
    ):
        study = STUDIES[name]
        table = small_run(study.grid([folder], study.methods, range(3), False), tmp_path)
        summary = study.summary(table)
        figure = draw(summary)
        wanted = {round(100 * value, 6) for value in summary["auroc"].dropna()}
        assert wanted <= points(figure), name
        spread = summary["low"].min()
        if name == "few-shot":
            assert {99.0, 98.7} <= points(figure)  # the paper's
        else:
            drawn = [
                x - minus
                for trace in figure.data
                if trace.error_x.type
                for x, minus in zip(trace.x, trace.error_x.arrayminus, strict=True)
            ]
            assert min(drawn) == pytest.approx(100 * spread)
            assert max(len(trace.x) for trace in figure.data) == (
                1 if name == "table1" else len(summary)
            )
    comparison = plot_comparison(
        STUDIES["table1"].summary(
            small_run(STUDIES["table1"].grid([folder], METHODS, [0], False), tmp_path)
        )
    )
    paper = {trace.name: trace.x[0] for trace in comparison.data if trace.name.endswith(", paper")}
    assert paper == pytest.approx(
        {
            f"{METHODS[m]}, paper": v
            for m, v in zip(METHODS, (74.4, 89.2, 81.8, 99.0, 98.7, 99.0), strict=False)
        }
    )
    looks = [
        (trace.marker.color, trace.marker.symbol)
        for trace in comparison.data
        if trace.showlegend is None
    ]
    assert len(looks) == len(set(looks)) == len(METHODS)
