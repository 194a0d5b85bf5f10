"""pytest for the notebooks: strict nbval, with a tolerance for what differs between processors.

`pytest --nbval notebooks/` and, from inside notebooks/, `pytest --nbval .` compare every output of
every cell with what is stored. Without nbval, or without its option, nothing here has any effect.
It lies beside the notebooks, and not in the root, because pytest then finds it from both places.

Training is chaotic: a rounding error of 1e-7 in the features, such as another processor makes,
moves the median score by 1 % and the score of one image by up to 5 % (measured). A cell that shows
such numbers says so in its metadata, `"tolerance": 0.05`. Then words stay words, and numbers are
compared up to the tolerance: what is printed one by one, of the number itself or of 1 for shares
and other numbers below 1 (and up to one unit of the last digit); what is drawn in the mean over an
array, of the largest value for a map, else of the number, of 1, or of the array's spread.
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
# A number of a figure may be off by 4 times the tolerance: of an array 9 in 10, of a map 99 in 100,
# and the mean over all of them by the tolerance.
SINGLE = 4
JPEG = "data:image/jpeg;base64,"
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?\s?%?)")
GREY_LEVELS = 2.0  # mean difference between two versions of an encoder
IGNORED = {"uid", "template", "config"}  # random, long, or of the renderer


def pytest_configure(config: pytest.Config) -> None:
    """Sanitise by sanitize.cfg wherever pytest is started, and let kernels import this checkout."""
    if getattr(config.option, "nbval", False) or getattr(config.option, "nbval_lax", False):
        if not config.option.nbval_sanitize_with:
            config.option.nbval_sanitize_with = str(HERE / "sanitize.cfg")
        paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        _tolerate_rounding()


def _tolerate_rounding() -> None:
    from nbval.plugin import IPyNbCell

    original = IPyNbCell.sanitize
    if getattr(original, "tolerant", False):
        return

    def sanitize(self: Any, output: Any) -> Any:
        tolerance = float(self.cell.metadata.get("tolerance", 0.0))
        if not 0 <= tolerance <= WIDEST:
            raise ValueError(f"a cell's tolerance: expected 0 to {WIDEST}, got {tolerance}")
        if isinstance(output, dict) and {"data", "layout"} <= set(output):
            return Tolerant(output, tolerance)
        output = original(self, output)
        return Tolerant(output, tolerance) if tolerance and isinstance(output, str) else output

    sanitize.tolerant = True  # type: ignore[attr-defined]
    IPyNbCell.sanitize = sanitize


class Tolerant(str):
    """A text, or a figure's JSON, that equals another of the same words and of close numbers.

    A str, because nbval prints and trims what differs.
    """

    value: Any
    tolerance: float

    def __new__(cls, value: Any, tolerance: float) -> Self:
        self = super().__new__(cls, value if isinstance(value, str) else repr(value)[:2000])
        self.value = value
        self.tolerance = tolerance
        return self

    def __eq__(self, other: object) -> bool:
        if isinstance(self.value, str):
            return isinstance(other, str) and close_text(self.value, str(other), self.tolerance)
        return isinstance(other, Tolerant) and close(self.value, other.value, self.tolerance)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def close(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    """Whether two decoded JSON values agree; numbers up to RTOL and ATOL, or to the tolerance."""
    a = _decode(a)
    b = _decode(b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and _close_arrays(a, b, tolerance)
    if isinstance(a, dict) and isinstance(b, dict):
        keys = a.keys() - IGNORED
        return keys == b.keys() - IGNORED and all(close(a[k], b[k], tolerance) for k in keys)
    if isinstance(a, list) and isinstance(b, list):
        if tolerance and len(a) > 3 and all(isinstance(word, str) for word in a + b):
            a, b = sorted(a), sorted(b)  # names of points in the order of their scores
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, str) and isinstance(b, str) and a != b:
        if a.startswith(JPEG) and b.startswith(JPEG):
            x, y = _pixels(a), _pixels(b)
            most = max(GREY_LEVELS, 255 * tolerance)
            return x.shape == y.shape and float(np.abs(x - y).mean()) < most
        return close_text(a, b, SINGLE * tolerance)
    return type(a) is type(b) and bool(a == b)


def _close_arrays(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    finite = a[np.isfinite(a)]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    if not tolerance:
        return bool(np.allclose(a, b, rtol=RTOL, atol=ATOL * largest, equal_nan=True))
    is_map = a.ndim == 2 and largest > 0
    spread = max(1.0, float(finite.std())) if a.size > 3 and finite.size else 1.0
    scale = largest if is_map else np.maximum(spread, np.abs(a))
    apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b) / scale)
    far = float((apart > SINGLE * tolerance).mean())
    if a.size <= 3:
        return far == 0
    return far <= (0.01 if is_map else 0.1) and float(apart.mean()) <= tolerance


def close_text(a: str, b: str, tolerance: float) -> bool:
    """Whether the words are the same, and the numbers, up to the tolerance."""
    if a == b or not tolerance:
        return a == b
    first = NUMBER.split(a)  # words and numbers in turn
    second = NUMBER.split(b)
    words = [[" ".join(word.split()) for word in text[::2]] for text in (first, second)]
    return words[0] == words[1] and all(
        _near(x, y, tolerance) for x, y in zip(first[1::2], second[1::2], strict=True)
    )


def _near(a: str, b: str, tolerance: float) -> bool:
    x, unit = _value(a)
    least = 0.0 if unit == 1.0 else 1.0  # a whole number is compared with itself
    apart = abs(x - _value(b)[0])
    return ("%" in a) == ("%" in b) and apart <= tolerance * max(abs(x), least) + 1.001 * unit


def _value(text: str) -> tuple[float, float]:
    """The number, shares as such, and one unit of its last digit."""
    digits = text.rstrip("% \n")
    share = 0.01 if "%" in text else 1.0
    unit = 10.0 ** -len(digits.partition(".")[2].partition("e")[0])
    return float(digits) * share, unit * share


def _pixels(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source[len(JPEG) :]))), dtype=float)


def _decode(value: Any) -> Any:
    """Numbers, lists of numbers and Plotly's base64 arrays become float64 arrays."""
    if isinstance(value, dict) and {"dtype", "bdata"} <= value.keys():
        dtype = np.dtype(value["dtype"]).newbyteorder("<")
        array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=dtype).astype(float)
        return array.reshape([int(n) for n in str(value.get("shape", array.size)).split(",")])
    numbers = value if isinstance(value, list) else [value]
    if numbers and all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return np.asarray(value, dtype=float)
    return value
