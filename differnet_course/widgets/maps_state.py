"""The maps of the localization explorer: computed when they are asked for, and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from differnet_course.gradient_maps import BLURS, GradientMaps
from differnet_lite.images import ImageLike, decode

__all__ = ["CELLS", "WORK", "MapStates"]

CELLS = 56  # side of the map that is drawn
WORK = 112  # px: side at which gradient, attribution and deviation are turned back and blurred


class MapStates:
    """Maps of some images by method and number of rotations.

    Args:
        maps: draws what comes from the gradient, and names the model.
        images: images.

    Attributes:
        pixels: the images as the model sees them, (3, size, size) uint8.
        methods: names of the maps that there are, the default first.
        n_angles: numbers of rotations to choose from, ascending.
        scores: tau of each image.
    """

    def __init__(self, maps: GradientMaps, images: Sequence[ImageLike]) -> None:
        self.maps = maps
        size = maps.model.settings.size
        self.pixels = [decode(image, size, white=maps.model.white_) for image in images]
        self.methods = list(maps.methods)
        if maps.model.places_ is not None:
            self.methods.insert(0, "distance")
        most = len(maps.model.angles_)
        self.n_angles = sorted({n for n in (1, 2, 4, 8, 16) if n <= most} | {most})
        self.scores = maps.model.anomaly_scores(images)
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}  # before the blur
        self._tops: dict[str, float] = {}

    def is_ready(self, method: str, index: int, n: int) -> bool:
        """Whether `map` answers at once; a distance map takes a hundredth of a second."""
        return method == "distance" or (method, index, n) in self._kept

    def map(self, method: str, index: int, n: int, blur: float) -> np.ndarray:
        """One map as it is drawn, (CELLS, CELLS) float32, at least 0.

        It is the mean over each cell; of "distance" maps, whose blur is fixed, the largest value.
        """
        if method == "distance":
            full = torch.from_numpy(self.maps.model.anomaly_maps(self.pixels[index]))
            return F.adaptive_max_pool2d(full, CELLS)[0].numpy()
        if not self.is_ready(method, index, n):
            layers = self.maps.layers(self.pixels[index], method, n_angles=n, side=WORK)
            if method != "gradient":
                layers = layers.mean(0, keepdim=True)
            self._kept[method, index, n] = layers.flatten(0, 1).float().cpu().numpy()
        per_cell = self.maps.model.settings.size / WORK
        # The mean over a cell is a blur itself, of variance (per_cell^2 - 1) / 12.
        sigma = max(0.0, blur**2 - (per_cell**2 - 1) / 12) ** 0.5 / per_cell
        smooth = ndimage.gaussian_filter(self._kept[method, index, n], (0, sigma, sigma))
        drawn = np.abs(smooth).mean(0) if method == "gradient" else smooth[0].clip(0)
        return drawn.reshape(CELLS, WORK // CELLS, CELLS, WORK // CELLS).mean((1, 3))

    def top(self, method: str, say: Callable[[str], None]) -> float:
        """The largest value of all images at the method's own blur and the most rotations.

        Args:
            method: any but "distance", which has levels.
            say: called with what is computed, before each map that is not kept.
        """
        if method not in self._tops:
            count = len(self.pixels)
            largest = 0.0
            for k in range(count):
                if not self.is_ready(method, k, self.n_angles[-1]):
                    say(f"the common scale: {method} map {k + 1} of {count}")
                drawn = self.map(method, k, self.n_angles[-1], BLURS[method])
                largest = max(largest, float(drawn.max()))
            self._tops[method] = largest or 1.0
        return self._tops[method]
