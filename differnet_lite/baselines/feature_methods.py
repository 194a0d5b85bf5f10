"""Three methods on the numbers that the flow sees: the same trunk, the same rotations, the same feature bank.

What separates them from DifferNet is therefore the density model alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM
from torch import Tensor

from differnet_lite.baselines.detector import BaseDetector
from differnet_lite.cache import FeatureBank
from differnet_lite.data.images import ImageLike
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.settings import DEFAULT, Settings
from differnet_lite.training import bank_views, pooled, whitening_of_views
from differnet_lite.transforms import Transformations

__all__ = ["Mahalanobis", "NearestNeighbour", "OCSVM"]

STD_FLOOR = (
    DEFAULT.noise
)  # dead channels have no deviation of their own: dividing by it would blow them up

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """The features; names and defaults are those of `differnet_lite.Settings`."""

    transformations: Transformations = DEFAULT.transformations
    pool_views: bool = DEFAULT.pool_views
    backbone: str = DEFAULT.backbone
    weights: str = DEFAULT.weights
    size: int = DEFAULT.size
    n_scales: int = DEFAULT.n_scales
    downscale: str = DEFAULT.downscale
    dtype: str = DEFAULT.dtype

    def __post_init__(self) -> None:
        if isinstance(self.transformations, dict):  # from JSON
            object.__setattr__(self, "transformations", Transformations(**self.transformations))
        self.of_model()

    def of_model(self) -> Settings:
        """The model settings that make the same features; checks them, too."""
        return dataclasses.replace(
            DEFAULT,
            **{
                f.name: getattr(self, f.name)
                for f in dataclasses.fields(self)
                if hasattr(DEFAULT, f.name)
            },
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReducedSettings(FeatureSettings):
    """Standardised features, cut to principal components."""

    n_components: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_components < 1:
            raise ValueError(f"n_components: expected at least 1, got {self.n_components}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OCSVMSettings(ReducedSettings):
    """`nu`: the share of training images that may lie outside of the boundary, at most."""

    nu: float = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class MahalanobisSettings(FeatureSettings):
    """`noise`: the deviation that inflates the covariance, in units of the features."""

    noise: float = DEFAULT.noise


class FeatureDetector(BaseDetector[tuple[dict[str, Tensor], Scorer]]):
    """Score = mean over an image's views of a scorer of rows (M, D); with `pool_views` one row an image, the mean view.

    The state is what the scorer is made from, as tensors, and the scorer; a loaded detector makes it anew.
    """

    def _prepare(self, device: str | torch.device, cache: str | os.PathLike[str] | None) -> None:
        s = self.settings
        self.extractor = MultiScaleExtractor(
            backbone=s.backbone,
            weights=s.weights,
            size=s.size,
            n_scales=s.n_scales,
            downscale=s.downscale,
            device=device,
            dtype=s.dtype,
        )
        self.bank = FeatureBank(
            self.extractor, s.transformations, folder=cache, seed=self.seed, progress=self.progress
        )
        self.angles_ = s.transformations.test_angles(self.seed)

    def _train(self, images: list[ImageLike]) -> tuple[dict[str, Tensor], Scorer]:
        learned = self._learn(
            self.bank.features(images, self.angles_, description="features, training")
        )
        return learned, self._scorer(learned)

    def _learn(self, features: Tensor) -> dict[str, Tensor]:
        """What the scorer needs of training features (N, T, D); here the rows themselves, (M, D)."""
        return {"rows": pooled(features, self.settings.of_model()).flatten(0, 1)}

    def _scorer(self, learned: dict[str, Tensor]) -> Scorer:
        raise NotImplementedError

    def _score(
        self, fitted: tuple[dict[str, Tensor], Scorer], images: list[ImageLike]
    ) -> np.ndarray:
        scores = []
        for features in self.bank.iter_features(images, self.angles_, description="scoring"):
            views = pooled(features, self.settings.of_model()).double().numpy()  # (N, T or 1, D)
            scores.append(
                fitted[1](views.reshape(-1, views.shape[-1])).reshape(views.shape[:2]).mean(1)
            )
        return np.concatenate(scores)

    def _pack(self, fitted: tuple[dict[str, Tensor], Scorer]) -> dict[str, Tensor]:
        return dict(fitted[0])

    def _unpack(self, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], Scorer]:
        scorer = self._scorer(tensors)
        scorer(
            np.zeros((1, self.extractor.n_features))
        )  # a file with another number of features fails here
        return tensors, scorer

    def _origin(self) -> dict[str, Any]:
        return {"trunk": self.extractor.identity, "angles": list(self.angles_)}

    @classmethod
    def _saved_options(cls, header: dict[str, Any]) -> dict[str, Any]:
        return header["settings"] | {
            "dtype": header["trunk"].rsplit("/", 1)[1]
        }  # "auto", as it was resolved


def reduction(rows: np.ndarray, n_components: int) -> Scorer:
    """A function (M, D) -> (M, K): z-scores with floored deviation, projected on the principal components of `rows`.

    K = `n_components`, or what n rows span if that is less: n - 1; a single row has no components, and K = D.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((5, 8))
        >>> reduction(rows, 64)(rows).shape, reduction(rows, 2)(rows).shape, reduction(rows[:1], 64)(rows).shape
        ((5, 4), (5, 2), (5, 8))
    """
    mean, deviation = rows.mean(0), np.maximum(rows.std(0), STD_FLOOR)
    k = min(n_components, len(rows) - 1)
    axes = (
        np.linalg.svd((rows - mean) / deviation, full_matrices=False)[2][:k].T
        if k
        else np.eye(rows.shape[1])
    )
    return lambda y: ((y - mean) / deviation) @ axes


class OCSVM(FeatureDetector):
    """One-class support vector machine: an RBF boundary around the normal features.

    Standardised features, 64 principal components, `OneClassSVM(nu=0.05, gamma="scale")`; the score is minus
    its decision function: 0 on the boundary, positive outside. Far away the kernel is 0 and the score constant.

    Made smaller: nothing; but arXiv 2008.12577 does not say how its features were scaled and reduced, so
    standardisation and components are the usual recipe and not necessarily the authors'.

    References:
        Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", Neural Computation 13(7), 2001.
        Andrews, Tanay, Morton, Griffin, "Transfer Representation-Learning for Anomaly Detection", ICML workshop 2016.
    """

    name = "ocsvm"
    Settings = OCSVMSettings

    def _scorer(self, learned: dict[str, Tensor]) -> Scorer:
        rows = learned["rows"].double().numpy()
        reduce = reduction(rows, self.settings.n_components)
        state = (
            np.random.get_state()
        )  # scikit-learn draws a seed from it that this estimator has no use for
        try:
            boundary = OneClassSVM(nu=self.settings.nu, gamma="scale").fit(reduce(rows))
        finally:
            np.random.set_state(state)
        return lambda y: -boundary.decision_function(reduce(y))


class NearestNeighbour(FeatureDetector):
    """1-NN: the Euclidean distance to the nearest training feature, after z-scores and 64 principal components.

    Made smaller: nothing; it is the whole method. With fewer than 65 rows the components are what the rows span, and a
    part of an anomaly that lies outside of it is not seen: the price of the common recipe with few images.

    References:
        Nazare, de Mello, Ponti, "Are pre-trained CNNs good feature extractors for anomaly detection in
        surveillance videos?", arXiv 1811.08495; the comparison in arXiv 2008.12577.
    """

    name = "1-nn"
    Settings = ReducedSettings

    def _scorer(self, learned: dict[str, Tensor]) -> Scorer:
        rows = learned["rows"].double().numpy()
        reduce = reduction(rows, self.settings.n_components)
        index = NearestNeighbors(n_neighbors=1).fit(reduce(rows))
        return lambda y: index.kneighbors(reduce(y))[0][:, 0]


class Mahalanobis(FeatureDetector):
    r"""The squared Mahalanobis distance, :math:`\lVert (y - \mu) W \rVert^2 / D`, with the noise-inflated covariance.

    This is the DifferNet default before its first step of training: the same views, the same whitening, the
    same score. What training adds to DifferNet is what it gains over this detector (on equal training images).

    References:
        Rippel, Mertens, Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for
        Anomaly Detection", ICPR 2020, arXiv 2005.14140; made smaller: one Gaussian on AlexNet's last maps.
    """

    name = "mahalanobis"
    Settings = MahalanobisSettings

    def _learn(self, features: Tensor) -> dict[str, Tensor]:
        settings = self.settings.of_model()
        generator = torch.Generator().manual_seed(self.seed)
        mean, matrix = whitening_of_views(
            bank_views(features, settings), len(features), settings, generator
        )
        return {"mean": mean, "matrix": matrix.contiguous()}

    def _scorer(self, learned: dict[str, Tensor]) -> Scorer:
        mean, matrix = learned["mean"].numpy(), learned["matrix"].numpy()
        return lambda y: np.square((y - mean) @ matrix).mean(1)
