"""The methods that the paper compares DifferNet with, and two more, behind one detector.

    from differnet_course.baselines import BASELINES, make_detector
    for name in ("differnet", *BASELINES):
        scores = make_detector(name).fit("data/flange").anomaly_scores("new_photographs")

| name | what it learns of normal images | score |
|---|---|---|
| `ocsvm` | a boundary around their features | distance outside of it |
| `1-nn` | their features themselves | distance to the nearest |
| `mahalanobis` | mean and covariance of their features | squared Mahalanobis distance |
| `geotrans` | how they look when turned and mirrored | how badly a turn is recognised |
| `ganomaly` | codes that survive decoding | change of the code |
| `dsebm` | an energy | the energy |
| `autoencoder-l2` | codes to reproduce them from | error of the reproduction |
| `patchcore` | patches of their middle layers | largest distance of a patch to the nearest |

The first three see DifferNet's own features and rotations. The others see small images and train
a network of their own. A method is a density model with `fit(rows)` and `score(rows)`;
`BaselineDetector` makes the rows.
"""

from differnet_course.baselines.detector import BASELINES, BaselineDetector, make_detector

__all__ = ["BASELINES", "BaselineDetector", "make_detector"]
