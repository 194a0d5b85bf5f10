"""pytest for the notebooks: strict nbval, with a tolerance for Plotly figures and a list of what may vary.

`pytest --nbval notebooks/` and, from inside notebooks/, `pytest --nbval .` compare every output of
every cell with what is stored. Without nbval, or without its option, nothing here has any effect.
It lies beside the notebooks, and not in the root, because pytest then finds it from both places.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
RTOL = 1e-3  # of a figure's number
ATOL = 1e-6  # of the largest number of the same array
IGNORED = {"uid", "template", "config"}  # random, long, or of the renderer


def pytest_configure(config: pytest.Config) -> None:
    """Sanitise by notebooks/sanitize.cfg wherever pytest is started, and let kernels import this checkout."""
    if getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False):
        if not config.option.nbval_sanitize_with:
            config.option.nbval_sanitize_with = str(HERE / "sanitize.cfg")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        _tolerate_rounding_in_plotly()


def _tolerate_rounding_in_plotly() -> None:
    from nbval.plugin import IPyNbCell

    original = IPyNbCell.sanitize
    if getattr(original, "tolerant", False):
        return

    def sanitize(self: Any, output: Any) -> Any:
        if isinstance(output, dict) and {"data", "layout"} <= set(output):
            return PlotlyFigure(output)
        return original(self, output)

    sanitize.tolerant = True  # type: ignore[attr-defined]
    IPyNbCell.sanitize = sanitize


class PlotlyFigure(str):
    """A figure's JSON that equals another if all words are the same and all numbers are close.

    A str, because nbval prints and trims what differs.
    """

    figure: dict[str, Any]

    def __new__(cls, figure: dict[str, Any]) -> Self:
        self = super().__new__(cls, repr(figure)[:2000])
        self.figure = figure
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlotlyFigure) and close(self.figure, other.figure)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def close(a: Any, b: Any) -> bool:
    """Whether two decoded JSON values agree, numbers up to RTOL and ATOL."""
    a, b = _decode(a), _decode(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        finite = np.abs(a[np.isfinite(a)])
        scale = float(finite.max()) if finite.size else 0.0
        return a.shape == b.shape and bool(np.allclose(a, b, rtol=RTOL, atol=ATOL * scale, equal_nan=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() - IGNORED == b.keys() - IGNORED and all(close(a[key], b[key]) for key in a.keys() - IGNORED)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close, a, b))
    return type(a) is type(b) and bool(a == b)


def _decode(value: Any) -> Any:
    """Numbers, lists of numbers and Plotly's base64 arrays become float64 arrays."""
    if isinstance(value, dict) and {"dtype", "bdata"} <= value.keys():
        array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]).newbyteorder("<"))
        shape = tuple(int(n) for n in str(value.get("shape", array.size)).split(","))
        return array.reshape(shape).astype(float)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return np.asarray(float(value))
    if isinstance(value, list) and value and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return np.asarray(value, dtype=float)
    return value
