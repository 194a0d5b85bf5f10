"""Explorers for notebooks: one control or a few, one figure, states computed beforehand where that is cheap."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "DensityExplorer": "density",
    "LocalizationExplorer": "localization",
    "RotationExplorer": "rotation",
    "ThresholdExplorer": "threshold",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"differnet_lite.widgets.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'differnet_lite.widgets' has no attribute {name!r}")
