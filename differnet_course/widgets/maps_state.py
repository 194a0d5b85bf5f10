"""Maps of a few photographs by every method: computed when they are asked for, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_lite.images import ImageLike, decode
from differnet_lite.maps import SIGMA, MapLevels

__all__ = ["CELLS", "WORK", "KeptMaps", "MapOptions", "own_blur"]

CELLS = 56  # side of the map that is drawn
WORK = 112  # px: side at which gradient and attribution are turned back and blurred
USUAL = 0.999  # share of the places of good photographs that show no colour


class MapOptions(TypedDict, total=False):
    """What `KeptMaps.map` and `KeptMaps.level` take; see `map`."""

    n_angles: int | None
    blur: float | None
    scale: int | None


class KeptMaps:
    """Maps by method, photograph and number of views, and what good photographs reach.

    Args:
        maps: draws gradient and attribution, and names the model.
        images: photographs to look at.
        normal_images: n good photographs that the flows have not seen: the largest value in their
            maps is the level of gradient and attribution, which a new good photograph passes
            anywhere with a probability of about 1 / (n + 1).

    Attributes:
        methods: names of the maps that there are.
        n_angles: numbers of views to choose from, ascending.
        scores: tau of each photograph.
    """

    def __init__(
        self, maps: GradientMaps, images: Sequence[ImageLike], normal_images: Sequence[ImageLike]
    ) -> None:
        if not len(images) or not len(normal_images):
            raise ValueError(
                "expected at least one image and one normal image, "
                f"got {len(images)} and {len(normal_images)}"
            )
        self.maps = maps
        size = maps.model.settings.size
        both = [*images, *normal_images]
        self.pixels = [decode(image, size, white=maps.model.white_) for image in both]
        self.count = len(images)
        self.methods = list(maps.methods)
        if maps.model.places_ is not None:
            self.methods.append("distance")
        most = len(maps.model.angles_)
        self.n_angles = sorted({n for n in (1, 2, 4, 8) if n <= most} | {most})
        self.scores = maps.model.anomaly_scores(list(images))
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}  # (S, C, WORK, WORK), no blur

    def missing(self, method: str, n: int) -> list[int]:
        """What is still to be computed: good photographs first, then the others; their numbers."""
        order = [*range(self.count, len(self.pixels)), *range(self.count)]
        wanted = [] if method == "distance" else order
        return [k for k in wanted if (method, k, n) not in self._kept]

    def compute(self, method: str, k: int, n: int) -> None:
        """Compute and keep what `map` needs of a photograph: about a second."""
        layers = self.maps.layers(self.pixels[k], method, n_angles=n, side=WORK)
        if method != "gradient":
            layers = layers.mean(1, keepdim=True)
        self._kept[method, k, n] = layers.flatten(1, 2).float().cpu().numpy()

    def map(
        self,
        method: str,
        k: int,
        *,
        n_angles: int | None = None,
        blur: float | None = None,
        scale: int | None = None,
    ) -> np.ndarray:
        """A map as it is drawn, (CELLS, CELLS) float32, at least 0.

        It is the mean over each cell; of "distance" maps, which take no options, the largest value.

        Args:
            method: one of `methods`.
            k: number of the photograph; the good ones follow after the others.
            n_angles: one of `n_angles`; None takes all views.
            blur: deviation in pixels of the photograph; None takes the method's own.
            scale: position of the one scale that is taken; None takes all.
        """
        if method == "distance":
            full = torch.from_numpy(self.maps.model.anomaly_maps(self.pixels[k]))
            return F.adaptive_max_pool2d(full, CELLS)[0].numpy()
        n = self.n_angles[-1] if n_angles is None else n_angles
        if (method, k, n) not in self._kept:
            self.compute(method, k, n)
        kept = self._kept[method, k, n].astype(np.float32)
        layers = kept.sum(0) if scale is None else kept[scale]
        per_cell = self.maps.model.settings.size / WORK
        sigma = BLURS[method] if blur is None else blur
        # The mean over a cell is a blur itself, of variance (per_cell^2 - 1) / 12.
        cells = max(0.0, sigma**2 - (per_cell**2 - 1) / 12) ** 0.5 / per_cell
        smooth = ndimage.gaussian_filter(layers, (0, cells, cells))
        drawn = np.abs(smooth).mean(0) if method == "gradient" else smooth[0].clip(0)
        return drawn.reshape(CELLS, WORK // CELLS, CELLS, WORK // CELLS).mean((1, 3))

    def level(
        self,
        method: str,
        *,
        n_angles: int | None = None,
        blur: float | None = None,
        scale: int | None = None,
        computed: bool = False,
    ) -> MapLevels:
        """What a map is compared with; the arguments are those of `map`.

        Args:
            computed: take only those good photographs that are computed, and at least one.
        """
        if method == "distance":
            return self.maps.model.map_levels(0.05, if_too_few="fallback")
        n = self.n_angles[-1] if n_angles is None else n_angles
        normal = range(self.count, len(self.pixels))
        ready = [k for k in normal if (method, k, n) in self._kept] or [normal[0]]
        values = np.stack(
            [
                self.map(method, k, n_angles=n, blur=blur, scale=scale)
                for k in (ready if computed else normal)
            ]
        )
        usual, level = float(np.quantile(values, USUAL)), float(values.max())
        return MapLevels(min(usual, 0.999 * level), level, 1 / (len(values) + 1))

    def terms(self, k: int, x: float, y: float) -> list[tuple[float, list[int]]]:
        """What a place adds to the score, by scale: a share of the whole, and its channels.

        Of the photograph as it lies, view 0: a scale's place is the cell of its map over the pixel.

        Args:
            k: number of the photograph.
            x: pixel column of the place.
            y: pixel row of the place.
        """
        extractor = self.maps.model.extractor
        with torch.no_grad():
            scales = extractor.feature_maps(self.maps.views(self.pixels[k], [0]))
        features = self.maps.model.features([self.pixels[k]])
        gradient = self.maps.model.scorer.gradient(features)[0, :1]
        parts = self.maps.channel_terms(scales, gradient, [0])
        total = sum(float(part.mean((2, 3)).sum()) for part in parts)
        result = []
        for part in parts:
            rows, columns = part.shape[2:]
            size = self.maps.model.settings.size
            row = min(int(y / size * rows), rows - 1)
            column = min(int(x / size * columns), columns - 1)
            place = part[0, :, row, column] / (rows * columns * total)
            result.append((float(place.sum()), place.topk(3).indices.tolist()))
        return result


def own_blur(method: str) -> float:
    """The blur of a method, pixels."""
    return SIGMA if method == "distance" else BLURS[method]
