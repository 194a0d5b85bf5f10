"""The one contract of every method: fit on normal images, score, decide, keep.

`DifferNet` and the baselines differ in what they learn and how they score. What is here is the same
for all of them: which images train and which calibrate, the threshold, p-values, files, and the
manners of a scikit-learn estimator.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor

from differnet_lite.calibration.copies import apart, near_copies, without_copies
from differnet_lite.calibration.splits import CALIBRATIONS, Split, splits
from differnet_lite.calibration.thresholding import Threshold, conformal_threshold, p_values
from differnet_lite.checks import flag, one_of, options_of, vector, whole
from differnet_lite.data.checkpoint import read_checkpoint, rebuilding, write_checkpoint
from differnet_lite.data.datasets import training_images
from differnet_lite.data.images import ImageLike
from differnet_lite.data.listing import Images, as_images

__all__ = ["Detector", "Judgement", "NotFittedError"]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a detector says of N images.

    Attributes:
        scores: (N,) float64; higher is more anomalous.
        p_values: (N,) conformal p-values.
        anomalous: (N,) bool, scores at the threshold or above.
        threshold: the rule, with its promise.
    """

    scores: np.ndarray
    p_values: np.ndarray
    anomalous: np.ndarray
    threshold: Threshold


class Detector(BaseEstimator):
    """The frame of every method; a method adds its settings and the four functions below `fit`.

    Args:
        settings: of the method, a frozen dataclass, before `options`.
        seed: of everything random. The same seed, images, machine and number of threads give the
            same bits.
        device: "auto" takes CUDA, then MPS, then the CPU.
        cache: folder of the feature cache, "auto" or None; see `FeatureCache`.
        progress: whether to show progress bars.
        options: single fields of the settings to change.

    Attributes:
        settings: with the options.
        n_train_: number of images trained on.
        calibration_scores_: (n,) scores of normal images by a detector that never saw them.
        calibrated_by_: "cross", "split" or "none", as the settings say, or "given" to `fit`.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        settings: Any,
        *,
        seed: int,
        device: str | torch.device,
        cache: str | os.PathLike[str] | None,
        progress: bool,
        options: dict[str, Any],
    ) -> None:
        options_of(type(self).__name__, options, [f.name for f in dataclasses.fields(settings)])
        self.settings = dataclasses.replace(settings, **options)
        self.seed = whole(0, 2**63 - 1)("seed", seed)
        self.device, self.cache, self.progress = device, cache, flag("progress", progress)
        self._options = options

    # ------------------------------------------------------------ a scikit-learn estimator

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor as they were given."""
        common = {name: getattr(self, name) for name in ("seed", "device", "cache", "progress")}
        return common | self._options

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; the detector is then no longer fitted."""
        given = self.get_params() | params
        fresh = type(self)(**given)
        self.__dict__ = fresh.__dict__
        return self

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803
        """The arguments that change something: an option with its preset's own value is none."""
        given = self.get_params().items()
        common = {name: value for name, value in given if name not in self._options}
        preset, known = type(self)(**common).settings, inspect.signature(type(self)).parameters
        changed = {n: value for n, value in common.items() if value != known[n].default}
        for name in self._options:
            if getattr(self.settings, name) != getattr(preset, name):
                changed[name] = getattr(self.settings, name)
        inner = ", ".join(f"{name}={value!r}" for name, value in sorted(changed.items()))
        return f"{type(self).__name__}({inner})"

    def __sklearn_is_fitted__(self) -> bool:
        return "calibration_scores_" in vars(self)

    def check_fitted(self) -> None:
        """Raise scikit-learn's `NotFittedError` before `fit`."""
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted; call fit() first, or {name}.load()")

    # ------------------------------------------------------------ fit

    def fit(self, images: Images, y: Any = None, *, calibration: Images | None = None) -> Self:
        """Train on NORMAL images, and score normal ones that were not trained on.

        Args:
            images: a category in the MVTec layout (its train/good is taken), a folder, or images.
            y: labels are not needed; zeros are accepted, and anything else refused.
            calibration: normal images to calibrate on; None takes some of `images`, as the
                settings say.

        Returns:
            self. An interruption leaves the detector as it was; computed features are kept.

        Raises:
            FileNotFoundError, DatasetError, ImageError, FeatureError: images are missing, too few
                or damaged.
            FloatingPointError: a loss is no longer finite.
        """
        if y is not None and vector("y", y).any():
            raise ValueError("y: expected normal images alone, all labels 0, got others")
        train, s = without_copies(training_images(images)), self.settings
        given = [] if calibration is None else apart(training_images(calibration), train)
        seen = self._see(train + given)
        if calibration is None:
            groups = range(len(train)) if seen is None else near_copies(seen)
            chosen = splits(s.calibration, groups, folds=s.folds, holdout=s.holdout, seed=self.seed)
        else:
            n = len(train)
            chosen = [Split(list(range(n)), list(range(n, n + len(given))))]
        fitted, parts = self._fit(train + given, seen, chosen)
        order = np.argsort(np.concatenate([split.calibrate for split in chosen]))
        scores = vector("the scores of the calibration images", np.concatenate(parts))
        rule = "given" if calibration is not None else s.calibration
        common = {"n_train_": len(chosen[0].train), "calibrated_by_": rule}
        self.__dict__ |= fitted | common | {"calibration_scores_": scores[order.astype(int)]}
        return self

    @abstractmethod
    def _see(self, images: Sequence[ImageLike]) -> Tensor | None:
        """What the method sees of images, (N, T, D), if it needs that for all of them."""

    @abstractmethod
    def _fit(
        self, images: Sequence[ImageLike], seen: Tensor | None, chosen: Sequence[Split]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The fitted attributes of the first split; for each split the scores that calibrate."""

    @abstractmethod
    def _iter_scores(self, images: Sequence[ImageLike]) -> Iterator[np.ndarray]:
        """Scores of images, batch by batch, in constant memory."""

    @abstractmethod
    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was fitted, as tensors and as what JSON can hold."""

    @abstractmethod
    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        """The fitted attributes, from what `_pack` gave; any error says that the file is wrong."""

    # ------------------------------------------------------------ use

    def iter_anomaly_scores(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly scores batch by batch, in constant memory, for any number of images."""
        self.check_fitted()
        for scores in self._iter_scores(as_images(images)):
            if not np.isfinite(scores).all():
                raise FloatingPointError(
                    f"{int((~np.isfinite(scores)).sum())} score(s) are not finite: expected finite "
                    "numbers; the model is damaged or was trained at too high a learning rate"
                )
            yield scores

    def anomaly_scores(self, images: Images) -> np.ndarray:
        """The anomaly score of each image, (N,) float64; higher is more anomalous.

        Args:
            images: one image, a folder (with its sub-folders, sorted), or a list of images.
        """
        return np.concatenate([np.empty(0), *self.iter_anomaly_scores(images)])

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """The conformal threshold for a false-alarm rate alpha; see `conformal_threshold`."""
        self.check_fitted()
        cross = self.calibrated_by_ == "cross"
        scores = self.calibration_scores_
        return conformal_threshold(scores, alpha, if_too_few=if_too_few, cross=cross)

    def judge(self, images: Images, *, alpha: float = 0.05, if_too_few: str = "raise") -> Judgement:
        """Scores, p-values and decisions, from one pass over the images."""
        threshold = self.threshold(alpha, if_too_few=if_too_few)
        scores = self.anomaly_scores(images)
        p = p_values(self.calibration_scores_, scores)
        return Judgement(scores, p, scores >= threshold.value, threshold)

    def predict(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N,) bool, True where an image is anomalous at the false-alarm rate alpha.

        As in PyOD, where 1 is an outlier; scikit-learn's own outlier detectors say -1.
        """
        return self.judge(images, alpha=alpha).anomalous

    def p_values(self, images: Images) -> np.ndarray:
        """Conformal p-values, (N,): at most alpha for a share of at most alpha of normal images."""
        self.check_fitted()
        return p_values(self.calibration_scores_, self.anomaly_scores(images))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the detector to one safetensors file, whole or not at all; no pickle.

        Raises:
            NotFittedError, FileNotFoundError: there is nothing to save, or no such folder.
        """
        self.check_fitted()
        tensors, header = self._pack()
        tensors["calibration_scores"] = torch.from_numpy(self.calibration_scores_.copy())
        settings = dataclasses.asdict(self.settings)
        header |= {"settings": settings, "seed": self.seed, "n_train": self.n_train_}
        header |= {"calibrated_by": self.calibrated_by_}
        return write_checkpoint(path, tensors, header, kind=self.kind)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
    ) -> Self:
        """Read a detector that `save` wrote; on the same machine its scores are identical.

        Raises:
            FileNotFoundError, CheckpointError: there is no such file, or it is damaged, of another
                method or version, or of another trunk.
        """
        header, tensors = read_checkpoint(path, kind=cls.kind)
        with rebuilding(path):
            common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
            detector = cls(seed=header["seed"], **common, **cls._saved_options(header))
            detector._options = {n: getattr(detector.settings, n) for n in detector._options}
            scores = vector("calibration_scores", tensors.pop("calibration_scores").numpy())
            n_train = whole(1)("n_train", header["n_train"])
            rule = one_of("given", *CALIBRATIONS)("calibrated_by", header["calibrated_by"])
            fitted = detector._unpack(tensors, header)
        common = {"n_train_": n_train, "calibrated_by_": rule, "calibration_scores_": scores}
        detector.__dict__ |= fitted | common
        return detector

    @classmethod
    def _saved_options(cls, header: dict[str, Any]) -> dict[str, Any]:
        """The constructor's arguments that give a header's settings: what differs from its own."""
        plain = json.loads(json.dumps(dataclasses.asdict(cls().settings)))  # type: ignore[call-arg]
        return {name: value for name, value in header["settings"].items() if value != plain[name]}
