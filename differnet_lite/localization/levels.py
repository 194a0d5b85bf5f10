"""What maps are compared with."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MapLevels"]


class MapLevels(NamedTuple):
    """What a map is compared with, in the map's own values.

    Attributes:
        usual: what 999 of 1,000 places of normal images stay below: colour begins there.
        level: what a normal image's map passes anywhere with probability alpha at most.
        alpha: that probability.
    """

    usual: float
    level: float
    alpha: float
