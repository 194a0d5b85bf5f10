"""Real images, where they are: in ../shared/data, or where DIFFERNET_LITE_REAL_DATA says.

`..` is the folder that the checkout lies in.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differnet_course.prepare import MTD_COUNTS, MVTEC_COUNTS
from differnet_lite import DifferNet, Transformations, evaluate, load_category

REAL = Path(
    os.environ.get(
        "DIFFERNET_LITE_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"
    )
)
BOTTLE, TILES = REAL / "mvtec_448" / "bottle", REAL / "mtd" / "magnetic_tile"


def _counts(folder: Path) -> tuple[int, int, int]:
    found = load_category(folder)
    return len(found.train), int((~found.labels).sum()), int(found.labels.sum())


@pytest.mark.skipif(
    not BOTTLE.is_dir(),
    reason=f"the real category bottle is not at {BOTTLE.parent.name}/bottle beside the checkout",
)
def test_bottle_is_separated_with_four_rotations(tmp_path: Path) -> None:
    """A quarter of the views of benchmarks/real_data.py, so a bound well below its figure."""
    assert _counts(BOTTLE) == MVTEC_COUNTS["bottle"]
    model = DifferNet(
        transformations=Transformations.grid(4), epochs=32, cache=tmp_path, progress=False
    ).fit(BOTTLE)
    result = evaluate(model, BOTTLE)
    assert result.auroc.value > 0.97
    assert result.threshold.rule == "cross-conformal" and result.threshold.alpha == 0.05
    assert result.detection_rate > 0.7


@pytest.mark.skipif(
    not TILES.is_dir(), reason="the real category magnetic_tile is not beside the checkout"
)
def test_magnetic_tiles_of_any_shape_load_and_their_defects_score_higher(tmp_path: Path) -> None:
    assert _counts(TILES) == MTD_COUNTS
    found = load_category(TILES)
    model = DifferNet(
        transformations=Transformations.grid(2),
        epochs=16,
        holdout=0.5,
        reference_images=8,
        cache=tmp_path,
        progress=False,
    )
    model.fit(found.train[:120])
    blowholes = [p for p, kind in zip(found.test, found.kinds, strict=True) if kind == "blowhole"][
        :20
    ]
    normal = [p for p, kind in zip(found.test, found.kinds, strict=True) if kind == "good"][:20]
    assert (model.p_values(blowholes) < 0.5).mean() > (model.p_values(normal) < 0.5).mean()
    assert model.anomaly_maps(blowholes[:1]).shape == (1, 448, 448)
