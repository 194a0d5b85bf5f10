"""differnet_lite: normalizing-flow anomaly detection to learn from, and to use on your own parts.

    from differnet_lite import DifferNet
    model = DifferNet().fit("photographs_of_good_parts")
    scores = model.anomaly_scores("new_photographs")      # higher is more anomalous

One axis legend for the whole package: N images, T transformations (rotations), S scales,
C channels, D features, H and W height and width.

Reading order of the core: detector, transforms, features, flow, loss, training, scoring.
The public names are listed in `__init__.pyi`; each is loaded on first use.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
