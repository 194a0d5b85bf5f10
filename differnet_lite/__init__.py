"""differnet_lite: normalizing-flow anomaly detection to learn from, and to use on your own parts.

    from differnet_lite import DifferNet
    model = DifferNet().fit("photographs_of_good_parts")
    scores = model.score_samples("new_photographs")

One axis legend for the whole package: N images, T transformations (rotations), S scales,
C channels, D features, H and W height and width.

Reading order of the core: features, flow, loss, training, scoring, model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Loaded on first use: `import differnet_lite` costs nothing, and neither plotly nor ipywidgets is needed to score.
_WHERE = {
    "CheckpointError": "checkpoint",
    "DifferNet": "model",
    "NotFittedError": "checkpoint",
    "Settings": "settings",
    "Transformations": "transforms",
    "Category": "datasets",
    "DatasetError": "datasets",
    "load_category": "datasets",
    "ImageError": "images",
    "FeatureError": "bank",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "TooFewNormalsError": "thresholding",
    "conformal_threshold": "thresholding",
    "SAMPLE_CATEGORIES": "samples",
    "make_sample_category": "samples",
}

__all__ = ["__version__", *sorted(_WHERE)]

if TYPE_CHECKING:
    from differnet_lite.bank import FeatureError
    from differnet_lite.checkpoint import CheckpointError, NotFittedError
    from differnet_lite.datasets import Category, DatasetError, load_category
    from differnet_lite.evaluation import Evaluation, evaluate
    from differnet_lite.images import ImageError
    from differnet_lite.model import DifferNet
    from differnet_lite.samples import SAMPLE_CATEGORIES, make_sample_category
    from differnet_lite.settings import Settings
    from differnet_lite.thresholding import TooFewNormalsError, conformal_threshold
    from differnet_lite.transforms import Transformations


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"differnet_lite.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'differnet_lite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
