"""One detector around any density model: rows, calibration, threshold, decisions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from tqdm.auto import tqdm

from differnet_course.baselines.autoencoder import Autoencoder, SSIMAutoencoder
from differnet_course.baselines.dsebm import DSEBM
from differnet_course.baselines.feature_methods import (
    OCSVM,
    Mahalanobis,
    NearestNeighbour,
    drawn_rows,
)
from differnet_course.baselines.ganomaly import GANomaly
from differnet_course.baselines.geotrans import GeoTrans
from differnet_course.baselines.networks import NetworkDensity
from differnet_lite import DifferNet
from differnet_lite.checks import finite, one_of
from differnet_lite.folders import Images, as_images, check_normal, training_images
from differnet_lite.groups import group_labels
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.scoring import Scorer
from differnet_lite.splits import splits
from differnet_lite.thresholds import Calibration, Judgement, Threshold
from differnet_lite.trunk import resolve_device

__all__ = ["BASELINES", "BaselineDetector", "make_detector"]

Density = OCSVM | NearestNeighbour | Mahalanobis | NetworkDensity
BASELINES: dict[str, type[Density]] = {
    "ocsvm": OCSVM,
    "1-nn": NearestNeighbour,
    "mahalanobis": Mahalanobis,
    "geotrans": GeoTrans,
    "ganomaly": GANomaly,
    "dsebm": DSEBM,
    "autoencoder-l2": Autoencoder,
    "autoencoder-ssim": SSIMAutoencoder,
}
CHUNK = 64  # images read at a time


class BaselineDetector(BaseEstimator):
    """A density model that judges photographs.

    Args:
        density: the model with its settings; `fit` trains copies of it.
        trunk: an unfitted `DifferNet` whose features and views a density of features sees. A
            `NetworkDensity` sees images of its own size, not rotated, as in the methods' papers.
        calibration: "cross", "split" or "none", as in `DifferNet`; with "cross" new images are
            scored by the density of all images.
        seed: of the splits, the drawn rows and the networks.
        device: of the networks.
        progress: whether to show progress bars.

    Attributes:
        density_: the fitted density.
        n_train_: number of images trained on.
        calibration_: the calibration scores and what follows from them.
    """

    def __init__(
        self,
        density: Density,
        trunk: DifferNet,
        *,
        calibration: str = "none",
        seed: int = 0,
        device: str | torch.device = "auto",
        progress: bool = True,
    ) -> None:
        self.density = density
        self.trunk = trunk
        self.calibration = calibration
        self.seed = seed
        self.device = device
        self.progress = progress

    def fit(self, images: Images, y: Any = None) -> Self:
        """Train on normal images: a category, a folder or a list; score those that calibrate."""
        chosen = training_images(images)
        check_normal(y, len(chosen))
        inputs = torch.cat(list(self._chunks(chosen)))
        calibrates = self.calibration != "none"
        groups = group_labels(chosen) if calibrates else list(range(len(chosen)))
        parts = splits(self.calibration, groups, folds=5, holdout=0.2, seed=self.seed)
        densities = [self._trained(inputs[split.train]) for split in parts]
        scores = np.empty(len(chosen))
        for density, split in zip(densities, parts, strict=True):
            scores[split.calibrate] = self._scores(density, inputs[split.calibrate])
        held = sorted(image for split in parts for image in split.calibrate)
        self.density_ = densities[0]
        self.n_train_ = len(parts[0].train)
        self.calibration_ = Calibration(scores[held], self.calibration, np.array(groups)[held])
        return self

    def inputs(self, images: Images) -> Tensor:
        """What the density sees: features (N, T, D), or pixels (N, 3, size, size) in [-1, 1]."""
        return torch.cat(list(self._chunks(as_images(images))))

    def features(self, images: Images) -> Tensor:
        """The trunk's features (N, T, D), whatever the density sees."""
        return self.trunk.features(images)

    def iter_anomaly_scores(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly scores chunk by chunk, in constant memory."""
        check_is_fitted(self, "density_")
        for inputs in self._chunks(as_images(images)):
            yield finite("score", self._scores(self.density_, inputs))

    def anomaly_scores(self, images: Images) -> np.ndarray:
        """(N,) float64; higher is more anomalous."""
        return np.concatenate([np.empty(0), *self.iter_anomaly_scores(images)])

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """The conformal threshold for a false-alarm rate alpha."""
        check_is_fitted(self, "density_")
        return self.calibration_.threshold(alpha, if_too_few=if_too_few)

    def judge(self, images: Images, *, alpha: float = 0.05) -> Judgement:
        """Scores, p-values and decisions."""
        return self.calibration_.judge(self.anomaly_scores(images), alpha)

    def predict(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N,) bool, True where an image is anomalous."""
        return self.judge(images, alpha=alpha).anomalous

    def p_values(self, images: Images) -> np.ndarray:
        """(N,) conformal p-values."""
        return self.calibration_.p_values(self.anomaly_scores(images))

    def _trained(self, inputs: Tensor) -> Density:
        density = dataclasses.replace(self.density)
        if isinstance(density, NetworkDensity):
            return density.fit(inputs, seed=self.seed, progress=self.progress)
        settings = self.trunk.settings
        if isinstance(density, Mahalanobis):
            return density.fit(drawn_rows(inputs, settings, self.seed))
        return density.fit(Scorer(density.score, settings.pool_views).rows(inputs).flatten(0, 1))

    def _scores(self, density: Density, inputs: Tensor) -> np.ndarray:
        if not len(inputs):
            return np.empty(0)
        if isinstance(density, NetworkDensity):
            return density.score(inputs).double().cpu().numpy()
        return Scorer(density.score, self.trunk.settings.pool_views).scores(inputs)

    def _chunks(self, images: Sequence[ImageLike]) -> Iterator[Tensor]:
        with tqdm(total=len(images), unit="image", disable=not self.progress, leave=False) as bar:
            for start in range(0, len(images), CHUNK):
                chunk = images[start : start + CHUNK]
                if isinstance(self.density, NetworkDensity):
                    pixels = torch.cat(list(iter_decoded(chunk, size=self.density.size)))
                    yield (pixels.float() / 127.5 - 1).to(resolve_device(self.device))
                else:
                    yield self.trunk.features(chunk)
                bar.update(len(chunk))


def make_detector(
    name: str,
    *,
    seed: int = 0,
    device: str | torch.device = "auto",
    cache: str | os.PathLike[str] | None = "auto",
    progress: bool = True,
    **settings: Any,
) -> BaselineDetector | DifferNet:
    """A fresh detector by name: a key of `BASELINES`, or "differnet".

    `settings` are of the density, `calibration`, and of the `DifferNet` that makes features.

    Raises:
        ValueError, TypeError: there is no such method; it has no such setting.

    Example:
        >>> make_detector("1-nn", n_components=8, progress=False).density
        NearestNeighbour(n_components=8)
    """
    one_of("method", name, ("differnet", *BASELINES))
    if name == "differnet":
        return DifferNet(seed=seed, device=device, cache=cache, progress=progress, **settings)
    fields = [field.name for field in dataclasses.fields(BASELINES[name]) if field.init]
    density = BASELINES[name](**{key: settings.pop(key) for key in fields if key in settings})
    calibration = settings.pop("calibration", "none")
    if isinstance(density, NetworkDensity) and settings:
        raise TypeError(f"{name}: expected some of the settings {fields}, got {sorted(settings)}")
    trunk = DifferNet(seed=seed, device=device, cache=cache, progress=False, **settings)
    common = {"calibration": calibration, "seed": seed, "device": device, "progress": progress}
    return BaselineDetector(density, trunk, **common)
