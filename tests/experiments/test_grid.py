"""What is to be done: keys, cells, refusals, subsets."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

import differnet_lite
from differnet_course.experiments import Cell, Grid, subset
from differnet_course.experiments.grid import options_json
from differnet_lite import DatasetError, Settings, Transformations


def test_a_key_holds_everything_a_result_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell("differnet", "/here/bottle", 0, "{}", None, "images")
    changes = [
        {"method": "1-nn"},
        {"folder": "/here/cable"},
        {"seed": 1},
        {"options": '{"epochs": 2}'},
        {"n_train": 4},
        {"images": "others"},
    ]
    keys = {dataclasses.replace(cell, **change).key for change in changes} | {cell.key}
    assert len(keys) == 1 + len(changes)
    assert (
        dataclasses.replace(cell, folder="/there/bottle").key == cell.key
    )  # where the images lie does not matter
    monkeypatch.setattr(differnet_lite, "__version__", "0.1.0")
    assert cell.key == "60bf1fa130c97e24"  # the same on every machine, in every process
    monkeypatch.setattr(differnet_lite, "__version__", "9.9.9")
    assert cell.key not in keys


def test_a_key_depends_on_what_the_files_hold(folder: Path, tmp_path: Path) -> None:
    def keys(root: Path) -> set[str]:
        return {cell.key for cell in Grid(methods=["a"], categories=[root]).cells()}

    copy = shutil.copytree(folder, tmp_path / "copy" / folder.name)
    assert keys(copy) == keys(folder)
    one, other = copy / "test" / "good" / "2.png", copy / "test" / "dent" / "1.png"
    first, second = one.read_bytes(), other.read_bytes()
    assert first != second and len(first) == len(second)
    for when in (0, 5_000_000_000):  # 1970, 2128: clocks of files tell nothing
        one.write_bytes(first)
        other.write_bytes(second)
        for path in copy.rglob("*.png"):
            os.utime(path, (when, when))
        assert keys(copy) == keys(folder)
        one.write_bytes(second)
        other.write_bytes(first)
        for path in (one, other):
            os.utime(path, (when, when))
        assert keys(copy) != keys(folder)


def test_cells_are_the_product_each_once_seed_by_seed(folder: Path) -> None:
    grid = Grid(
        methods={"a": {"x": 1}, "b": {}},
        categories=[folder],
        seeds=(0, 1),
        settings=[{}, {"x": 2}, {"x": 2}],
        n_train=[None, 3],
    )
    cells = grid.cells()
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert [cell.seed for cell in cells] == [0] * 8 + [1] * 8
    assert {cell.options for cell in cells if cell.method == "a"} == {
        '{"x": 1}',
        '{"x": 2}',
    }  # a setting wins over a method's own
    assert {cell.options for cell in cells if cell.method == "b"} == {"{}", '{"x": 2}'}


def test_options_may_be_dataclasses_that_a_model_reads_back() -> None:
    options = json.loads(options_json({"transformations": Transformations.grid(4)}))
    assert Settings(**options).transformations == Transformations.grid(4)
    with pytest.raises(TypeError):
        options_json({"x": object()})


def test_grids_that_make_no_sense_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="methods: expected at least one, got none"):
        Grid(methods=[], categories=[folder])
    with pytest.raises(TypeError, match="methods: expected a list, got 'differnet'"):
        Grid(methods="differnet", categories=[folder])
    with pytest.raises(ValueError, match="n_train"):
        Grid(methods=["a"], categories=[folder], n_train=[0])
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        Grid(methods=["a"], categories=[tmp_path / "nowhere"]).cells()
    unlabelled = tmp_path / "unlabelled" / "train" / "good"
    unlabelled.mkdir(parents=True)
    Image.new("L", (8, 8)).save(unlabelled / "0.png")
    with pytest.raises(DatasetError, match="expected test/good/ and at least one test/DEFECT/"):
        Grid(methods=["a"], categories=[unlabelled.parent.parent]).cells()
    (tmp_path / "bottle").symlink_to(folder)
    with pytest.raises(DatasetError, match="different names, got 'bottle' more than once"):
        Grid(methods=["a"], categories=[folder, tmp_path / "bottle"]).cells()


def test_a_larger_subset_contains_the_smaller_ones() -> None:
    images = list(range(20))
    subsets = [subset(images, n, seed=3) for n in (1, 2, 4, 8, 16, 20)]
    for small, large in pairwise(subsets):
        assert large[: len(small)] == small
    assert sorted(subsets[-1]) == subset(images, None, seed=3) == images
    assert subset(images, 4, seed=4) != subsets[2]
    with pytest.raises(ValueError, match="at least 21 training images, got 20"):
        subset(images, 21, seed=0)
