"""The states of the localization explorer: maps that are kept, blurred when they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from differnet_course.widgets import model_maps
from differnet_course.widgets.model_maps import TURNED, WORK
from differnet_lite.images import ImageLike
from differnet_lite.localizer import BLURS
from differnet_lite.model import DifferNet

__all__ = ["CELLS", "MapStates"]

CELLS = 56  # side of the map that is drawn


class MapStates:
    """Maps of some images by method and number of rotations.

    Attribution and deviation maps are computed at once; gradient maps when first asked for, and
    kept; distance maps whenever they are drawn, as they take a hundredth of a second.

    Args:
        model: a fitted model; without reference images it has gradient maps alone.
        images: images.
        n_angles: numbers of rotations; those above the model's are left out, its own is added.

    Attributes:
        pixels: the images as the model sees them, (3, size, size) uint8.
        methods: names of the maps that there are, the model's default first.
        n_angles: numbers of rotations, ascending.
    """

    def __init__(
        self, model: DifferNet, images: Sequence[ImageLike], n_angles: Sequence[int]
    ) -> None:
        most = len(model.angles_)
        self.model, self.n_angles = model, sorted({n for n in n_angles if 1 <= n <= most} | {most})
        self.pixels = [model_maps.pixels(model, image) for image in images]
        self.methods = list(model.localizer.methods)
        # signed maps (C, WORK, WORK), before the blur
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}
        self._scores: dict[int, float] = {}
        self._tops: dict[str, float] = {}
        if model.reference_[0]:
            for i in range(len(images)):
                self._turn(i)

    def has(self, method: str, index: int, n: int) -> bool:
        """Whether this map is kept, so that `map` answers at once."""
        return method == "distance" or (method, index, n) in self._kept

    def map(self, index: int, *, n_angles: int, blur: float, method: str) -> np.ndarray:
        """One map as it is drawn, (CELLS, CELLS) float32, at least 0: means over cells.

        Of "distance" maps it is the largest values in them, as in `plots.plot_map`.
        """
        if method == "distance":
            localizer = self.model.localizer
            whole = localizer.anomaly_map(self.pixels[index], method=method, sigma=blur)
            cells = F.adaptive_max_pool2d(torch.from_numpy(whole)[None], CELLS)
            return cells[0].numpy()
        raw = self._raw(method, index, n_angles)
        per_cell = self.model.settings.size / WORK
        # the mean over a cell is a blur itself, of variance (per_cell^2 - 1) / 12
        rest = max(0.0, blur**2 - (per_cell**2 - 1) / 12) ** 0.5 / per_cell
        smooth = ndimage.gaussian_filter(raw.astype(np.float32), (0, rest, rest), mode="reflect")
        drawn = np.abs(smooth).mean(0) if method == "gradient" else smooth[0].clip(0)
        return drawn.reshape(CELLS, WORK // CELLS, CELLS, WORK // CELLS).mean((1, 3))

    def score(self, index: int) -> float:
        """tau of one image, at all of the model's angles."""
        if index not in self._scores:
            self._scores[index] = model_maps.score(self.model, self.pixels[index])
        return self._scores[index]

    def top(self, method: str, say: Callable[[str], None]) -> float:
        """The largest value of all images at the method's own blur and the most rotations.

        Args:
            method: any but "distance", which has levels.
            say: called before each map that is not kept, with what is about to be computed.
        """
        if method not in self._tops:
            largest, count, most = 0.0, len(self.pixels), self.n_angles[-1]
            for k in range(count):
                if not self.has(method, k, most):
                    say(f"the common scale: {method} map {k + 1} of {count}")
                drawn = self.map(k, n_angles=most, blur=BLURS[method], method=method)
                largest = max(largest, float(drawn.max()))
            self._tops[method] = largest or 1.0
        return self._tops[method]

    def _raw(self, method: str, index: int, n: int) -> np.ndarray:
        if not self.has(method, index, n):
            if method in TURNED:
                self._turn(index)
            else:
                image = self.pixels[index]
                self._kept["gradient", index, n] = model_maps.gradient_maps(self.model, image, n)
        return self._kept[method, index, n]

    def _turn(self, index: int) -> None:
        found, self._scores[index] = model_maps.turned_maps(
            self.model, self.pixels[index], self.n_angles
        )
        self._kept |= {(method, index, n): values for (method, n), values in found.items()}
