"""The methods that the paper compares DifferNet with, and three more, behind one contract.

    from differnet_lite.baselines import BASELINES, make_detector
    for name in ("differnet", *BASELINES):
        scores = make_detector(name).fit("data/flange").score_samples("new_photographs")

| name | what it learns of normal images | score |
|---|---|---|
| `ocsvm` | a boundary around their features | distance outside of it |
| `1-nn` | their features themselves | distance to the nearest |
| `mahalanobis` | mean and covariance of their features | squared Mahalanobis distance |
| `geotrans` | how they look when turned and mirrored | how badly a turn is recognised |
| `ganomaly` | codes that survive decoding | change of the code |
| `dsebm` | an energy | energy, or its gradient |
| `autoencoder-l2`, `autoencoder-ssim` | codes to reproduce them from | error of the reproduction |

The first three see DifferNet's own features and rotations; the others see small images and train a network of their own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["BASELINES", "Detector", "make_detector"]

if TYPE_CHECKING:
    import torch

    from differnet_lite.baselines.detector import BaseDetector, Detector

    BASELINES: dict[str, type[BaseDetector]]

_CLASSES = {
    "ocsvm": ("feature_methods", "OCSVM"),
    "1-nn": ("feature_methods", "NearestNeighbour"),
    "mahalanobis": ("feature_methods", "Mahalanobis"),
    "geotrans": ("geotrans", "GeoTrans"),
    "ganomaly": ("ganomaly", "GANomaly"),
    "dsebm": ("dsebm", "DSEBM"),
    "autoencoder-l2": ("autoencoder", "Autoencoder"),
    "autoencoder-ssim": ("autoencoder", "SSIMAutoencoder"),
}


def make_detector(
    name: str,
    *,
    seed: int = 0,
    device: str | torch.device = "auto",
    cache: Any = "auto",
    progress: bool = True,
    **options: Any,
) -> Detector:
    """A fresh detector by name.

    Args:
        name: a key of `BASELINES`, or "differnet".
        seed: of everything random.
        device: "auto", "cpu", "cuda", ...
        cache: folder of the feature bank; "auto" or None.
        progress: whether to show progress bars.
        **options: settings of the method; for "differnet" those of `DifferNet`, its `preset` included.

    Raises:
        ValueError: there is no such method.
        TypeError: the method has no such option.

    Example:
        >>> make_detector("1-nn", n_components=8, progress=False).settings.n_components
        8
    """
    if name != "differnet" and name not in _CLASSES:
        raise ValueError(f"method: expected one of {['differnet', *_CLASSES]}, got {name!r}")
    common: dict[str, Any] = {"seed": seed, "device": device, "cache": cache, "progress": progress}
    if name == "differnet":
        from differnet_lite.model import DifferNet

        return DifferNet(**common, **options)
    return _class(name)(**common, **options)


def _class(name: str) -> type[BaseDetector]:
    module, attribute = _CLASSES[name]
    return getattr(importlib.import_module(f"differnet_lite.baselines.{module}"), attribute)


def __getattr__(name: str) -> Any:
    if name == "BASELINES":
        return {method: _class(method) for method in _CLASSES}
    if name == "Detector":
        return importlib.import_module("differnet_lite.baselines.detector").Detector
    raise AttributeError(f"module 'differnet_lite.baselines' has no attribute {name!r}")
