"""What an argument must be, by rules of single values and by the annotations of a function."""

from __future__ import annotations

from differnet_lite.oldchecks.arguments import checked
from differnet_lite.oldchecks.rules import (
    Rule,
    axes,
    check_fields,
    finite,
    flag,
    kinds,
    mapping,
    one_of,
    options_of,
    positive,
    rate,
    real,
    reals,
    shown,
    text,
    vector,
    whole,
)

__all__ = [
    "Rule",
    "axes",
    "check_fields",
    "checked",
    "finite",
    "flag",
    "kinds",
    "mapping",
    "one_of",
    "options_of",
    "positive",
    "rate",
    "real",
    "reals",
    "shown",
    "text",
    "vector",
    "whole",
]
