"""Copies of images: found, said, and kept on one side of every split."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_lite import DifferNet
from differnet_lite.groups import apart, near_copies, without_copies

Picture = Callable[..., np.ndarray]


def test_each_content_counts_once_and_the_original_stays(photographs: list[Path]) -> None:
    copy = photographs[2].with_name("2 (copy).png")
    shutil.copy(photographs[2], copy)
    with pytest.warns(UserWarning, match=r"1 of 6 normal images have the same content.*so 5 are"):
        kept = without_copies([copy, *photographs])
    assert kept == [photographs[2], photographs[0], photographs[1], *photographs[3:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert without_copies(photographs) == photographs


def test_what_trains_cannot_calibrate(photographs: list[Path]) -> None:
    with pytest.warns(UserWarning, match=r"1 of 3 calibration images are also among the training"):
        assert apart(photographs[:3], photographs[2:]) == photographs[:2]


def test_near_copies_form_groups_and_are_said(picture: Picture) -> None:
    images = [picture(k) for k in range(9)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert near_copies(images) == list(range(9))
        assert near_copies(images[:1]) == [0] and near_copies([]) == []
    moved = images[3].astype(int) + np.random.default_rng(0).integers(-2, 3, images[3].shape)
    smaller = Image.fromarray(picture(5, 256, 9.0)).resize((170, 170))
    more = [moved.clip(0, 255).astype(np.uint8), picture(5, 256, 9.0), smaller]
    with pytest.warns(UserWarning, match=r"4 of 12 normal images are near copies"):
        groups = near_copies(images + more)
    assert groups == [*range(9), 3, 10, 10]


def test_a_folder_with_copies_keeps_its_promise(
    tiny: dict[str, Any], tmp_path: Path, picture: Picture
) -> None:
    """44 photographs, each stored again as JPEG: no pair is torn apart, so theta is not too low."""
    for k in range(22):
        image = Image.fromarray(picture(k, 192, 9.0))
        image.save(tmp_path / f"{k}.png")
        image.save(tmp_path / f"again_{k}.jpg", quality=98)
    options = tiny | {"epochs": 8}
    for calibration in ("split", "cross"):
        with pytest.warns(UserWarning, match="44 of 44 normal images are near copies"):
            model = DifferNet(**options, calibration=calibration).fit(tmp_path)
        fresh = model.anomaly_scores([picture(100 + k, 192, 9.0) for k in range(60)])
        flagged = (fresh >= model.threshold(0.1).value).mean()
        assert flagged <= 0.3, f"{calibration}: {flagged:.0%} of new normals are flagged at 10 %"


def test_a_link_to_a_folder_counts_nothing_twice(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path
) -> None:
    folder = photographs[0].parent
    (folder / "again").symlink_to(folder, target_is_directory=True)
    model = DifferNet(**tiny, calibration="none").fit(folder)
    assert model.n_train_ == 5
