"""The lines of numbers that notebooks print, and the table that is made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from differnet_course.numbers import in_numbers, stored_numbers
from differnet_lite import DifferNet, Transformations


@pytest.fixture(scope="module")
def fitted(small):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 48, 48, 3), dtype=np.uint8)
    views = Transformations.grid(2)
    model = DifferNet(**small | {"transformations": views, "epochs": 1})
    return model.fit(list(images[:20])), model.anomaly_scores(list(images[20:]))


def test_a_line_says_what_the_model_is_and_found(fitted):
    model, scores = fitted
    labels = np.array([False, False, True, True])
    header, row = in_numbers("noise", model, scores, labels).splitlines()[1:]
    cells = row.split()
    assert header.split()[:3] == ["category", "views", "epochs"]
    assert cells[:5] == ["noise", "2", "both", "1", "0.0004"]
    theta = model.threshold(0.05).value
    assert f"{theta:.2f}" in cells and f"{np.median(scores[:2]):.2f}" in cells
    assert row.endswith(f"{np.sum(scores[2:] >= theta)} of 2")


def test_the_table_collects_what_is_stored(fitted, tmp_path):
    model, scores = fitted
    line = in_numbers("noise", model, scores, [False, False, True, True])
    for name, text in {"00_a": f"before\n{line}\n", "01_b": "nothing\n", "07_c": line}.items():
        output = {"output_type": "stream", "name": "stdout", "text": text.splitlines(True)}
        cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [output]}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    header, *rows = stored_numbers(tmp_path).splitlines()
    assert header.startswith("notebook") and [row[:2] for row in rows] == ["00", "07"]
    assert all(row[9:] == line.splitlines()[2] for row in rows)
    assert len(stored_numbers(tmp_path, besides="07").splitlines()) == 2
