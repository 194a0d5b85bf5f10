"""The whole detector: photographs of good parts in, scores, decisions and maps out.

model = DifferNet().fit("data/flange")              # or a folder of your own good photographs
scores = model.anomaly_scores("new_photographs")    # higher is more anomalous
flagged = model.predict("new_photographs", alpha=0.05)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from differnet_lite.checkpoint import tensors_of
from differnet_lite.oldchecks import one_of, whole
from differnet_lite.feature_detector import FeatureDetector
from differnet_lite.flow import CouplingFlow, build_flow
from differnet_lite.images import ImageLike
from differnet_lite.listing import Images
from differnet_lite.resuming import TrainingState, forget_training, training_states
from differnet_lite.sampling import Sampler, training_sampler
from differnet_lite.schema import check_history, check_size, load_flow
from differnet_lite.scoring import Scorer, flow_score
from differnet_lite.settings import PRESETS, WIDE, Settings
from differnet_lite.side_by_side import Place, side_by_side
from differnet_lite.splits import Split
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
        flows_: the trained flows: one, or with calibration="cross" one for each fold, which has not
            seen that fold; a score is the mean of theirs.
        history_: losses, see `train_flow`; means over the flows.
        calibration_scores_, ..., angles_, ...: see `Detector` and `FeatureDetector`.

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
        self._checkpoint: str | os.PathLike[str] | None = None
        self._states: list[TrainingState] = []
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
        """As `Detector.fit`; with a folder `checkpoint` an interrupted training goes on there.

        The end is the same bits as without the interruption; with another number of threads, which
        a warning says, it may differ by rounding, see `differnet_lite.resuming`.
        """
        self._checkpoint = checkpoint
        return super().fit(images, y, calibration=calibration)

    def forget_checkpoint(self) -> None:
        """Delete what the last `fit` kept in its folder `checkpoint`; other trainings' stays."""
        forget_training(self._states)

    def _fit(
        self, images: Sequence[ImageLike], chosen: Sequence[Split]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        fresh = self.settings.transformations.angles is None  # then only what calibrates is needed
        trunk = [self.extractor.identity, self.extractor.device.type]
        of = [self.settings.to_json(), self.seed, *trunk]
        parts = chosen[1:] or chosen  # cross-fitted: no flow sees all images
        common: dict[str, Any] = {"epochs": self.settings.epochs, "of": of}
        self._states = states = training_states(self._checkpoint, images, parts, **common)
        seen = None if fresh else self.features(images, description="features of normal images")
        sample = training_sampler(self.extractor, images, seen, self.settings)
        each = zip(parts, states, count())
        tasks = [partial(self._train, images, seen, sample, *which) for which in each]
        narrow = self.settings.hidden < WIDE and self.extractor.device.type == "cpu"
        how: Any = {"at_once": narrow and not fresh, "progress": self.progress}
        runs = side_by_side(tasks, epochs=self.settings.epochs, **how)
        flows, histories, scores = zip(*runs, strict=True)
        losses = {name: np.mean([h[name] for h in histories], 0).tolist() for name in histories[0]}
        fitted = {"flows_": list(flows), "history_": losses | {"epoch": histories[0]["epoch"]}}
        train = [images[i] for i in chosen[0].train]
        return fitted | self._known_normal(train), list(scores)

    @property
    def flow_(self) -> CouplingFlow:
        """The flow of a model that has one."""
        if len(self.flows_) > 1:
            raise AttributeError(f"flow_: this model has {len(self.flows_)}, see flows_")
        return self.flows_[0]

    def _train(
        self,
        images: Sequence[ImageLike],
        seen: Tensor | None,
        sample: Sampler,
        split: Split,
        state: TrainingState,
        k: int,
        place: Place,
    ) -> tuple[CouplingFlow, dict[str, list[float]], np.ndarray]:
        """The k-th flow, its history, and its scores of the images that calibrate it."""
        s = self.settings
        if seen is None:
            held_out = self.features([images[i] for i in split.calibrate])
        else:
            held_out = seen[split.calibrate]
        of_trunk = {"n_features": self.extractor.n_features, "device": self.extractor.device}
        common: dict[str, Any] = of_trunk | {"seed": self.seed + k, "progress": False}
        flow, history = train_flow(
            place.sampler(sample, split.train),
            len(split.train),
            s,
            held_out=held_out.mean(1, keepdim=True) if s.pool_views else held_out,
            state=state,
            on_epoch=place.on_epoch,
            **common,
        )
        scorer = Scorer(flow_score(flow, use_log_det=s.use_log_det), s.pool_views)
        return flow, history, scorer.scores(held_out)

    def _score_rows(self) -> Callable[[Tensor], Tensor]:
        each = [flow_score(flow, use_log_det=self.settings.use_log_det) for flow in self.flows_]
        return lambda rows: torch.stack([score(rows) for score in each]).mean(0)

    def _pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, header = super()._pack()
        for k, flow in enumerate(self.flows_):
            tensors |= {f"flow{k}.{name}": value for name, value in flow.state_dict().items()}
        return tensors, header | {"history": self.history_, "flows": len(self.flows_)}

    def _unpack(self, tensors: dict[str, Tensor], header: dict[str, Any]) -> dict[str, Any]:
        s, d = self.settings, self.extractor.n_features
        n = whole(1, s.folds)("flows", header["flows"])
        check_size(n * s.n_blocks, s.hidden, tensors)
        start = [(torch.zeros(d), torch.eye(d)) if s.whiten else None for _ in range(n)]
        flows = [build_flow(d, whitening=own, seed=0, **s.of_flow()) for own in start]
        for k, flow in enumerate(flows):
            load_flow(flow, tensors_of(f"flow{k}", tensors))
            flow.to(self.extractor.device).eval()
        fitted = {"flows_": flows, "history_": check_history(header["history"])}
        return super()._unpack(tensors, header) | fitted
