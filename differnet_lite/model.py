"""The whole detector: photographs of good parts in, scores, decisions and maps out.

model = DifferNet().fit("data/flange")              # or a folder of your own good photographs
scores = model.anomaly_scores("new_photographs")    # higher is more anomalous
flagged = model.predict("new_photographs", alpha=0.05)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from differnet_lite.calibration.splits import Split
from differnet_lite.checks import one_of
from differnet_lite.data.checkpoint import tensors_of
from differnet_lite.data.images import ImageLike
from differnet_lite.data.listing import Images
from differnet_lite.data.resuming import TrainingState, training_states
from differnet_lite.data.schema import check_history, check_size, load_flow
from differnet_lite.feature_detector import FeatureDetector
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.sampling import fresh_view_sampler, view_sampler
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import PRESETS, Settings
from differnet_lite.training import train_flow

__all__ = ["DifferNet"]


class DifferNet(FeatureDetector):
    """A normalizing-flow anomaly detector in scikit-learn's manner.

    Args:
        preset: "default" or "paper", see `differnet_lite.settings`; or a `Settings` object.
        seed, device, cache, progress: see `Detector`.
        **options: single settings to change, such as `epochs=32` or
            `transformations=Transformations.none()`.

    Attributes:
        flow_: the trained flow.
        history_: losses, see `train_flow`.
        calibration_scores_, calibrated_by_, n_train_: see `Detector`.
        angles_, reference_, places_: see `FeatureDetector`.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", WACV 2021, arXiv 2008.12577.
    """

    kind = "differnet"

    def __init__(
        self,
        preset: str | Settings = "default",
        *,
        seed: int = 0,
        device: str | torch.device = "auto",
        cache: str | os.PathLike[str] | None = "auto",
        progress: bool = True,
        **options: Any,
    ) -> None:
        self.preset = preset
        if not isinstance(preset, Settings):
            preset = PRESETS[one_of(*PRESETS)("preset", preset)]
        common: dict[str, Any] = {"device": device, "cache": cache, "progress": progress}
        super().__init__(preset, seed=seed, options=options, **common)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor as they were given."""
        return {"preset": self.preset} | super().get_params(deep)

    def fit(
        self,
        images: Images,
        y: Any = None,
        *,
        calibration: Images | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """As `Detector.fit`; an interrupted training can go on where it was.

        Args:
            checkpoint: a folder for the state after each epoch; `fit` with the same folder again
                gives, bit for bit, the model of a training in one go.
        """
        self._checkpoint = checkpoint
        return super().fit(images, y, calibration=calibration)

    def _fit(
        self, images: Sequence[ImageLike], chosen: Sequence[Split]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        fresh = self.settings.transformations.angles is None  # then only what calibrates is needed
        of_all: Any = {"settings": self.settings.to_json(), "seed": self.seed}
        of_all |= {"trunk": self.extractor.identity, "device": self.extractor.device.type}
        states = training_states(self._checkpoint, images, chosen, **of_all)
        seen = None if fresh else self.features(images, description="features of normal images")
        runs = [self._train(images, seen, *which) for which in zip(chosen, states, count())]
        flow, history, scores = zip(*runs, strict=True)
        if len(runs) > 1:  # the first flow saw everything: what its siblings did not see is watched
            history[0]["held_out"] = np.mean([h["held_out"] for h in history[1:]], axis=0).tolist()
        train = [images[i] for i in chosen[0].train]
        known = {"flow_": flow[0], "history_": history[0]} | self._known_normal(train)
        return known, list(scores)

    def _train(
        self,
        images: Sequence[ImageLike],
        seen: Tensor | None,
        split: Split,
        state: TrainingState,
        k: int,
    ) -> tuple[CouplingFlow, dict[str, list[float]], np.ndarray]:
        """The k-th flow, its history, and its scores of the images that calibrate it."""
        s = self.settings
        if seen is None:
            train = [images[i] for i in split.train]
            sample = fresh_view_sampler(self.extractor, train, s.transformations)
        else:
            n, pool, known = s.views_per_image, s.pool_views, seen[split.train]
            sample = view_sampler(known, views_per_image=n, pool_views=pool)
        held_out = torch.empty(0, 1, self.extractor.n_features)
        if split.calibrate:
            judged = [images[i] for i in split.calibrate]
            held_out = self.features(judged) if seen is None else seen[split.calibrate]
        flow, history = train_flow(
            sample,
            len(split.train),
            s,
            n_features=self.extractor.n_features,
            held_out=held_out.mean(1, keepdim=True) if s.pool_views else held_out,
            device=self.extractor.device,
            seed=self.seed + k,
            progress=self.progress,
            state=state,
        )
        scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
        return flow, history, scorer.scores(held_out)

    def _score_rows(self) -> Callable[[Tensor], Tensor]:
        return flow_score(self.flow_, use_log_det=self.settings.use_log_det)

    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, header = super()._pack()
        tensors |= {f"flow.{name}": tensor for name, tensor in self.flow_.state_dict().items()}
        return tensors, header | {"history": self.history_}

    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        s, d = self.settings, self.extractor.n_features
        whitening = (torch.zeros(d), torch.eye(d)) if s.whiten else None
        check_size(s.n_blocks, s.hidden, tensors)
        flow = build_flow(d, whitening=whitening, seed=0, **s.of_flow())
        load_flow(flow, tensors_of("flow", tensors))
        flow, history = flow.to(self.extractor.device).eval(), check_history(header["history"])
        return super()._unpack(tensors, header) | {"flow_": flow, "history_": history}
