"""The whole detector: photographs of good parts in, scores, decisions and maps out.

model = DifferNet().fit("photographs_of_good_parts")
scores = model.anomaly_scores("new_photographs")    # higher is more anomalous
flagged = model.predict("new_photographs", alpha=0.05)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.cache import FeatureCache
from differnet_lite.checks import check_normal, finite, one_of, shown, whole
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow
from differnet_lite.groups import apart, group_labels, sequence_note
from differnet_lite.images import ImageLike, image_size, iter_decoded
from differnet_lite.listing import (
    DatasetError,
    Images,
    as_images,
    training_images,
    training_set,
)
from differnet_lite.maps import MapLevels, PlaceStatistics, distance_map, evenly
from differnet_lite.places import place_statistics
from differnet_lite.resume import History
from differnet_lite.sampling import fresh_view_sampler, view_sampler
from differnet_lite.scoring import Scorer, flow_rows, scorer_of
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.shown import (
    Look,
    Summary,
    differences,
    summary_of,
    survey,
    too_many_flagged,
    white_in,
)
from differnet_lite.splits import Split, splits
from differnet_lite.thresholds import Calibration, Judgement, Threshold
from differnet_lite.training import train_flow
from differnet_lite.transforms import Transformations
from differnet_lite.trunk import resolve_device

if TYPE_CHECKING:
    from differnet_lite.export import ScoringModule
    from differnet_lite.regions import Region

__all__ = ["DifferNet", "NotFittedError", "load"]


class DifferNet(BaseEstimator):
    """A normalizing-flow anomaly detector in scikit-learn's manner.

    Args:
        preset: "default" or "paper": the settings that are not given. See `Settings` for the
            meaning of each, and for what the two presets differ in.
        white: the value that is white in pictures of more than 8 bits, such as 4095; None goes by
            the largest value in the training images.
        seed: of everything random.
        device: "auto" takes CUDA, then MPS, then the CPU.
        cache: folder that stores features, "auto" or None; see `FeatureCache`.
        progress: whether to show progress bars.

    Attributes:
        flows_: the trained flows: one, or with calibration="cross" one for each fold, which has not
            seen that fold; a score is the mean of theirs.
        history_: losses, see `train_flow`; means over the flows.
        calibration_scores_: (n,) scores of normal images by a flow that never saw them.
        calibration_groups_: (n,) the group of each of these scores; None where each image is one.
        calibrated_by_: "cross", "split" or "none", as the settings say, or "given" to `fit`.
        angles_: the angles at which images are scored, degrees.
        places_: what normal images show at each place, for maps; None without `map_images`.
        n_train_: number of images trained on.
        white_: the value that is white, see `white`; None of images of 8 bits.
        shown_: a summary of the training images, see `shown`.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", WACV 2021, arXiv 2008.12577.
    """

    preset: str
    dtype: str | None
    weights: str | os.PathLike[str] | None
    white: float | None
    seed: int
    device: str | torch.device
    cache: str | os.PathLike[str] | None
    progress: bool
    flows_: list[CouplingFlow]
    history_: History
    calibration_scores_: np.ndarray
    calibration_groups_: np.ndarray | None
    calibrated_by_: str
    angles_: tuple[float, ...]
    places_: PlaceStatistics | None
    n_train_: int
    white_: float | None
    shown_: Summary

    def __init__(
        self,
        preset: str = "default",
        *,
        transformations: Transformations | None = None,
        pool_views: bool | None = None,
        backbone: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        size: int | None = None,
        n_scales: int | None = None,
        downscale: str | None = None,
        pooling: float | None = None,
        dtype: str | None = None,
        whiten: bool | None = None,
        noise: float | None = None,
        start_as_identity: bool | None = None,
        n_blocks: int | None = None,
        hidden: int | None = None,
        clamp: float | None = None,
        clamp_factor: float | None = None,
        epochs: int | None = None,
        batch_images: int | None = None,
        views_per_image: int | None = None,
        learning_rate: float | None = None,
        betas: tuple[float, float] | None = None,
        adam_eps: float | None = None,
        weight_decay: float | None = None,
        use_log_det: bool | None = None,
        soft_limit: float | None = None,
        map_images: int | None = None,
        calibration: str | None = None,
        folds: int | None = None,
        holdout: float | None = None,
        white: float | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
    ) -> None:
        arguments = dict(locals())  # scikit-learn wants each under its own name
        for name in self._get_param_names():
            setattr(self, name, arguments[name])
        self._extractor: MultiScaleExtractor | None = None
        self._trunk_weights: dict[str, Tensor] | None = None  # of a model file that holds them
        whole("seed", seed, least=0)
        resolve_device(device)
        _ = self.settings  # refuses what is out of range

    @property
    def settings(self) -> Settings:
        """The settings: the preset's, but for those that were given."""
        preset = PRESETS[one_of("preset", self.preset, tuple(PRESETS))]
        names = [field.name for field in dataclasses.fields(Settings)]
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return dataclasses.replace(preset, **given)

    @property
    def extractor(self) -> MultiScaleExtractor:
        """The frozen trunk; its weights are loaded on first use."""
        if self._extractor is None:
            self._extractor = self._new_extractor(self.device, self.settings.dtype)
        return self._extractor

    def fit(
        self,
        images: Images,
        y: ArrayLike | None = None,
        *,
        calibration: Images | None = None,
        groups: str | Sequence[Hashable] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Train on NORMAL images, and score normal ones that were not trained on.

        Args:
            images: a category in the MVTec layout (its train/good is taken), a folder, or images.
            y: labels are not needed; a zero for each image is accepted, anything else refused.
            calibration: normal images to calibrate on; None takes some of `images`, as the
                settings say.
            groups: which images show one part (day, batch, ...): a label for each image, "folder",
                or a pattern of file names, see `group_labels`. Images of one group stay on one
                side of every split, and count once in a threshold. Near copies are grouped anyway.
            checkpoint: a folder; an interrupted training resumes there after its last whole epoch.

        Returns:
            self. An interruption leaves the detector as it was; computed features are stored.

        Raises:
            OSError, DatasetError, ImageError, FeatureError: images are missing, few or damaged.
            ValueError, FloatingPointError: of y; of a loss that is no longer finite.
        """
        s = self.settings
        train = list(training_set(images).images)
        check_normal(y, len(train))
        n = len(train)
        if n < 2:
            raise DatasetError(f"expected at least 2 normal images to train on, got {n}")
        others = [] if calibration is None else training_images(calibration)
        looks = survey([*train, *others], progress=self.progress)
        white = white_in(looks) if self.white is None else self.white
        if calibration is None:
            all_splits, labels = self._splits(looks, groups)
        else:
            kept = _calibrating(looks[:n], looks[n:], groups)
            others = [others[i] for i in kept]
            looks = looks[:n] + [looks[n + i] for i in kept]
            all_splits = [Split([*range(n)], [*range(n, n + len(others))])]
            labels = [0] * n + group_labels(looks[n:], groups)  # those that train have none
        all_images = train + others
        # cross: the first split, of all images, trains no flow; each other leaves a fold out
        fold_splits = all_splits[1:] or all_splits
        training = all_splits[0].train
        features = None  # with random views, new ones are made in each step
        if s.transformations.angles is not None:
            features = self._features(all_images, white, "features of normal images")
            if groups is None:
                note = sequence_note(features[training].mean(1), [labels[i] for i in training])
                if note is not None:
                    warnings.warn(note, stacklevel=2)
        if checkpoint is not None:
            Path(checkpoint).mkdir(parents=True, exist_ok=True)
        flows: list[CouplingFlow] = []
        histories: list[History] = []
        scores = np.full(len(all_images), np.nan)
        for k, split in enumerate(fold_splits):
            seed = self.seed + k
            state_file = None
            if checkpoint is not None:
                digests = [looks[i].digest for i in split.train]
                state_file = Path(checkpoint) / self._state_name(digests, seed, white)
            train_images = [all_images[i] for i in split.train]
            if features is None:
                sample = fresh_view_sampler(
                    self.extractor, train_images, s.transformations, white=white
                )
                held_out = self._features([all_images[i] for i in split.calibrate], white)
            else:
                sample = view_sampler(
                    features[split.train],
                    views_per_image=s.views_per_image,
                    pool_views=s.pool_views,
                )
                held_out = features[split.calibrate]
            flow, history = train_flow(
                sample,
                len(train_images),
                s,
                n_features=self.extractor.n_features,
                held_out=flow_rows(held_out, s.pool_views),
                device=self.extractor.device,
                seed=seed,
                progress=self.progress,
                description=f"training flow {k + 1} of {len(fold_splits)}",
                state_file=state_file,
            )
            flows.append(flow)
            histories.append(history)
            scores[split.calibrate] = scorer_of([flow], s).scores(held_out)
        n_map_images = min(s.map_images, len(training))
        for_maps = evenly(len(training), n_map_images) if n_map_images else []
        map_images = [train[training[i]] for i in for_maps]
        places = place_statistics(self.extractor, map_images, white=white)
        calibrating = sorted(i for split in fold_splits for i in split.calibrate)
        calibration_groups = np.array([labels[i] for i in calibrating])
        ungrouped = len(np.unique(calibration_groups)) == len(calibrating)
        history = _mean_history(histories)
        summary = summary_of(looks[:n])
        # what can fail is done: a fit that fails leaves the detector as it was
        self.calibration_scores_ = finite("calibration scores", scores[calibrating])
        self.calibration_groups_ = None if ungrouped else calibration_groups
        self.calibrated_by_ = "given" if calibration is not None else s.calibration
        self.flows_ = flows
        self.history_ = history
        self.angles_ = s.transformations.test_angles(self.seed)
        self.places_ = places
        self.n_train_ = len(training)
        self.white_ = white
        self.shown_ = summary
        return self

    def features(self, images: Images) -> Tensor:
        """Features of every view that scoring takes, (N, T, D) float32."""
        white = self.white_ if self.__sklearn_is_fitted__() else self.white
        return self._features(as_images(images), white)

    @property
    def scorer(self) -> Scorer:
        """From features (N, T, D) to scores: the mean of the flows'."""
        self._check_fitted()
        return scorer_of(self.flows_, self.settings)

    def iter_anomaly_scores(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly scores batch by batch, in constant memory, for any number of images.

        Of an iterator, such as a camera's frames, each image is scored as it comes.
        """
        scorer = self.scorer
        stream = images if isinstance(images, Iterator) else as_images(images)
        cache = self._feature_cache(self.white_)
        for features in cache.iter_features(stream, self.angles_, description="scoring"):
            yield finite("scores", scorer.scores(features))

    def anomaly_scores(self, images: Images) -> np.ndarray:
        """The anomaly score of each image, (N,) float64; higher is more anomalous.

        Args:
            images: one image, a folder with its sub-folders, or a list; see `as_images`.
        """
        return np.concatenate([np.empty(0), *self.iter_anomaly_scores(images)])

    @property
    def calibration_(self) -> Calibration:
        """What the scores of normal images say about new scores."""
        self._check_fitted()
        return Calibration(self.calibration_scores_, self.calibrated_by_, self.calibration_groups_)

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """The conformal threshold for a false-alarm rate alpha; see `conformal_threshold`."""
        return self.calibration_.threshold(alpha, if_too_few=if_too_few)

    def judge(self, images: Images, *, alpha: float = 0.05, if_too_few: str = "raise") -> Judgement:
        """Scores, p-values and decisions, from one pass over the images."""
        self.threshold(alpha, if_too_few=if_too_few)  # refuses before the work, not after it
        return self.calibration_.judge(self.anomaly_scores(images), alpha, if_too_few=if_too_few)

    def predict(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N,) bool, True where an image is anomalous, as in PyOD; scikit-learn's own say -1."""
        return self.judge(images, alpha=alpha).anomalous

    def p_values(self, images: Images) -> np.ndarray:
        """Conformal p-values, (N,): at most alpha for a share of at most alpha of normal images."""
        return self.calibration_.p_values(self.anomaly_scores(images))

    @torch.inference_mode()
    def iter_anomaly_maps(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly maps (size, size) one by one, in constant memory; see `anomaly_maps`."""
        places = self._places()
        listed = as_images(images)
        silent = not self.progress
        with tqdm(total=len(listed), desc="maps", unit="image", disable=silent, leave=False) as bar:
            for batch in iter_decoded(listed, size=self.settings.size, batch=4, white=self.white_):
                pixels = batch.to(self.extractor.device).float() / 255
                for one in pixels.split(1):
                    drawn = distance_map(self.extractor, places, one)[0].cpu().numpy()
                    yield finite("map", drawn)
                    bar.update()

    def anomaly_maps(self, images: Images) -> np.ndarray:
        """How far each place lies from what normal images show: (N, size, size) float32.

        All maps of one model are on one scale; `map_levels` says what is unusual on it, and
        `predict_masks` marks it.
        """
        size = self.settings.size
        maps = list(self.iter_anomaly_maps(images))
        return np.stack(maps) if maps else np.empty((0, size, size), np.float32)

    def map_levels(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> MapLevels:
        """What maps are compared with; see `PlaceStatistics.levels`."""
        return self._places().levels(alpha, if_too_few=if_too_few)

    def predict_masks(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N, size, size) bool: where the map reaches the level for alpha.

        Of normal images a share of about alpha has any place marked.
        """
        return self.anomaly_maps(images) >= self.map_levels(alpha).level

    def regions(self, images: Images, *, alpha: float = 0.05) -> list[list[Region]]:
        """Where each image is anomalous, in the pixels of the photograph, the worst place first.

        Of normal images a share of about alpha has any region.
        """
        from differnet_lite.regions import regions_of

        level = self.map_levels(alpha).level
        listed = as_images(images)
        maps = self.iter_anomaly_maps(listed)
        sizes = [image_size(image) for image in listed]
        return [regions_of(drawn, level, size) for drawn, size in zip(maps, sizes, strict=True)]

    def notes(self, images: Images, judgement: Judgement) -> list[str]:
        """What may break the promise: images unlike the training's, far too many flagged."""
        self._check_fitted()
        looks = survey(as_images(images), headers_only=True)
        notes = differences(self.shown_, summary_of(looks)) if looks else []
        n_flagged = int(judgement.anomalous.sum())
        promised = max(judgement.threshold.alpha, judgement.threshold.smallest_alpha)
        surprise = too_many_flagged(n_flagged, len(judgement.scores), promised)
        return notes if surprise is None else [*notes, surprise]

    def as_module(self) -> ScoringModule:
        """One float32 torch module on the CPU: images in, scores and maps out.

        Its scores are those of `load(..., dtype="float32")`.
        """
        from differnet_lite.export import ScoringModule

        self._check_fitted()
        return ScoringModule(self, self._new_extractor("cpu", "float32")).eval()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the detector to one safetensors file in an existing folder, whole or not at all."""
        from differnet_lite.model_file import save_model

        self._check_fitted()
        return save_model(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        dtype: str | None = None,
        weights: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Read a detector that `save` wrote; on the same machine its scores are identical.

        Args:
            dtype: number format of the trunk; None: the one that the model was calibrated with.
            weights: file of the trunk's weights, of a model whose file is without them.

        Raises:
            FileNotFoundError, CheckpointError: no such file; it is damaged or of another version.
            ValueError, RuntimeError: no such device.
        """
        from differnet_lite.model_file import load_into

        detector = cls(device=device, cache=cache, progress=progress)
        load_into(detector, path, dtype=dtype, weights=weights)
        return detector

    def set_params(self, **params: object) -> Self:
        """Change arguments of the constructor; the detector is then no longer fitted."""
        fresh = type(self)(**(self.get_params() | params))
        self.__dict__ = fresh.__dict__
        return self

    def set_trunk_weights(self, weights: dict[str, Tensor]) -> None:
        """Take the trunk's weights from here, and not from where the setting `weights` says."""
        self._trunk_weights = weights

    def __sklearn_is_fitted__(self) -> bool:
        return "calibration_scores_" in vars(self)

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError("this DifferNet has not been fitted; call fit() first, or load()")

    def _new_extractor(self, device: str | torch.device, dtype: str) -> MultiScaleExtractor:
        s = self.settings
        return MultiScaleExtractor(
            backbone=s.backbone,
            weights=self._trunk_weights or s.weights,
            size=s.size,
            n_scales=s.n_scales,
            downscale=s.downscale,
            pooling=s.pooling,
            device=device,
            dtype=dtype,
        )

    def _places(self) -> PlaceStatistics:
        self._check_fitted()
        if self.places_ is None:
            raise ValueError(
                "this model has no statistics for maps; fit it with map_images=200 and at least "
                "3 images"
            )
        return self.places_

    def _splits(
        self, looks: Sequence[Look], groups: str | Sequence[Hashable] | None
    ) -> tuple[list[Split], list[int]]:
        """How the training images are split, and the number of the group of each."""
        s = self.settings
        labels = [*range(len(looks))] if s.calibration == "none" else group_labels(looks, groups)
        ways = splits(s.calibration, labels, folds=s.folds, holdout=s.holdout, seed=self.seed)
        return ways, labels

    def _feature_cache(self, white: float | None) -> FeatureCache:
        return FeatureCache(
            self.extractor,
            self.settings.transformations,
            folder=self.cache,
            seed=self.seed,
            progress=self.progress,
            white=white,
        )

    def _features(
        self, images: Sequence[ImageLike], white: float | None, description: str = "features"
    ) -> Tensor:
        angles = self.settings.transformations.test_angles(self.seed)
        return self._feature_cache(white).features(images, angles, description=description)

    def _state_name(self, digests: Sequence[str], seed: int, white: float | None) -> str:
        """The name of a training's state, made of all that the training depends on."""
        names = [self.settings.to_json(), seed, white, self.extractor.identity, *digests]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16] + ".training"


def _calibrating(
    train: Sequence[Look], others: Sequence[Look], groups: str | Sequence[Hashable] | None
) -> list[int]:
    """Positions of the given calibration images that are no copies of images that train."""
    if groups is not None and not isinstance(groups, str):
        raise ValueError(
            "groups: with calibration= expected 'folder' or a pattern of file names, which "
            f"says it of both sets of images, got {shown(groups)}"
        )
    kept = apart(others, train)
    if not kept:
        raise DatasetError("calibration: expected other images than those that train")
    return kept


def _mean_history(histories: Sequence[History]) -> History:
    """Losses averaged over the flows."""
    losses = {name: [h[name] for h in histories] for name in histories[0]}
    return {name: np.mean(values, axis=0).tolist() for name, values in losses.items()}


load = DifferNet.load
