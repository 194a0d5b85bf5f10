"""The paper's numbers."""

from __future__ import annotations

import numpy as np

from differnet_course.published import published_auroc


def test_published_rows_have_the_published_means() -> None:
    from differnet_course.published import _ROWS

    means = np.mean(list(_ROWS.values()), axis=0)
    np.testing.assert_allclose(means, [67.2, 76.2, 70.9, 71.9, 83.8, 94.7], atol=0.06)
    assert published_auroc("ganomaly", "metal_nut") == 0.70
    assert published_auroc("differnet", "flange") is None
