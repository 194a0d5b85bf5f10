"""One detector around any density model: from photographs to rows to scores."""

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from differnet_course.baselines.feature_methods import (
    OCSVM,
    Mahalanobis,
    NearestNeighbour,
    drawn_rows,
)
from differnet_course.baselines.ganomaly import GANomaly
from differnet_course.baselines.geotrans import GeoTrans
from differnet_course.baselines.networks import DSEBM, Autoencoder, NetworkDensity
from differnet_course.baselines.patchcore import PatchCore
from differnet_lite import DifferNet
from differnet_lite.checks import finite, one_of
from differnet_lite.images import iter_decoded
from differnet_lite.listing import Images, as_images, training_images
from differnet_lite.scoring import Scorer, flow_rows
from differnet_lite.trunk import resolve_device

Density = OCSVM | NearestNeighbour | Mahalanobis | NetworkDensity
BASELINES: dict[str, type[Density]] = {
    "ocsvm": OCSVM,
    "1-nn": NearestNeighbour,
    "mahalanobis": Mahalanobis,
    "geotrans": GeoTrans,
    "ganomaly": GANomaly,
    "dsebm": DSEBM,
    "autoencoder-l2": Autoencoder,
    "patchcore": PatchCore,
}


@dataclasses.dataclass(eq=False, repr=False)
class BaselineDetector(BaseEstimator):
    """A density model that scores photographs.

    Args:
        density: the model with its settings; `fit` trains a copy of it.
        trunk: an unfitted `DifferNet` whose features and views a density of features sees. A
            `NetworkDensity` sees images of its own size, not rotated, as in the methods' papers.
        seed: of the drawn rows and the networks.
        device: of the networks.

    Attributes:
        density_: the fitted density.
    """

    density: Density
    trunk: DifferNet
    seed: int = 0
    device: str | torch.device = "auto"

    def fit(self, images: Images) -> Self:
        """Train on normal images: a category, a folder or a list."""
        inputs = self.inputs(training_images(images))
        settings = self.trunk.settings
        density = dataclasses.replace(self.density)
        self.density_: Density = density
        if isinstance(density, NetworkDensity):
            density.fit(inputs, seed=self.seed)
        elif isinstance(density, Mahalanobis):
            density.fit(drawn_rows(inputs, settings, self.seed))
        else:
            density.fit(flow_rows(inputs, settings.pool_views).flatten(0, 1))
        return self

    def inputs(self, images: Images) -> Tensor:
        """What the density sees: features (N, T, D), or pixels (N, 3, size, size) in [-1, 1]."""
        if not isinstance(self.density, NetworkDensity):
            return self.features(images)
        pixels = torch.cat(list(iter_decoded(as_images(images), size=self.density.size)))
        return (pixels.float() / 127.5 - 1).to(resolve_device(self.device))

    def features(self, images: Images) -> Tensor:
        """The trunk's features (N, T, D), whatever the density sees."""
        return self.trunk.features(images)

    def anomaly_scores(self, images: Images) -> np.ndarray:
        """(N,) float64; higher is more anomalous."""
        check_is_fitted(self, "density_")
        inputs = self.inputs(images)
        if isinstance(self.density_, NetworkDensity):
            return finite("score", self.density_.score(inputs).double().cpu().numpy())
        scorer = Scorer(self.density_.score, self.trunk.settings.pool_views)
        return finite("score", scorer.scores(inputs))


def make_detector(
    name: str, *, seed: int = 0, device: str | torch.device = "auto", **settings: Any
) -> BaselineDetector | DifferNet:
    """A fresh detector by name: a key of `BASELINES`, or "differnet".

    `settings` are of the density, and of the `DifferNet` that makes features.

    Example:
        >>> make_detector("1-nn", n_components=8, progress=False).density
        NearestNeighbour(n_components=8)
    """
    one_of("method", name, ("differnet", *BASELINES))
    fields = {} if name == "differnet" else BASELINES[name].__dataclass_fields__
    own = {key: settings.pop(key) for key in fields if key in settings}
    trunk = DifferNet(seed=seed, device=device, **settings)
    if name == "differnet":
        return trunk
    return BaselineDetector(BASELINES[name](**own), trunk, seed=seed, device=device)
