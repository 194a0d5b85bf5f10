"""What every method can do, and what the baselines share: settings, fit, score, save and load."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from differnet_lite.checkpoint import NotFittedError, read_checkpoint, rebuilding, write_checkpoint
from differnet_lite.data.datasets import Images, as_images, training_images
from differnet_lite.data.images import ImageLike

__all__ = ["BaseDetector", "Detector"]

State = TypeVar("State")


@runtime_checkable
class Detector(Protocol):
    """The one contract: fit on normal images, score any image, keep and read back. `DifferNet` and every baseline meet it."""

    seed: int
    progress: bool

    def fit(self, images: Images, *, calibration: Images | None = None) -> Self:
        """Train on NORMAL images: a category in the MVTec layout, a folder or a list."""

    def score_samples(self, images: Images) -> np.ndarray:
        """(N,) float64; higher is more anomalous."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one file, whole or not at all."""

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = ...,
        cache: str | os.PathLike[str] | None = ...,
        progress: bool = ...,
    ) -> Self:
        """Read it back; on the same machine the scores are identical."""


class BaseDetector(Generic[State]):
    """The frame of a baseline. A method adds its settings and four functions of its fitted state.

    Args:
        seed: of everything random. The same seed, images, machine and number of threads give the same bits.
        device: "auto" takes CUDA, then MPS, then the CPU.
        cache: folder of the feature bank, for the methods that use features; the others decode only.
        progress: whether to show progress bars.
        **options: the fields of the method's `Settings`.

    Attributes:
        fitted_: what was learned from the training images.
        n_train_: number of images trained on: all of them, as no method here needs held-out images for itself.
        calibration_scores_: (n,) scores of the images given as `calibration`; empty without.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Any]]

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        **options: Any,
    ) -> None:
        known = [field.name for field in dataclasses.fields(self.Settings)]
        if unknown := sorted(set(options) - set(known)):
            raise TypeError(f"{self.name}: unknown option(s) {unknown}; expected some of {known}")
        self.settings = self.Settings(**options)
        self.seed, self.progress = seed, progress
        self._prepare(device, cache)

    # ---------------------------------------------------------------- what a method defines

    def _prepare(self, device: str | torch.device, cache: str | os.PathLike[str] | None) -> None:
        """Called at the end of the constructor."""
        raise NotImplementedError

    def _train(self, images: list[ImageLike]) -> State:
        """The fitted state; must change nothing in self, so that an interruption leaves the detector as it was."""
        raise NotImplementedError

    def _score(self, fitted: State, images: list[ImageLike]) -> np.ndarray:
        """Scores (N,) of one or more images."""
        raise NotImplementedError

    def _pack(self, fitted: State) -> dict[str, Tensor]:
        """The fitted state as tensors."""
        raise NotImplementedError

    def _unpack(self, tensors: dict[str, Tensor]) -> State:
        """The fitted state from its tensors."""
        raise NotImplementedError

    def _origin(self) -> dict[str, Any]:
        """What else a checkpoint must agree on."""
        return {}

    # ---------------------------------------------------------------- the contract

    def fit(self, images: Images, *, calibration: Images | None = None) -> Self:
        """Train on NORMAL images.

        Args:
            images: a category in the MVTec layout (its train/good is taken), a folder, or a list of images.
            calibration: further normal images, which are scored and kept in `calibration_scores_`,
                for `differnet_lite.conformal_threshold`.

        Returns:
            self. An interruption leaves the detector as it was.

        Raises:
            FileNotFoundError, DatasetError, ImageError, FeatureError: the images are missing or damaged.
            FloatingPointError: a loss is no longer finite.
        """
        train = training_images(images)
        held_out = [] if calibration is None else training_images(calibration)
        fitted = self._train(train)
        scores = self._checked_scores(fitted, held_out)
        self.fitted_, self.n_train_, self.calibration_scores_ = fitted, len(train), scores
        return self

    def score_samples(self, images: Images) -> np.ndarray:
        """The anomaly score of each image, (N,) float64; higher is more anomalous.

        Args:
            images: one image file, a folder (with its sub-folders, sorted), or a list of images.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError(
                f"this {self.name} detector has not been fitted; call fit() first, or {type(self).__name__}.load()"
            )
        return self._checked_scores(self.fitted_, list(as_images(images)))

    def _checked_scores(self, fitted: State, images: list[ImageLike]) -> np.ndarray:
        scores = (
            np.asarray(self._score(fitted, images), dtype=np.float64) if images else np.empty(0)
        )
        if not np.isfinite(scores).all():
            raise FloatingPointError(
                f"{self.name}: {int((~np.isfinite(scores)).sum())} score(s) are not finite; fit again with a lower learning rate"
            )
        return scores

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the detector to one safetensors file, whole or not at all; settings are JSON in its header.

        Raises:
            NotFittedError: there is nothing to save yet.
            FileNotFoundError: the folder to write into does not exist.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError(
                f"this {self.name} detector has not been fitted; call fit() before save()"
            )
        settings = json.loads(json.dumps(dataclasses.asdict(self.settings)))
        header = {
            "kind": self.name,
            "settings": settings,
            "seed": self.seed,
            "n_train": self.n_train_,
            **self._origin(),
        }
        calibration = {"calibration_scores": torch.from_numpy(self.calibration_scores_)}
        return write_checkpoint(path, self._pack(self.fitted_) | calibration, header)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
    ) -> Self:
        """Read a detector that `save` wrote; on the machine it was made on, its scores are identical.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: it is damaged, of another method or version, or made with another trunk.
        """
        header, tensors = read_checkpoint(path, kind=cls.name)
        with rebuilding(path):
            detector = cls(
                seed=header["seed"],
                device=device,
                cache=cache,
                progress=progress,
                **cls._saved_options(header),
            )
            for key, value in detector._origin().items():
                if header[key] != value:
                    raise ValueError(
                        f"made with the {key} {header[key]}, but this package has {value}"
                    )
            detector.n_train_, detector.calibration_scores_ = (
                header["n_train"],
                tensors.pop("calibration_scores").numpy(),
            )
            detector.fitted_ = detector._unpack(tensors)
        return detector

    @classmethod
    def _saved_options(cls, header: dict[str, Any]) -> dict[str, Any]:
        return header["settings"]
