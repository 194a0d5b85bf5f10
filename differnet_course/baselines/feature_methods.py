"""Three density models of feature rows (M, D): they see what the flow sees.

Each has `fit(rows)`, and `score(rows)` that gives (M,) scores.
"""

import dataclasses
from typing import Self

import numpy as np
import torch
from sklearn.svm import OneClassSVM
from torch import Tensor

from differnet_lite.sampling import view_sampler, whitening_matrix
from differnet_lite.settings import Settings

STD_FLOOR = 0.01  # dead channels have no deviation: dividing by it would blow them up


class Components:
    """Standardised rows on their first principal components, float64; a single row keeps all D."""

    def __init__(self, rows: Tensor, n_components: int) -> None:
        rows = rows.cpu().double()
        self.mean = rows.mean(0)
        self.deviation = rows.std(0, correction=0).clamp_min(STD_FLOOR)
        k = min(n_components, len(rows) - 1)
        axes = torch.linalg.svd((rows - self.mean) / self.deviation, full_matrices=False)[2]
        self.axes = axes[:k].T if k else torch.eye(rows.shape[1]).double()  # (D, K)

    def __call__(self, rows: Tensor) -> Tensor:
        return ((rows.cpu().double() - self.mean) / self.deviation) @ self.axes


@dataclasses.dataclass
class NearestNeighbour:
    """1-NN: the Euclidean distance to the nearest training row, after z-scores and PCA.

    References: Nazare, de Mello, Ponti, arXiv 1811.08495.
    """

    n_components: int = 64

    def fit(self, rows: Tensor) -> Self:
        self.components_ = Components(rows, self.n_components)
        self.neighbours_ = self.components_(rows)
        return self

    def score(self, rows: Tensor) -> Tensor:
        return torch.cdist(self.components_(rows), self.neighbours_).amin(1)


@dataclasses.dataclass
class OCSVM:
    """One-class support vector machine: an RBF boundary, with at most a share `nu` of rows outside.

    The score is minus the decision function: 0 on the boundary, positive outside. arXiv 2008.12577
    does not say how its features were scaled: z-scores and PCA are the usual recipe.

    References: Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", 2001.
    """

    n_components: int = 64
    nu: float = 0.05

    def fit(self, rows: Tensor) -> Self:
        self.components_ = Components(rows, self.n_components)
        self.machine_ = OneClassSVM(nu=self.nu, gamma="scale")
        state = np.random.get_state()  # scikit-learn draws a seed that this estimator never uses
        self.machine_.fit(self.components_(rows).numpy())
        np.random.set_state(state)
        return self

    def score(self, rows: Tensor) -> Tensor:
        return -torch.from_numpy(self.machine_.decision_function(self.components_(rows).numpy()))


@dataclasses.dataclass
class Mahalanobis:
    r"""The squared Mahalanobis distance, :math:`\lVert (y - \mu) W \rVert^2 / D`, noise-inflated.

    Fitted to `drawn_rows` this is the default DifferNet before its first step of training.

    References: Rippel, Mertens, Merhof, arXiv 2005.14140.
    """

    noise: float = 0.02

    def fit(self, rows: Tensor) -> Self:
        self.mean_, self.matrix_ = whitening_matrix(rows.cpu(), eps=self.noise)
        return self

    def score(self, rows: Tensor) -> Tensor:
        return ((rows.cpu().double() - self.mean_) @ self.matrix_).square().mean(1)


def drawn_rows(features: Tensor, settings: Settings, seed: int) -> Tensor:
    """Rows (16 N, D) of images' views (N, T, D), drawn as the flow's whitening draws them."""
    n_views = settings.views_per_image
    sample = view_sampler(features, views_per_image=n_views, pool_views=settings.pool_views)
    generator = torch.Generator().manual_seed(seed)
    everyone = torch.arange(len(features))
    draws = [sample(everyone, generator) for _ in range(max(1, 16 // n_views))]
    return torch.cat(draws, dim=1).flatten(0, 1)
