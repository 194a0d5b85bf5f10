"""What all methods share that see the frozen trunk's features: features, scores of them, and maps.

`DifferNet` is one; the baselines OCSVM, 1-NN and Mahalanobis are the others. They differ in the
score of a row of features alone, so whatever separates them is the density model.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.cache import FeatureCache
from differnet_lite.checkpoint import tensors_of
from differnet_lite.oldchecks import finite, real, reals
from differnet_lite.detector import Detector
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.fits import check_places, check_reference
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.listing import Images, as_images
from differnet_lite.localizer import Localizer
from differnet_lite.maps import MOST_IMAGES, MapLevels, PlaceStatistics, evenly, place_statistics
from differnet_lite.reference import reference_maps
from differnet_lite.scoring import Scorer
from differnet_lite.switches import with_default_switches

__all__ = ["FeatureDetector"]


class FeatureDetector(Detector):
    """A detector whose score is a function of rows of features.

    Attributes:
        angles_: the angles at which images are scored, degrees.
        reference_: means and deviations of normal images' maps, see `reference_maps`; empty if
            `reference_images` is 0.
        places_: statistics of normal images place by place, see `place_statistics`; None if
            `reference_images` is 0, or with fewer than 3 images.
    """

    @functools.cached_property
    @with_default_switches
    def extractor(self) -> MultiScaleExtractor:
        """The trunk; its weights are loaded on first use."""
        return MultiScaleExtractor(device=self.device, **self.settings.of_extractor())

    @functools.cached_property
    def feature_cache(self) -> FeatureCache:
        """Where features are kept."""
        return FeatureCache(
            self.extractor,
            self.settings.transformations,
            folder=self.cache,
            seed=self.seed,
            progress=self.progress,
        )

    @property
    def scorer(self) -> Scorer:
        """The one way from features to scores."""
        self.check_fitted()
        return Scorer(self._score_rows(), self.settings.pool_views)

    @property
    def localizer(self) -> Localizer:
        """The one way from an image to its map."""
        self.check_fitted()
        transformations, angles = self.settings.transformations, self.angles_
        normal = (*self.reference_, self.places_)
        return Localizer(self.extractor, self.scorer, transformations, angles, *normal)

    @abstractmethod
    def _score_rows(self) -> Callable[[Tensor], Tensor]:
        """The fitted method's scores (M,) of rows (M, D), differentiable."""

    def scoring_angles(self) -> tuple[float, ...]:
        """The T angles at which images are scored, in degrees."""
        return self.settings.transformations.test_angles(self.seed)

    @with_default_switches
    def features(self, images: Images, *, description: str = "features") -> Tensor:
        """Features of every view that scoring takes, (N, T, D) float32."""
        listed = as_images(images)
        return self.feature_cache.features(listed, self.scoring_angles(), description=description)

    def _known_normal(self, images: Sequence[ImageLike]) -> dict[str, Any]:
        """What maps need of some of the training images, evenly chosen."""
        n, total = self.settings.reference_images, len(images)
        some = [images[i] for i in evenly(total, min(n, total))] if n else []
        more = [images[i] for i in evenly(total, min(MOST_IMAGES, total))] if n else []
        turns, angles = self.settings.transformations, self.scoring_angles()
        maps = reference_maps(self.extractor, some, angles=angles, transformations=turns)
        places = place_statistics(self.extractor, more)
        return {"angles_": angles, "reference_": maps, "places_": places}

    def _iter_scores(self, images: Sequence[ImageLike]) -> Iterator[np.ndarray]:
        chunks = self.feature_cache.iter_features(images, self.angles_, description="scoring")
        return map(self.scorer.scores, chunks)

    def anomaly_maps(self, images: Images, **options: Any) -> np.ndarray:
        """Where the score comes from: (N, size, size) float32, larger is more anomalous.

        All maps of one model and method are on one scale; `map_levels` says what is unusual on
        that of "distance", and `predict_masks` marks it.

        Args:
            images: as in `anomaly_scores`.
            **options: `method`, `sigma` and `n_angles` of `Localizer.anomaly_map`.
        """
        size = self.settings.size
        found = list(self.iter_anomaly_maps(images, **options))
        return np.stack(found) if found else np.empty((0, size, size), np.float32)

    def map_levels(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> MapLevels:
        """What "distance" maps are compared with; see `PlaceStatistics.levels`.

        Raises:
            ValueError: the model was fitted without reference images, or with too few.
        """
        self.check_fitted()
        if self.places_ is None:
            raise ValueError("this model has no statistics for a level; fit with reference_images")
        return self.places_.levels(alpha, if_too_few=if_too_few)

    def predict_masks(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N, size, size) bool: where the "distance" map reaches the level for alpha.

        Of normal images a share of about alpha has any place marked.
        """
        level = self.map_levels(alpha).level
        return self.anomaly_maps(images, method="distance") >= level

    @with_default_switches
    def iter_anomaly_maps(self, images: Images, **options: Any) -> Iterator[np.ndarray]:
        """Anomaly maps one by one, in constant memory."""
        localizer, listed = self.localizer, as_images(images)
        silent = not self.progress
        with tqdm(total=len(listed), desc="maps", unit="image", disable=silent, leave=False) as bar:
            for batch in iter_decoded(listed, size=self.settings.size, batch=4):
                for image in batch:
                    yield finite("map value", localizer.anomaly_map(image, **options))
                    bar.update()

    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            f"{kind}.{s}": maps
            for kind, scales in zip(("reference", "spread"), self.reference_, strict=True)
            for s, maps in enumerate(scales)
        }
        places = {} if self.places_ is None else self.places_.tensors()
        tensors |= {f"places.{name}": tensor for name, tensor in places.items()}
        return tensors, {"trunk": self.extractor.identity, "angles": list(self.angles_)}

    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        if self.extractor.identity != header["trunk"]:
            raise ValueError(
                f"made with the trunk {header['trunk']}, this package has {self.extractor.identity}"
            )
        scales = range(self.settings.n_scales if self.settings.reference_images else 0)
        reference = tuple(
            [tensors[f"{kind}.{s}"] for s in scales] for kind in ("reference", "spread")
        )
        angles = reals(real())("angles", header["angles"])
        grid, n_test = self.settings.transformations.angles, self.settings.transformations.n_test
        if angles != grid if grid else len(angles) != n_test:
            raise ValueError(f"its angles {angles[:4]}... are not those of its settings")
        check_reference(self.extractor, reference[0], reference[1], len(angles))
        places = tensors_of("places", tensors)
        found = PlaceStatistics.of(places) if places else None
        if found is not None:
            check_places(self.extractor, found)
        return {"angles_": angles, "reference_": reference, "places_": found}

    @classmethod
    def _saved_options(cls, header: dict[str, Any]) -> dict[str, Any]:
        """A trunk dtype of "auto" stays what the model was calibrated with, on any machine."""
        dtype, asked = header["trunk"].rsplit("/", 1)[1], header["settings"]["dtype"]
        if asked not in ("auto", dtype):
            raise ValueError(f"its trunk is in {dtype}, its settings say {asked}")
        return super()._saved_options(header) | {"dtype": dtype}
