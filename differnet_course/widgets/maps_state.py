"""Maps of a few photographs by every method: computed when they are asked for, and kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_lite.images import ImageLike, decode
from differnet_lite.maps import SIGMA, MapLevels

CELLS = 56  # side of the map that is drawn
WORK = 112  # px: side at which gradient and attribution are turned back and blurred
OWN_BLUR = BLURS | {"distance": SIGMA}  # px
USUAL = 0.999  # share of the places of good photographs that show no colour


class KeptMaps:
    """Maps by method, photograph and number of views, and what good photographs reach.

    Args:
        maps: draws gradient and attribution, and names the model.
        images: photographs to look at, at least one.
        normal_images: n good photographs that the flows have not seen, at least one: the largest
            value in their maps is the level of gradient and attribution, which a new good
            photograph passes anywhere with a probability of about 1 / (n + 1).

    Attributes:
        methods: names of the maps that there are.
        n_angles: numbers of views to choose from, ascending.
        scores: of the photographs.
    """

    def __init__(
        self, maps: GradientMaps, images: Sequence[ImageLike], normal_images: Sequence[ImageLike]
    ) -> None:
        self.maps = maps
        self.model = maps.model
        self.size = self.model.settings.size  # px
        both = [*images, *normal_images]
        self.pixels = [decode(image, self.size, white=self.model.white_) for image in both]
        self.count = len(images)
        self.methods = list(maps.methods)
        if self.model.places_ is not None:
            self.methods.append("distance")
        most = len(self.model.angles_)
        self.n_angles = sorted({n for n in (1, 2, 4, 8) if n <= most} | {most})
        self.scores = self.model.anomaly_scores(list(images))
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}  # (S, C, WORK, WORK), no blur
        self._shares: dict[int, list[torch.Tensor]] = {}

    def missing(self, method: str, n: int) -> list[int]:
        """What is still to be computed: good photographs first, then the others; their numbers."""
        order = [*range(self.count, len(self.pixels)), *range(self.count)]
        wanted = [] if method == "distance" else order
        return [k for k in wanted if (method, k, n) not in self._kept]

    def compute(self, method: str, k: int, n: int) -> None:
        """Compute and keep what `map` needs of a photograph; for "gradient" also "attribution"."""
        methods = self.maps.methods if method == "gradient" else [method]
        computed = self.maps.layers(self.pixels[k], methods, n_angles=n, side=WORK)
        for name, layers in computed.items():
            means = layers if name == "gradient" else layers.mean(1, keepdim=True)
            self._kept[name, k, n] = means.flatten(1, 2).float().cpu().numpy()

    def map(
        self,
        method: str,
        k: int,
        *,
        n_angles: int,
        blur: float | None = None,
        scale: int | None = None,
    ) -> np.ndarray:
        """A map as it is drawn, (CELLS, CELLS) float32, at least 0.

        It is the mean over each cell; of "distance" maps, which take no options, the largest value.

        Args:
            k: number of the photograph; the good ones follow after the others.
            blur: deviation in pixels of the photograph; None takes the method's own.
            scale: position of the one scale that is taken; None takes all.
        """
        if method == "distance":
            full = torch.from_numpy(self.model.anomaly_maps(self.pixels[k]))
            return F.adaptive_max_pool2d(full, CELLS)[0].numpy()
        if (method, k, n_angles) not in self._kept:
            self.compute(method, k, n_angles)
        kept = self._kept[method, k, n_angles]
        layers = kept.sum(0) if scale is None else kept[scale]
        per_cell = self.size / WORK
        sigma = OWN_BLUR[method] if blur is None else blur
        # The mean over a cell is a blur itself, of variance (per_cell^2 - 1) / 12.
        cells = max(0.0, sigma**2 - (per_cell**2 - 1) / 12) ** 0.5 / per_cell
        smooth = ndimage.gaussian_filter(layers, (0, cells, cells))
        drawn = np.abs(smooth).mean(0) if method == "gradient" else smooth[0].clip(0)
        return drawn.reshape(CELLS, WORK // CELLS, CELLS, WORK // CELLS).mean((1, 3))

    def level(
        self,
        method: str,
        *,
        n_angles: int,
        blur: float | None = None,
        scale: int | None = None,
        computed: bool = False,
    ) -> MapLevels:
        """What a map is compared with; the arguments are those of `map`.

        With `computed` only by those good photographs that are computed, and at least one.
        """
        if method == "distance":
            return self.model.map_levels(0.05, if_too_few="fallback")
        normal = range(self.count, len(self.pixels))
        ready = [k for k in normal if (method, k, n_angles) in self._kept] or normal[:1]
        maps = [
            self.map(method, k, n_angles=n_angles, blur=blur, scale=scale)
            for k in (ready if computed else normal)
        ]
        usual, level = float(np.quantile(maps, USUAL)), float(np.max(maps))
        return MapLevels(min(usual, 0.999 * level), level, 1 / (len(maps) + 1))

    def shares(self, k: int) -> list[torch.Tensor]:
        """Shares of the score of photograph k, view 0, (C, h_s, w_s) for each scale; kept."""
        if k not in self._shares:
            with torch.no_grad():
                scales = self.model.extractor.feature_maps(self.maps.views(self.pixels[k], [0]))
            features = self.model.features([self.pixels[k]])
            gradient = self.model.scorer.gradient(features)[0, :1]
            terms = self.maps.channel_terms(scales, gradient, [0])
            parts = [term[0] / term[0, 0].numel() for term in terms]
            total = sum(float(part.sum()) for part in parts)
            self._shares[k] = [part / total for part in parts]
        return self._shares[k]

    def terms(self, k: int, x: float, y: float) -> list[tuple[float, list[int]]]:
        """The share of the score at a pixel, by scale, and the channels that add most to it.

        A scale's place is the cell of its map over the pixel.
        """
        result = []
        for part in self.shares(k):
            rows, columns = part.shape[1:]
            row = min(int(y / self.size * rows), rows - 1)
            column = min(int(x / self.size * columns), columns - 1)
            place = part[:, row, column]
            result.append((float(place.sum()), place.topk(3).indices.tolist()))
        return result
