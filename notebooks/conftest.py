"""pytest for the notebooks: strict nbval, a tolerance for Plotly figures, a list of what may vary.

`pytest --nbval notebooks/` and, from inside notebooks/, `pytest --nbval .` compare every output of
every cell with what is stored. Without nbval, or without its option, nothing here has any effect.
It lies beside the notebooks, and not in the root, because pytest then finds it from both places.

Training is chaotic: a rounding error of 1e-7 in the features, such as another processor makes,
moves the median score by 1 % and the score of one image by up to 5 % (measured). A cell that shows
such numbers says so in its metadata, `"tolerance": 0.05`. Then words stay words, and numbers are
compared up to the tolerance: of the number itself, of 1 for shares and other numbers below 1, of
the largest for a map; what is printed one by one (and up to one unit of the last digit), what is
drawn in the mean over an array.
"""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from PIL import Image

HERE = Path(__file__).resolve().parent
collect_ignore = ["labs/source", "labs/student"]  # of the labs, the solutions alone can run through
RTOL = 1e-3  # of a figure's number
ATOL = 1e-6  # of the largest number of the same array
WIDEST = 0.05  # tolerance that a cell's metadata may ask for
# Times the tolerance: what a number of a figure may be off, if the mean over its array is within;
# in a map, 99 in 100.
ONE = 4
JPEG = "data:image/jpeg;base64,"
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?\s?%?)")
GREY_LEVELS = 2.0  # mean difference between two versions of an encoder
IGNORED = {"uid", "template", "config"}  # random, long, or of the renderer


def pytest_configure(config: pytest.Config) -> None:
    """Sanitise by sanitize.cfg wherever pytest is started, and let kernels import this checkout."""
    if getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False):
        if not config.option.nbval_sanitize_with:
            config.option.nbval_sanitize_with = str(HERE / "sanitize.cfg")
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")])
        )
        _tolerate_rounding_in_plotly()


def _tolerate_rounding_in_plotly() -> None:
    from nbval.plugin import IPyNbCell

    original = IPyNbCell.sanitize
    if getattr(original, "tolerant", False):
        return

    def sanitize(self: Any, output: Any) -> Any:
        tolerance = float(self.cell.metadata.get("tolerance", 0.0))
        if not 0 <= tolerance <= WIDEST:
            raise ValueError(
                f"tolerance in a cell's metadata: expected 0 to {WIDEST}, got {tolerance}"
            )
        if isinstance(output, dict) and {"data", "layout"} <= set(output):
            return PlotlyFigure(output, tolerance)
        output = original(self, output)
        return Text(output, tolerance) if tolerance and isinstance(output, str) else output

    sanitize.tolerant = True  # type: ignore[attr-defined]
    IPyNbCell.sanitize = sanitize


class PlotlyFigure(str):
    """A figure's JSON that equals another if all words are the same and all numbers are close.

    A str, because nbval prints and trims what differs.
    """

    figure: dict[str, Any]
    tolerance: float

    def __new__(cls, figure: dict[str, Any], tolerance: float = 0.0) -> Self:
        self = super().__new__(cls, repr(figure)[:2000])
        self.figure, self.tolerance = figure, tolerance
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlotlyFigure) and close(self.figure, other.figure, self.tolerance)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Text(str):
    """What a cell prints; equals another text of the same words and of close numbers."""

    tolerance: float

    def __new__(cls, text: str, tolerance: float) -> Self:
        self = super().__new__(cls, text)
        self.tolerance = tolerance
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and close_text(str(self), str(other), self.tolerance)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def close(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two decoded JSON values agree.

    Numbers up to RTOL and ATOL, or up to the tolerance of the cell.
    """
    a, b = _decode(a), _decode(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        finite = np.abs(a[np.isfinite(a)])
        scale = float(finite.max()) if finite.size else 0.0
        if a.shape != b.shape or not tolerance:
            return a.shape == b.shape and bool(
                np.allclose(a, b, rtol=RTOL, atol=ATOL * scale, equal_nan=True)
            )
        apart = np.abs(a - b) / (scale if a.ndim == 2 and scale else np.maximum(1.0, np.abs(a)))
        apart = np.where(np.isnan(a) & np.isnan(b), 0.0, apart)
        return float((apart > ONE * tolerance).mean()) <= 0.01 and (
            a.size <= 3 or float(apart.mean()) <= tolerance
        )
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() - IGNORED == b.keys() - IGNORED and all(
            close(a[key], b[key], tolerance) for key in a.keys() - IGNORED
        )
    if isinstance(a, list) and isinstance(b, list):
        if tolerance and len(a) > 3 and all(isinstance(word, str) for word in a + b):
            a, b = sorted(a), sorted(b)  # names of points in the order of their scores
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, str) and isinstance(b, str) and a != b:
        if a.startswith(JPEG) and b.startswith(JPEG):
            x, y = _pixels(a), _pixels(b)
            return x.shape == y.shape and float(np.abs(x - y).mean()) < max(
                GREY_LEVELS, 255 * tolerance
            )
        return close_text(a, b, ONE * tolerance)
    return type(a) is type(b) and bool(a == b)


def close_text(a: str, b: str, tolerance: float) -> bool:
    """Whether the words are the same and the numbers within the tolerance.

    Without a tolerance, whether the texts are the same.
    """
    if a == b or not tolerance:
        return a == b
    first, second = NUMBER.split(a), NUMBER.split(b)  # words and numbers in turn
    words = (
        [" ".join(word.split()) for word in first[::2]],
        [" ".join(word.split()) for word in second[::2]],
    )
    return words[0] == words[1] and all(
        _near(x, y, tolerance) for x, y in zip(first[1::2], second[1::2], strict=True)
    )


def _near(a: str, b: str, tolerance: float) -> bool:
    (x, unit), (y, _) = _value(a), _value(b)
    whole = unit == 1.0
    return ("%" in a) == ("%" in b) and abs(x - y) <= tolerance * max(
        abs(x), 0.0 if whole else 1.0
    ) + 1.001 * unit


def _value(text: str) -> tuple[float, float]:
    """The number, shares as such, and one unit of its last digit."""
    digits = text.rstrip("% \n")
    unit = 10.0 ** -len(digits.partition(".")[2].partition("e")[0])
    return (float(digits) / 100, unit / 100) if "%" in text else (float(digits), unit)


def _pixels(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source[len(JPEG) :]))), dtype=float)


def _decode(value: Any) -> Any:
    """Numbers, lists of numbers and Plotly's base64 arrays become float64 arrays."""
    if isinstance(value, dict) and {"dtype", "bdata"} <= value.keys():
        array = np.frombuffer(
            base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]).newbyteorder("<")
        )
        shape = tuple(int(n) for n in str(value.get("shape", array.size)).split(","))
        return array.reshape(shape).astype(float)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return np.asarray(float(value))
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    ):
        return np.asarray(value, dtype=float)
    return value
