"""Three methods on the numbers that the flow sees: the same trunk, rotations and feature cache.

What separates them from DifferNet is therefore the density model alone.
"""

from __future__ import annotations

import dataclasses
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.svm import OneClassSVM
from torch import Tensor

from differnet_course.baselines.reduction import State, reduced, reduction
from differnet_lite.checkpoint import tensors_of
from differnet_lite.oldchecks import check_fields, real, whole
from differnet_lite.feature_detector import FeatureDetector
from differnet_lite.images import ImageLike
from differnet_lite.sampling import view_sampler, whitening_of_views
from differnet_lite.scoring import Scorer
from differnet_lite.settings import Settings
from differnet_lite.splits import Split

__all__ = [
    "ClosedForm",
    "FeatureSettings",
    "Mahalanobis",
    "NearestNeighbour",
    "OCSVM",
    "OCSVMSettings",
    "ReducedSettings",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSettings(Settings):
    """Those of `differnet_lite.Settings` that make features, maps and calibration; no flow."""

    calibration: str = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReducedSettings(FeatureSettings):
    """Standardised features, cut to `n_components` principal components."""

    n_components: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"n_components": whole(1)})


@dataclasses.dataclass(frozen=True, kw_only=True)
class OCSVMSettings(ReducedSettings):
    """`nu`: the share of training images that may lie outside of the boundary, at most."""

    nu: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"nu": real(0, 1)})


class ClosedForm(FeatureDetector):
    """A feature detector whose state follows from the training rows without any training.

    Attributes:
        state_: what the score of a row is made from.
    """

    Settings: ClassVar[type[FeatureSettings]] = FeatureSettings

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        **options: Any,
    ) -> None:
        common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
        super().__init__(self.Settings(), seed=seed, options=options, **common)

    @abstractmethod
    def _learn(self, features: Tensor) -> State:
        """The state, from training features (N, T, D)."""

    @abstractmethod
    def _row_score(self, state: State) -> Callable[[Tensor], Tensor]:
        """The score (M,) of rows (M, D) that a state gives, differentiable."""

    def _fit(
        self, images: Sequence[ImageLike], chosen: Sequence[Split]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        features = self.features(images, description="features, training")
        states = [self._learn(features[split.train]) for split in chosen]
        scores = [
            Scorer(self._row_score(state), self.settings.pool_views).scores(
                features[split.calibrate]
            )
            for state, split in zip(states, chosen, strict=True)
        ]
        known = self._known_normal([images[i] for i in chosen[0].train])
        return {"state_": states[0]} | known, scores

    def _score_rows(self) -> Callable[[Tensor], Tensor]:
        return self._row_score(self.state_)

    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, header = super()._pack()
        return tensors | {f"state.{name}": x for name, x in self.state_.items()}, header

    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        state = tensors_of("state", tensors)
        self._row_score(state)(torch.zeros(1, self.extractor.n_features))  # other sizes fail here
        return super()._unpack(tensors, header) | {"state_": state}


class OCSVM(ClosedForm):
    """One-class support vector machine: an RBF boundary around the normal features.

    Standardised features, 64 principal components, `OneClassSVM(nu=0.05, gamma="scale")`; the score
    is minus its decision function: 0 on the boundary, positive outside. Far away the kernel is 0
    and the score constant.

    Made smaller: nothing; but arXiv 2008.12577 does not say how its features were scaled and
    reduced, so standardisation and components are the usual recipe, not necessarily the authors'.

    References:
        Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", Neural
        Computation 13(7), 2001.
        Andrews, Tanay, Morton, Griffin, "Transfer Representation-Learning for Anomaly Detection",
        ICML workshop 2016.
    """

    kind = "ocsvm"
    Settings = OCSVMSettings

    def _learn(self, features: Tensor) -> State:
        rows = Scorer(lambda x: x[:, 0], self.settings.pool_views).rows(features).flatten(0, 1)
        state = reduction(rows, self.settings.n_components)
        before = np.random.get_state()  # scikit-learn draws a seed that this estimator never uses
        try:
            machine = OneClassSVM(nu=self.settings.nu, gamma="scale")
            machine.fit(reduced(rows, state).numpy())
        finally:
            np.random.set_state(before)
        return state | {
            "vectors": torch.from_numpy(machine.support_vectors_.copy()),
            "weights": torch.from_numpy(machine.dual_coef_[0].copy()),
            "gamma": torch.tensor(machine._gamma, dtype=torch.float64),
            "offset": torch.from_numpy(machine.intercept_.copy()),
        }

    def _row_score(self, state: State) -> Callable[[Tensor], Tensor]:
        def score(rows: Tensor) -> Tensor:
            squares = torch.cdist(reduced(rows, state), state["vectors"]).square()
            kernel = torch.exp(-state["gamma"] * squares)
            return -(kernel @ state["weights"] + state["offset"])

        return score


class NearestNeighbour(ClosedForm):
    """1-NN: the Euclidean distance to the nearest training feature, after z-scores and PCA to 64.

    Made smaller: nothing; it is the whole method. With fewer than 65 rows the components are what
    the rows span, and a part of an anomaly that lies outside of it is not seen: the price of the
    common recipe with few images.

    References:
        Nazare, de Mello, Ponti, "Are pre-trained CNNs good feature extractors for anomaly detection
        in surveillance videos?", arXiv 1811.08495; the comparison in arXiv 2008.12577.
    """

    kind = "1-nn"
    Settings = ReducedSettings

    def _learn(self, features: Tensor) -> State:
        rows = Scorer(lambda x: x[:, 0], self.settings.pool_views).rows(features).flatten(0, 1)
        state = reduction(rows, self.settings.n_components)
        return state | {"neighbours": reduced(rows, state)}

    def _row_score(self, state: State) -> Callable[[Tensor], Tensor]:
        return lambda rows: torch.cdist(reduced(rows, state), state["neighbours"]).amin(1)


class Mahalanobis(ClosedForm):
    r"""The squared Mahalanobis distance, :math:`\lVert (y - \mu) W \rVert^2 / D`, noise-inflated.

    This is the DifferNet default before its first step of training: the same views, the same
    whitening, the same score. What training adds to DifferNet is what it gains over this detector
    (on equal training images).

    References:
        Rippel, Mertens, Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep
        Features for Anomaly Detection", ICPR 2020, arXiv 2005.14140; made smaller: one Gaussian on
        AlexNet's last maps.
    """

    kind = "mahalanobis"

    def _learn(self, features: Tensor) -> State:
        s = self.settings
        views = s.views_per_image
        mean, matrix = whitening_of_views(
            view_sampler(features, views_per_image=views, pool_views=s.pool_views),
            len(features),
            views_per_image=views,
            noise=s.noise,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return {"mean": mean, "matrix": matrix.contiguous()}

    def _row_score(self, state: State) -> Callable[[Tensor], Tensor]:
        return lambda rows: (
            ((rows.cpu().double() - state["mean"]) @ state["matrix"]).square().mean(1)
        )
