"""Real images, where there are any: in ../shared/data, or where DIFFERNET_LITE_REAL_DATA says.

`..` is the folder that the checkout lies in.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differnet_course import evaluate, load_category
from differnet_course.prepare import MTD_COUNTS
from differnet_lite import DifferNet, Transformations

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = Path(os.environ.get("DIFFERNET_LITE_REAL_DATA", BESIDE))
BOTTLE = REAL / "mvtec_448" / "bottle"
TILES = REAL / "mtd" / "magnetic_tile"

pytestmark = pytest.mark.slow


def counts(folder: Path) -> tuple[int, int, int]:
    category = load_category(folder)
    n_anomalous = int(category.labels.sum())
    return len(category.train), len(category.test) - n_anomalous, n_anomalous


@pytest.mark.skipif(not BOTTLE.is_dir(), reason="the category bottle is not beside the checkout")
def test_bottle_is_separated_with_four_rotations(tmp_path: Path) -> None:
    """A quarter of the views of benchmarks/real_data.py, so a bound well below its figure."""
    assert counts(BOTTLE) == (209, 20, 63)
    model = DifferNet(transformations=Transformations.grid(4), cache=tmp_path, progress=False)
    result = evaluate(model.fit(BOTTLE), BOTTLE)
    assert result.auroc.value > 0.97
    assert result.threshold.rule == "cross-conformal" and result.threshold.alpha == 0.05
    assert result.detection_rate > 0.7


@pytest.mark.skipif(not TILES.is_dir(), reason="magnetic_tile is not beside the checkout")
def test_magnetic_tiles_of_any_shape_load_and_their_defects_score_higher(tmp_path: Path) -> None:
    assert counts(TILES) == MTD_COUNTS
    category = load_category(TILES)
    model = DifferNet(
        transformations=Transformations.grid(2),
        epochs=16,
        map_images=8,
        cache=tmp_path,
        progress=False,
    )
    model.fit(category.train[:120])
    tests = list(zip(category.test, category.kinds, strict=True))
    blowholes = [path for path, kind in tests if kind == "blowhole"][:20]
    normal = [path for path, kind in tests if kind == "good"][:20]
    assert (model.p_values(blowholes) < 0.5).mean() > (model.p_values(normal) < 0.5).mean()
    assert model.anomaly_maps(blowholes[:1]).shape == (1, 448, 448)
