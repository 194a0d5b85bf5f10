"""The one contract of every method: fit on normal images, score, decide, keep.

`DifferNet` and the baselines differ in what they learn and how they score. Here is what all share:
which images train and which calibrate, threshold, p-values, files, switches, scikit-learn's manners
"""

from __future__ import annotations

import dataclasses
import inspect
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

from differnet_lite import thresholds as thresholding
from differnet_lite.checkpoint import read_checkpoint, rebuilding, write_checkpoint
from differnet_lite.oldchecks import checked, finite, one_of, options_of, vector, whole
from differnet_lite.folders import check_normal, training_images
from differnet_lite.groups import apart, near_copies, without_copies
from differnet_lite.images import ImageLike
from differnet_lite.listing import Images, as_images
from differnet_lite.schema import check_contents, plain
from differnet_lite.splits import CALIBRATIONS, Split, splits
from differnet_lite.switches import with_default_switches
from differnet_lite.thresholds import Judgement, Threshold
from differnet_lite.trunk import resolve_device

__all__ = ["Detector", "NotFittedError"]


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

    @checked
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
        resolve_device(device)  # refuses what is none; the extractor takes it on first use
        self.device, self.cache, self.progress = device, cache, progress
        self._options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor as they were given."""
        common = {name: getattr(self, name) for name in ("seed", "device", "cache", "progress")}
        return common | self._options

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; the detector is then no longer fitted."""
        self.__dict__ = type(self)(**(self.get_params() | params)).__dict__
        return self

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """The arguments that change something: an option with its preset's own value is none."""
        given = self.get_params().items()
        common = {name: value for name, value in given if name not in self._options}
        preset, known = type(self)(**common).settings, inspect.signature(type(self)).parameters
        changed = {n: value for n, value in common.items() if value != known[n].default}
        ours = {n: getattr(self.settings, n) for n in self._options}
        changed |= {n: value for n, value in ours.items() if value != getattr(preset, n)}
        inner = ", ".join(f"{n}={value!r}" for n, value in sorted(changed.items()))
        return f"{type(self).__name__}({inner})"

    def __sklearn_is_fitted__(self) -> bool:
        return "calibration_scores_" in vars(self)

    def check_fitted(self) -> None:
        """Raise scikit-learn's `NotFittedError` before `fit`."""
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"this {name} has not been fitted; call fit() first, or load()")

    @with_default_switches
    def fit(self, images: Images, y: Any = None, *, calibration: Images | None = None) -> Self:
        """Train on NORMAL images, and score normal ones that were not trained on.

        Args:
            images: a category in the MVTec layout (its train/good is taken), a folder, or images.
            y: labels are not needed; a zero for each image is accepted, anything else refused.
            calibration: normal images to calibrate on; None takes some of `images`, as the
                settings say.

        Returns:
            self. An interruption leaves the detector as it was; computed features are kept.

        Raises:
            OSError, DatasetError, ImageError, FeatureError: images are missing, few or damaged.
            ValueError, FloatingPointError: of y; of a loss that is no longer finite.
        """
        check_normal(y, len(listed := training_images(images)))
        train, s = without_copies(listed), self.settings
        given = [] if calibration is None else apart(training_images(calibration), train)
        chosen = [Split([*range(n := len(train))], [*range(n, n + len(given))])]
        if calibration is None:
            groups = range(n) if s.calibration == "none" else near_copies(train)
            chosen = splits(s.calibration, groups, folds=s.folds, holdout=s.holdout, seed=self.seed)
        fitted, parts = self._fit(train + given, chosen)
        order = np.argsort(np.concatenate([split.calibrate for split in chosen]))
        scores = vector("the scores of the calibration images", np.concatenate(parts))
        rule = "given" if calibration is not None else s.calibration
        common = {"n_train_": len(chosen[0].train), "calibrated_by_": rule}
        self.__dict__ |= fitted | common | {"calibration_scores_": scores[order.astype(int)]}
        return self

    @abstractmethod
    def _fit(
        self, images: Sequence[ImageLike], chosen: Sequence[Split]
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

    @with_default_switches
    def iter_anomaly_scores(self, images: Images) -> Iterator[np.ndarray]:
        """Anomaly scores batch by batch, in constant memory, for any number of images."""
        self.check_fitted()
        for scores in self._iter_scores(as_images(images)):
            yield finite("score", scores)

    def anomaly_scores(self, images: Images) -> np.ndarray:
        """The anomaly score of each image, (N,) float64; higher is more anomalous.

        Args:
            images: see `as_images`; one image, a folder with its sub-folders, or a list.
        """
        return np.concatenate([np.empty(0), *self.iter_anomaly_scores(images)])

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """The conformal threshold for a false-alarm rate alpha; see `conformal_threshold`."""
        self.check_fitted()
        cross, scores = self.calibrated_by_ == "cross", self.calibration_scores_
        return thresholding.conformal_threshold(scores, alpha, if_too_few=if_too_few, cross=cross)

    def judge(self, images: Images, *, alpha: float = 0.05, if_too_few: str = "raise") -> Judgement:
        """Scores, p-values and decisions, from one pass over the images."""
        threshold = self.threshold(alpha, if_too_few=if_too_few)
        scores = self.anomaly_scores(images)
        p = thresholding.p_values(self.calibration_scores_, scores)
        return Judgement(scores, p, scores >= threshold.value, threshold)

    def predict(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """(N,) bool, True where an image is anomalous, as in PyOD; scikit-learn's own say -1."""
        return self.judge(images, alpha=alpha).anomalous

    def p_values(self, images: Images) -> np.ndarray:
        """Conformal p-values, (N,): at most alpha for a share of at most alpha of normal images."""
        self.check_fitted()
        return thresholding.p_values(self.calibration_scores_, self.anomaly_scores(images))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the detector to one safetensors file in an existing folder, whole or not at all."""
        self.check_fitted()
        return write_checkpoint(path, *self._contents(), kind=self.kind)

    def _contents(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, header = self._pack()
        tensors["calibration_scores"] = torch.from_numpy(self.calibration_scores_.copy())
        header |= {"seed": self.seed, "n_train": self.n_train_, "settings": plain(self.settings)}
        return tensors, header | {"calibrated_by": self.calibrated_by_}

    @classmethod
    @with_default_switches
    @checked
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        foreign_weights: bool = False,
    ) -> Self:
        """Read a detector that `save` wrote; on the same machine its scores are identical.

        Args:
            foreign_weights: let the file name weights of the trunk that are to be downloaded or
                read; a stranger's file must not.

        Raises:
            FileNotFoundError, CheckpointError: no such file; damaged, of another method or version.
        """
        header, tensors = read_checkpoint(path, kind=cls.kind)
        with rebuilding(path):
            weights = header["settings"].get("weights", "bundled")
            if not foreign_weights and weights != "bundled":
                raise ValueError(f"it asks for weights {weights!r}: see foreign_weights=True")
            common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
            detector = cls(seed=header["seed"], **common, **cls._saved_options(header))
            detector._options = {n: getattr(detector.settings, n) for n in detector._options}
            scores = vector("calibration_scores", tensors["calibration_scores"].numpy())
            rule = one_of("given", *CALIBRATIONS)("calibrated_by", header["calibrated_by"])
            common = {"n_train_": whole(1)("n_train", header["n_train"]), "calibrated_by_": rule}
            common["calibration_scores_"] = scores
            fitted = {n: x for n, x in tensors.items() if n != "calibration_scores"}
            detector.__dict__ |= detector._unpack(fitted, header) | common
            if header["settings"].get("dtype") == "auto":  # it is what calibrated the model
                header["settings"]["dtype"] = detector._options["dtype"]
            check_contents((tensors, header), detector._contents())
        return detector

    @classmethod
    def _saved_options(cls, header: dict[str, Any]) -> dict[str, Any]:
        """The constructor's arguments that give a header's settings: what differs from its own."""
        own = plain(cls().settings)  # type: ignore[call-arg]
        return {name: value for name, value in header["settings"].items() if value != own[name]}
