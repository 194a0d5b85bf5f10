"""Kinds of arguments, each with a good value and with what is no value of that kind."""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

Make = Callable[[Any], Any]  # of the surroundings


@dataclasses.dataclass(frozen=True)
class Argument:
    """A good value, and bad ones by name; each is made from the surroundings."""

    good: Make
    bad: Mapping[str, Make]

    def but(self, **bad: Any) -> Argument:
        """With more bad values; a function makes one, anything else is one."""
        return Argument(self.good, {**self.bad, **{n: _made(value) for n, value in bad.items()}})

    def fine(self, *names: str) -> Argument:
        """Without bad values that are good ones here."""
        unknown = set(names) - set(self.bad)
        assert not unknown, unknown
        return Argument(self.good, {n: make for n, make in self.bad.items() if n not in names})


def _made(value: Any) -> Make:
    return value if callable(value) else lambda _: value


def argument(good: Any, **bad: Any) -> Argument:
    return Argument(_made(good), {name: _made(value) for name, value in bad.items()})


def count(good: int = 3, *, least: int | None = 1) -> Argument:
    """A whole number."""
    bad: dict[str, Any] = {"text": "3", "fraction": 2.5, "none": None, "nan": float("nan")}
    bad |= {"true": True, "list": [1], "bytes": b"3", "array": np.array([1, 2])}
    if least is not None:
        bad |= {"below": least - 1, "far below": -(10**20)}
    return argument(good, **bad)


def number(good: float = 0.5, **out: float) -> Argument:
    """A finite number."""
    bad: dict[str, Any] = {"text": "0.5", "none": None, "nan": float("nan"), "inf": float("inf")}
    bad |= {"minus inf": -float("inf"), "true": True, "list": [0.5], "complex": 1j}
    return argument(good, **bad, **out)


def share(good: float = 0.1) -> Argument:
    """A number strictly between 0 and 1."""
    return number(good).but(zero=0.0, one=1.0, negative=-0.1, percent=5, huge=1e300)


def truth(good: bool = False) -> Argument:
    """True or False."""
    return argument(good, **{"no": "no", "one": 1, "none": None, "empty": [], "half": 0.5})


def word(good: str) -> Argument:
    """One of some words."""
    bad: dict[str, Any] = {"none": None, "number": 3, "bytes": b"x", "list": [good]}
    return argument(good, unknown="no such word", upper=good.upper() + "!", **bad)


def text(good: str = "a") -> Argument:
    """Any text."""
    return argument(good, none=None, number=3, bytes=b"x", list=["a"])


def numbers(good: Any, *, empty: bool = True, axes: int = 1) -> Argument:
    """An array of finite numbers."""
    bad: dict[str, Any] = {"text": "abc", "none": None, "object": object(), "mapping": {"a": 1}}
    values = (lambda s: np.asarray(good(s), float)) if callable(good) else np.asarray(good, float)
    made = _made(values)

    def spoilt(value: float) -> Make:
        def make(s: Any) -> np.ndarray:
            array = np.array(made(s))
            array.reshape(-1)[0] = value
            return array

        return make

    bad |= {"nan": spoilt(np.nan), "inf": spoilt(np.inf), "minus inf": spoilt(-np.inf)}
    bad |= {"complex": lambda s: made(s) + 1j, "words": lambda s: np.full(made(s).shape, "a")}
    bad |= {"one axis more": lambda s: made(s)[..., None, None], "scalar": 3.0}
    bad |= {"objects": lambda s: np.full(made(s).shape, None)}
    if empty:
        bad["nothing"] = []
    if axes > 1:
        bad["ragged"] = [[1.0, 2.0], [3.0]]
    return argument(good, **bad)


def tensor(good: Make) -> Argument:
    """A torch tensor."""
    bad: dict[str, Any] = {"none": None, "text": "abc", "number": 3.0, "list": [[1.0]]}
    bad |= {"array": lambda s: good(s).numpy(), "scalar": torch.tensor(1.0)}
    bad["words"] = np.array(["a"])
    return argument(good, **bad)


def path(good: Make, *, missing: bool = True) -> Argument:
    """A file or folder."""
    bad: dict[str, Any] = {"none": None, "number": 3, "list": ["a"], "bytes": b"a", "set": {1}}
    if missing:
        bad |= {"missing": "no/such/thing", "nothing": "", "zero byte": "a\0b"}
        bad |= {"too long": "a" * 300, "far too long": "b/" * 5000, "url": "https://example.org/a"}
        bad |= {"half characters": "a\udcff\ud800", "through a file": lambda s: f"{s.saved}/more"}
    return argument(good, **bad)


def image(good: Make) -> Argument:
    """One image."""
    bad: dict[str, Any] = {"none": None, "number": 3, "bytes": b"abc", "list": [1, 2], "set": {1}}
    bad |= {"missing": "missing.png", "folder": lambda s: s.photographs, "object": object()}
    return argument(good, **bad | _arrays())


def images(good: Make, *, nothing: bool = True) -> Argument:
    """Many images."""
    bad: dict[str, Any] = {"none": None, "number": 3, "bytes": b"abc", "mapping": {"a": 1}}
    bad |= {"missing": ["missing.png"], "numbers": [1, 2], "nones": [None], "bytes in it": [b"x"]}
    bad |= {
        "missing folder": "no/such/folder",
        "model": lambda s: s.model,
        "decimal": [decimal.Decimal(1)],
    }
    bad |= {
        f"with {n}": (lambda array: lambda s: [s.picture(0), array])(a)
        for n, a in _arrays().items()
    }
    if nothing:
        bad["nothing"] = []
    return argument(good, **bad)


def _joined(array: Any, s: Any) -> list[Any]:
    return [s.picture(0), array]


def _arrays() -> dict[str, Any]:
    grey = np.zeros((8, 8))
    return {
        "vector": np.zeros(8),
        "scalar array": np.array(3),
        "no pixels": np.zeros((0, 8, 3), np.uint8),
        "five channels": np.zeros((8, 8, 5), np.uint8),
        "nan array": np.full((8, 8), np.nan),
        "inf array": np.full((8, 8), np.inf),
        "negative": grey - 1,
        "bytes as floats": grey + 200,
        "words array": np.full((8, 8), "a"),
        "objects array": np.full((8, 8), None),
        "complex array": grey + 1j,
        "int64 array": np.zeros((8, 8), np.int64),
        "signed bytes": np.zeros((8, 8), np.int8),
        "dates": np.zeros((8, 8), "datetime64[s]"),
        "records": np.zeros((8, 8), [("a", "u1")]),
        "masked nan tensor": torch.full((3, 8, 8), torch.nan),
        "quarter tensor": torch.zeros(3, 8, 8, dtype=torch.int32),
        "complex tensor": torch.zeros(3, 8, 8, dtype=torch.complex64),
        "flat tensor": torch.zeros(8, dtype=torch.uint8),
        "meta tensor": torch.zeros(3, 8, 8, device="meta"),
        "sparse tensor": torch.zeros(8, 8).to_sparse(),
    }


def function(good: Any) -> Argument:
    """What can be called."""
    return Argument(
        lambda _: good, {"none": lambda _: None, "text": lambda _: "f", "n": lambda _: 3}
    )


def thing(good: Make) -> Argument:
    """An object of one of our classes."""
    bad: dict[str, Any] = {"none": None, "text": "abc", "number": 3, "list": [], "mapping": {}}
    return argument(good, **bad)


def names(good: Any) -> Argument:
    """A list of names."""
    return argument(good, none=None, number=3, text="abc", numbers=[1, 2, 3], nothing=[])


def table(good: Make) -> Argument:
    """Names to something."""
    bad: dict[str, Any] = {"none": None, "number": 3, "text": "abc", "list": [1], "nothing": {}}
    return argument(good, **bad)
