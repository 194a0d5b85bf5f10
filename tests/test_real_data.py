"""Real images, where there are any: in ../shared/data, or where DIFFERNET_LITE_REAL_DATA says.

`..` is the folder that the checkout lies in.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from differnet_course import evaluate, load_category
from differnet_lite import DifferNet, Transformations

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = Path(os.environ.get("DIFFERNET_LITE_REAL_DATA", BESIDE))
BOTTLE = REAL / "mvtec_448" / "bottle"

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not BOTTLE.is_dir(), reason="the category bottle is not beside the checkout")
def test_bottle_is_separated_with_four_rotations(tmp_path: Path) -> None:
    """A quarter of the views of benchmarks/real_data.py, so a bound well below its figure."""
    category = load_category(BOTTLE)
    assert (len(category.train), len(category.test), category.labels.sum()) == (209, 83, 63)
    model = DifferNet(transformations=Transformations.grid(4), cache=tmp_path, progress=False)
    result = evaluate(model.fit(BOTTLE), BOTTLE)
    assert result.auroc.value > 0.97
    assert result.threshold.rule == "cross-conformal" and result.threshold.alpha == 0.05
    assert result.detection_rate > 0.7
