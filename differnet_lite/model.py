"""The whole detector: photographs of good parts in, scores, decisions and maps out.

model = DifferNet().fit("data/flange")           # or a folder of your own good photographs
scores = model.score_samples("new_photographs")  # higher is more anomalous
flagged = model.predict("new_photographs", alpha=0.05)
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.cache import FeatureBank
from differnet_lite.checkpoint import (
    CheckpointError,
    NotFittedError,
    read_checkpoint,
    rebuilding,
    write_checkpoint,
)
from differnet_lite.data.datasets import DatasetError, Images, as_images, training_images
from differnet_lite.data.images import ImageLike, decode, iter_decoded
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.localization import maps as localization
from differnet_lite.scoring import anomaly_score
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.thresholding import Threshold, conformal_threshold, p_values
from differnet_lite.training import bank_views, pooled, train_flow

__all__ = ["CheckpointError", "DifferNet", "NotFittedError"]


class DifferNet:
    """A normalizing-flow anomaly detector in scikit-learn's manner.

    Args:
        preset: "default" or "paper", see `differnet_lite.settings`; or a `Settings` object.
        seed: of everything random. The same seed, images, machine and number of threads give the same bits.
        device: "auto" takes CUDA, then MPS, then the CPU.
        cache: folder of the feature bank; "auto" or None, see `FeatureBank`.
        progress: whether to show progress bars.
        **overrides: single settings to change, such as `epochs=32` or `transformations=Transformations.none()`.

    Attributes:
        flow_: the trained flow.
        history_: losses, see `train_flow`.
        calibration_scores_: (n,) scores of held-out normal images, which the flow never saw.
        n_train_: number of images trained on.
        reference_, spread_: mean and deviation of normal images' maps, see `reference_maps`; empty if `reference_images` is 0.
        angles_: the angles at which images are scored, degrees.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", WACV 2021, arXiv 2008.12577.
    """

    def __init__(
        self,
        preset: str | Settings = "default",
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        **overrides: Any,
    ) -> None:
        if isinstance(preset, str) and preset not in PRESETS:
            raise ValueError(
                f"preset: expected one of {sorted(PRESETS)} or a Settings object, got {preset!r}"
            )
        base = PRESETS[preset] if isinstance(preset, str) else preset
        unknown = set(overrides) - {field.name for field in dataclasses.fields(Settings)}
        if unknown:
            raise TypeError(
                f"unknown setting(s) {sorted(unknown)}; expected some of {[field.name for field in dataclasses.fields(Settings)]}"
            )
        self.settings = dataclasses.replace(base, **overrides)
        self.seed, self.progress = seed, progress
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
        self.device = self.extractor.device
        self.bank = FeatureBank(
            self.extractor, s.transformations, folder=cache, seed=seed, progress=progress
        )
        self.angles_ = s.transformations.test_angles(seed)

    # ---------------------------------------------------------------- fit

    def fit(self, images: Images, *, calibration: Images | None = None) -> DifferNet:
        """Train on NORMAL images, and score held-out normal ones for the threshold.

        Args:
            images: a category in the MVTec layout (its train/good is taken), a folder, or a list of images.
            calibration: normal images to calibrate on; None holds out a share of `images` (`settings.holdout`).

        Returns:
            self. An interruption leaves the model as it was; features that were computed stay in the bank.

        Raises:
            FileNotFoundError, DatasetError, ImageError, FeatureError: the images are missing, too few or damaged.
        """
        train = training_images(images)
        if calibration is None:
            train, held_out = self._split(train)
        else:
            held_out = training_images(calibration)
        features = self.bank.features(held_out, self.angles_, description="features, held out")
        watched = pooled(features, self.settings) if len(held_out) else None
        n_reference = min(self.settings.reference_images, len(train))
        normal = localization.NormalMaps(
            (k * len(train) // n_reference for k in range(n_reference)), len(self.angles_)
        )
        if self.settings.transformations.angles is None:
            views = self._fresh_views(train)
        else:
            bank = self.bank.features(
                train, self.angles_, description="features, training", on_maps=normal.watch
            )
            views = bank_views(bank, self.settings)
        flow, history = train_flow(
            views,
            len(train),
            self.settings,
            n_features=self.extractor.n_features,
            held_out=watched,
            device=self.device,
            seed=self.seed,
            progress=self.progress,
        )
        scores = (
            np.empty(0)
            if watched is None
            else anomaly_score(flow, watched, use_log_det=self.settings.use_log_det)
        )
        self.reference_, self.spread_ = localization.reference_maps(
            self.extractor, train, angles=self.angles_, settings=self.settings, seen=normal
        )
        self.flow_: CouplingFlow = flow
        self.history_, self.n_train_, self.calibration_scores_ = history, len(train), scores
        return self

    def _split(self, images: list[ImageLike]) -> tuple[list[ImageLike], list[ImageLike]]:
        """Training and held-out images, split by image."""
        n, share = len(images), self.settings.holdout
        if share == 0:
            return images, []
        if n < 2:
            raise DatasetError(
                f"expected at least 2 normal images, one to train on and one to calibrate the threshold with, got {n}; "
                "add images, or pass holdout=0 to train without a threshold"
            )
        n_held_out = min(max(19, round(share * n)), n // 2)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed)).tolist()
        return [images[i] for i in sorted(order[n_held_out:])], [
            images[i] for i in sorted(order[:n_held_out])
        ]

    def _fresh_views(self, images: list[ImageLike]):  # type: ignore[no-untyped-def]
        """Views at new random angles in every step: the trunk runs again and again."""
        t = self.settings.transformations
        pixels = (
            torch.cat(list(iter_decoded(images, size=self.settings.size)))
            if len(images) <= 4000
            else None
        )

        def draw(indices: Tensor, generator: torch.Generator) -> Tensor:
            batch = (
                torch.stack([decode(images[i], self.settings.size) for i in indices])
                if pixels is None
                else pixels[indices]
            )
            angles = t.draw_angles(len(indices) * t.n_train, generator).view(
                len(indices), t.n_train
            )
            return self.extractor.views(batch, angles, t, generator)

        return draw

    # ---------------------------------------------------------------- use

    def score_samples(self, images: Images) -> np.ndarray:
        """The anomaly score tau of each image, (N,) float64; higher is more anomalous.

        Args:
            images: one image file, a folder (with its sub-folders, sorted), or a list of images.
        """
        return np.concatenate([np.empty(0), *self.iter_scores(images)])

    def iter_scores(self, images: Images) -> Iterator[np.ndarray]:
        """Scores batch by batch, in constant memory, for any number of images."""
        flow = self._fitted()
        for features in self.bank.iter_features(
            as_images(images), self.angles_, description="scoring"
        ):
            yield anomaly_score(
                flow, pooled(features, self.settings), use_log_det=self.settings.use_log_det
            )

    def threshold(self, alpha: float = 0.05, *, if_too_few: str = "raise") -> Threshold:
        """The split-conformal threshold for a false-alarm rate; see `conformal_threshold`."""
        self._fitted()
        return conformal_threshold(self.calibration_scores_, alpha, if_too_few=if_too_few)

    def predict(self, images: Images, *, alpha: float = 0.05) -> np.ndarray:
        """A(x): (N,) bool, True where the score reaches the threshold for the false-alarm rate `alpha`."""
        value = self.threshold(alpha).value
        return self.score_samples(images) >= value

    def p_values(self, images: Images) -> np.ndarray:
        """Conformal p-values, (N,): at most alpha for a share of at most alpha of normal images."""
        self._fitted()
        return p_values(self.calibration_scores_, self.score_samples(images))

    def anomaly_maps(self, images: Images, **options: Any) -> np.ndarray:
        """Where the score comes from: (N, size, size) float32, larger is more anomalous, on one scale for all.

        Args:
            images: as in `score_samples`.
            **options: `method`, `sigma` and `n_angles` of `localization.anomaly_map`. The method is "attribution"
                where the model has reference maps, else "gradient"; "deviation" is worth a try where parts lie alike.
        """
        return np.stack(list(self.iter_maps(images, **options)))

    def iter_maps(self, images: Images, **options: Any) -> Iterator[np.ndarray]:
        """Anomaly maps one by one, in constant memory."""
        flow = self._fitted()
        options = {"method": "attribution" if self.reference_ else "gradient", **options}
        listed = as_images(images)
        with tqdm(
            total=len(listed), desc="maps", unit="image", disable=not self.progress, leave=False
        ) as bar:
            for batch in iter_decoded(listed, size=self.settings.size, batch=4):
                for image in batch:
                    yield localization.anomaly_map(
                        self.extractor,
                        flow,
                        image,
                        angles=self.angles_,
                        settings=self.settings,
                        reference=self.reference_,
                        spread=self.spread_,
                        **options,
                    )
                    bar.update()

    def _fitted(self) -> CouplingFlow:
        if not hasattr(self, "flow_"):
            raise NotFittedError(
                "this model has not been fitted; call fit() first, or DifferNet.load()"
            )
        return self.flow_

    # ---------------------------------------------------------------- keep

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to one safetensors file, whole or not at all; settings are JSON in its header.

        The frozen trunk is not written: it ships with the package, and its checksum is compared on loading.

        Raises:
            FileNotFoundError: the folder to write into does not exist.
        """
        flow = self._fitted()
        header = {
            "settings": self.settings.to_json(),
            "seed": self.seed,
            "trunk": self.extractor.identity,
            "n_train": self.n_train_,
            "n_features": self.extractor.n_features,
            "angles": list(self.angles_),
            "history": self.history_,
        }
        tensors = {f"flow.{name}": tensor for name, tensor in flow.state_dict().items()}
        tensors["calibration_scores"] = torch.from_numpy(
            np.asarray(self.calibration_scores_, dtype=np.float64).copy()
        )
        tensors |= {f"reference.{s}": maps for s, maps in enumerate(self.reference_)}
        tensors |= {f"spread.{s}": maps for s, maps in enumerate(self.spread_)}
        return write_checkpoint(path, tensors, header)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
    ) -> DifferNet:
        """Read a model that `save` wrote; on the machine it was made on, its scores are identical.

        A trunk dtype of "auto" is resolved to what the model was calibrated with, so that a threshold
        means the same on another machine.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: it is damaged, no model of this package, of another version, or made with another trunk.
        """
        header, tensors = read_checkpoint(path)
        with rebuilding(path):
            settings = Settings(**header["settings"])
            dtype = header["trunk"].rsplit("/", 1)[1]
            model = cls(
                settings,
                seed=header["seed"],
                device=device,
                cache=cache,
                progress=progress,
                dtype=dtype,
            )
            if model.extractor.identity != header["trunk"]:
                raise CheckpointError(
                    f"{path}: made with the trunk {header['trunk']}, but this package has {model.extractor.identity}"
                )
            whitening = None
            if settings.whiten:
                d = header["n_features"]
                whitening = torch.zeros(d), torch.eye(d)
            flow = build_flow(
                header["n_features"],
                n_blocks=settings.n_blocks,
                hidden=settings.hidden,
                alpha=settings.alpha,
                whitening=whitening,
                seed=0,
            )  # seed: the weights are replaced, but the caller's global generator must not move
            flow.load_state_dict(
                {name[5:]: tensor for name, tensor in tensors.items() if name.startswith("flow.")}
            )
            model.calibration_scores_ = tensors["calibration_scores"].numpy()
            model.reference_, model.spread_ = (
                [
                    tensors[f"{kind}.{s}"]
                    for s in range(settings.n_scales)
                    if f"{kind}.{s}" in tensors
                ]
                for kind in ("reference", "spread")
            )
            model.history_, model.n_train_, model.angles_ = (
                header["history"],
                header["n_train"],
                tuple(header["angles"]),
            )
        model.flow_ = flow.to(model.device).eval()
        return model
