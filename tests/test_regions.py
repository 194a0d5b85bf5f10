"""Regions lie in the pixels of the photograph, whatever the square of the trunk did to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_lite import DifferNet
from differnet_lite.images import as_rgb
from differnet_lite.regions import regions_of

Picture = Callable[..., np.ndarray]


def test_box_area_and_peak_in_a_photograph_that_is_not_square() -> None:
    drawn = np.zeros((8, 8), np.float32)
    drawn[1:3, 2:5] = 2  # rows 1 and 2, columns 2 to 4
    drawn[2, 4] = 6
    drawn[3, 5] = 2  # touches at a corner: the same region
    drawn[6, 0] = 4
    drawn[7, 7] = 1.9
    first, second = regions_of(drawn, 2.0, (1600, 80))  # 200 x 10 pixels a cell
    assert first.box == (400, 10, 800, 30)
    assert first.area == 7 * 200 * 10
    assert first.peak == (900, 25) and first.excess == 3
    assert second.box == (0, 60, 200, 10) and second.excess == 2
    assert regions_of(drawn, 7.0, (1600, 80)) == []


@pytest.fixture(scope="module")
def wide(picture: Picture) -> Callable[[int], Image.Image]:
    """Makes photographs of 400 x 200 pixels."""
    return lambda seed: Image.fromarray(picture(seed)).resize((400, 200))


@pytest.fixture(scope="module")
def fitted(tiny: dict[str, Any], wide: Callable[[int], Image.Image]) -> DifferNet:
    """Of 29 photographs, all of which have a part in the maps' statistics."""
    options = tiny | {"calibration": "none", "map_images": 29, "size": 256}
    return DifferNet(**options).fit([wide(k) for k in range(29)])


@pytest.fixture(scope="module")
def marked(wide: Callable[[int], Image.Image]) -> Image.Image:
    """A photograph with a white patch at 300 to 360, 40 to 80."""
    image = wide(100)
    image.paste("white", (300, 40, 360, 80))
    return image


def test_a_defect_is_where_it_lies_in_the_photograph(
    fitted: DifferNet, marked: Image.Image, tmp_path: Path
) -> None:
    standing = Image.Exif()
    standing[0x0112] = 6  # what is stored is to be turned by 90 degrees clockwise
    marked.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=standing)
    marked.save(tmp_path / "plain.png")
    assert as_rgb(tmp_path / "turned.png").size == (400, 200)
    results = fitted.regions([tmp_path / "plain.png", tmp_path / "turned.png", marked], alpha=0.1)
    plain = results[0][0]
    x, y = plain.peak
    assert 285 <= x < 375 and 25 <= y < 95, "within half a cell of the patch"
    left, top, width, height = plain.box
    assert left <= 330 <= left + width <= 400 and top <= 60 <= top + height <= 200
    assert results[0] == results[1] == results[2]


def test_of_normal_images_a_share_of_alpha_has_any_region(
    fitted: DifferNet, wide: Callable[[int], Image.Image]
) -> None:
    fresh = [wide(k) for k in range(200, 260)]
    regions = fitted.regions(fresh, alpha=0.2)
    flagged = [bool(found) for found in regions]
    assert 0 < sum(flagged) <= 60 * 0.2 + 3 * (60 * 0.2 * 0.8) ** 0.5
    assert flagged == fitted.predict_masks(fresh, alpha=0.2).any((1, 2)).tolist()
