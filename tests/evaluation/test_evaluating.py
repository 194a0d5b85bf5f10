"""The evaluation meets labels once, and counts right."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from differnet_course import metrics
from differnet_course.evaluation import Evaluation, evaluate
from differnet_course.folders import load_category, load_mask
from differnet_lite import DifferNet
from differnet_lite.listing import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot guarantee")


@pytest.fixture(scope="module")
def model(tiny: dict[str, Any], category_folder: Path) -> DifferNet:
    """A smaller one than the session's: its maps are 64 px wide."""
    return DifferNet(**tiny).fit(category_folder)


@pytest.fixture(scope="module")
def evaluation(model: DifferNet, category_folder: Path) -> Evaluation:
    with pytest.warns(UserWarning, match="cannot guarantee"):
        return evaluate(model, category_folder, maps=True)


def test_figures_are_those_of_the_scores(evaluation: Evaluation, model: DifferNet) -> None:
    category = evaluation.category
    labels, scores = category.labels, model.anomaly_scores(category.test)
    np.testing.assert_array_equal(evaluation.scores, scores)
    assert evaluation.auroc.value == metrics.auroc(labels, scores)
    assert evaluation.average_precision.value == metrics.average_precision(labels, scores)
    assert evaluation.auroc.low <= evaluation.auroc.value <= evaluation.auroc.high
    assert evaluation.threshold == model.threshold(0.05, if_too_few="fallback")
    flagged = scores >= evaluation.threshold.value
    assert evaluation.false_alarm_rate == flagged[~labels].mean()
    assert evaluation.detection_rate == flagged[labels].mean()


def test_maps_are_measured_against_the_masks(evaluation: Evaluation, model: DifferNet) -> None:
    category = evaluation.category
    assert evaluation.maps is not None
    np.testing.assert_array_equal(evaluation.maps[:2], model.anomaly_maps(category.test[:2]))
    masks = [load_mask(mask, 64) for mask in category.masks]
    assert evaluation.pixel_auroc == metrics.pixel_auroc(masks, list(evaluation.maps))
    assert evaluation.aupro == metrics.aupro(masks, list(evaluation.maps))


def test_anomalous_images_without_a_mask_are_not_taken_for_normal_pixels(
    model: DifferNet, category_folder: Path
) -> None:
    whole = load_category(category_folder)
    assert whole.masks[0] is not None
    less = evaluate(model, dataclasses.replace(whole, masks=(None, *whole.masks[1:])), maps=True)
    assert less.maps is not None and len(less.maps) == len(whole.test)
    masks = [load_mask(mask, 64) for mask in whole.masks[1:]]
    assert less.aupro == metrics.aupro(masks, list(less.maps[1:]))


@pytest.mark.parametrize("good", [True, False])
def test_a_test_set_without_normals_or_defects_is_named(
    model: DifferNet, category_folder: Path, good: bool
) -> None:
    whole = load_category(category_folder)
    chosen = np.flatnonzero(whole.labels != good)
    names = ("test", "kinds", "masks")
    parts = {name: tuple(getattr(whole, name)[i] for i in chosen) for name in names}
    with pytest.raises(DatasetError, match=r"needs test/good/ .* got \d+ normal and \d+ anomalous"):
        evaluate(model, dataclasses.replace(whole, **parts))


def test_the_same_files_in_training_and_test_are_named(
    model: DifferNet, category_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(category_folder, tmp_path / "flange"))
    first = sorted((copy / "train" / "good").iterdir())[0]
    shutil.copyfile(first, copy / "test" / "good" / "copied.png")
    with pytest.warns(UserWarning, match=r"1 test images have the content .* copied\.png"):
        evaluate(model, copy)
