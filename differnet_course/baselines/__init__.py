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
| `dsebm` | an energy | energy, or its gradient |
| `autoencoder-l2`, `autoencoder-ssim` | codes to reproduce them from | error of the reproduction |

The first three see DifferNet's own features and rotations. The others see small images and train
a network of their own. A method is a density model with `fit(rows)` and `score(rows)`;
`BaselineDetector` makes the rows, calibrates the threshold and decides.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
