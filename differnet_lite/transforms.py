"""The transformations T of an image: rotations, small zooms and shifts, brightness and contrast.

They are part of the model: a score is an expectation over them, and what they cover is what the
model calls normal. Rotate a part that lies in any pose; do not rotate one whose pose matters, or a
turned label will look normal (`Transformations.upright`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from differnet_lite.checks import one_of, real, whole

__all__ = ["PADDING", "Fill", "Transformations", "View"]

Fill = Literal["reflection", "black"]
PADDING = {"reflection": "reflection", "black": "zeros"}  # in the words of `grid_sample`
ZOOM = 0.1  # of the default views
SHIFT = 1 / 28  # of the default views: 16 pixels of 448
# Fractions of k times these fill [0, 1) evenly for any number of k, in one and in two dimensions.
GOLDEN = 0.6180339887
PLASTIC = (0.7548776662, 0.5698402910)


class View(NamedTuple):
    """How a view is made: one interpolation rotates by `rest`, zooms and shifts; then turns follow.

    Attributes:
        turns: quarter turns counter-clockwise, 0 to 3; they only move pixels.
        rest: degrees, 0 to 90.
        zoom: 1 leaves the size, 0.9 shows the picture smaller.
        shift: right and down, in sides of the image, before it is turned.
    """

    turns: int
    rest: float
    zoom: float
    shift: tuple[float, float]

    @property
    def resamples(self) -> bool:
        """Whether pixels are interpolated, not only moved by quarter turns."""
        return (self.rest, self.zoom, *self.shift) != (0, 1, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transformations:
    """Which views of an image are taken, in training and in scoring.

    Either `angles` names a fixed grid, the same in training and in scoring, or it is None and
    angles are drawn uniformly from [-max_angle, max_angle]: `n_train` fresh ones for every image
    in every epoch, and `n_test` for scoring, drawn once from the seed (so that the score of an
    image does not depend on the company it is scored in).

    Args:
        angles: fixed angles in degrees, counter-clockwise; None for random ones.
        n_train: random views of an image per epoch. Unused with a grid.
        n_test: random views of an image when scoring. Unused with a grid.
        max_angle: half-width of the range that random angles are drawn from, degrees.
        fill: what the corners of a rotated square show. "reflection" mirrors the image at its
            border. "black" is the published protocol, and harmful: see notebook 03.
        interpolation: "bilinear", or "nearest" as in the published protocol.
        zoom: views of a grid show the picture at sizes from 1 - zoom to 1, see `views`.
        shift: and moved by up to this share of its side, right or left, up or down.
        brightness: the image is multiplied by a factor from [1 - brightness, 1 + brightness].
        contrast: its distance from its mean grey by one from [1 - contrast, 1 + contrast].

    Raises:
        ValueError: a field is out of range, or zoom or shift are given with random angles.

    Example:
        >>> Transformations.grid(4).angles
        (0.0, 90.0, 180.0, 270.0)
    """

    angles: tuple[float, ...] | None = None
    n_train: int = 4
    n_test: int = 64
    max_angle: float = 180.0
    fill: Fill = "reflection"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    zoom: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __post_init__(self) -> None:
        if self.angles is not None:
            angles = tuple(real("angles", angle) for angle in self.angles)
            object.__setattr__(self, "angles", angles)  # as it is read from JSON, too: a tuple
            if not angles:
                raise ValueError("angles: expected one or more numbers, got none")
        elif self.zoom or self.shift:
            raise ValueError(
                "zoom and shift: expected 0 with random angles, as they belong to a fixed grid; "
                f"got {self.zoom} and {self.shift}"
            )
        whole("n_train", self.n_train, least=1)
        whole("n_test", self.n_test, least=1)
        real("max_angle", self.max_angle, least=0, most=180)
        one_of("fill", self.fill, tuple(PADDING))
        one_of("interpolation", self.interpolation, ("bilinear", "nearest"))
        real("zoom", self.zoom, least=0, most=0.5)
        real("shift", self.shift, least=0, most=0.25)
        real("brightness", self.brightness, least=0, below=1)
        real("contrast", self.contrast, least=0, below=1)

    @classmethod
    def grid(cls, n: int = 16, *, zoom: float = ZOOM, shift: float = SHIFT) -> Transformations:
        """`n` angles evenly over the full circle, from 0, each with a small zoom and shift."""
        return cls(angles=tuple(360.0 * k / n for k in range(n)), zoom=zoom, shift=shift)

    @classmethod
    def upright(cls, n: int = 16, *, zoom: float = ZOOM, shift: float = SHIFT) -> Transformations:
        """`n` small zooms and shifts and no rotation, for products whose pose matters."""
        return cls(angles=(0.0,) * n, zoom=zoom, shift=shift)

    @classmethod
    def none(cls) -> Transformations:
        """One view: the image as it is."""
        return cls(angles=(0.0,))

    def views(self, angles: Sequence[float]) -> list[View]:
        """How the view at each angle is made.

        Angles a quarter turn apart share a zoom and a shift, so that one interpolation serves them.
        A repeated angle gets others. The first zoom is 1, the first shift none.

        Example:
            >>> t = Transformations.grid(8)
            >>> [(view.turns, round(view.zoom, 2)) for view in t.views(t.angles)][:4]
            [(0, 1.0), (0, 0.94), (1, 1.0), (1, 0.94)]
        """
        turned = [divmod(float(angle), 90.0) for angle in angles]
        rests = sorted({rest for _, rest in turned})
        order = {rest: _spread_rank(rank, len(rests)) for rank, rest in enumerate(rests)}
        # a key is how often an angle came before, and the rank of its rest; k numbers the keys
        repeats = [turned[:t].count(turn) for t, turn in enumerate(turned)]
        keys = [(again, order[rest]) for again, (_, rest) in zip(repeats, turned, strict=True)]
        number = {key: k for k, key in enumerate(sorted(set(keys)))}
        views = []
        for (turns, rest), key in zip(turned, keys, strict=True):
            k = number[key]
            zoom = 1 - self.zoom * (k * GOLDEN % 1)
            right, down = (self.shift * (1 - 2 * ((0.5 + k * step) % 1)) for step in PLASTIC)
            views.append(View(int(turns) % 4, rest, zoom, (right, down)))
        return views

    @property
    def jitters(self) -> bool:
        """Whether brightness or contrast is varied."""
        return self.brightness > 0 or self.contrast > 0

    def test_angles(self, seed: int = 0) -> tuple[float, ...]:
        """The angles used for scoring, in degrees; random ones are a function of `seed` alone."""
        if self.angles is not None:
            return self.angles
        generator = torch.Generator().manual_seed(seed)
        return tuple(self.draw_angles(self.n_test, generator).tolist())

    def draw_angles(self, n: int, generator: torch.Generator) -> Tensor:
        """`n` angles in degrees, uniform over [-max_angle, max_angle], shape (n,)."""
        return (2 * torch.rand(n, generator=generator, dtype=torch.float64) - 1) * self.max_angle


def _spread_rank(rank: int, n: int) -> int:
    """The bits of one of n ranks in reverse: neighbouring ranks come far apart."""
    reverse = 0
    for _ in range((n - 1).bit_length()):
        reverse = 2 * reverse + rank % 2
        rank //= 2
    return reverse
