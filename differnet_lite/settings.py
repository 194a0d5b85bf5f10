"""The settings of a model, and the two presets.

`PAPER` is the published protocol to the letter. `DEFAULT` is ours: better, and made for a laptop.
What differs, and why:

| | PAPER | DEFAULT | because |
|---|---|---|---|
| corners of a rotated image | black | reflected | black edges dominate the features (notebook 03) |
| views | fresh random angles | 16, always the same | the trunk runs once for each view, ever |
| zoom and shift | none | small ones | they cost nothing, and show pose (notebook 05) |
| a feature vector | of one view | mean over views | what differs between views is no defect |
| first step of the flow | none | whitening | ReLU features are often 0 (notebook 04) |
| noise in training | none | the same as in the whitening | as above |
| start of training | random couplings | identity | starts at the Mahalanobis distance |
| Adam's eps | 1e-4 | 1e-8 | gradients of loss / D are far below 1e-4: Adam turns into slow SGD |
| width of the subnets | 2048 | 128 | 172 million parameters for a few hundred images |
| epochs and learning rate | 192 at 2e-4 | 32 at 4e-4 | the whitening is a start: 128 gain nothing |
| flows | one | five, each without a fifth | all normals train, and set the threshold |

Width 256 gains 0.03 nats of held-out likelihood on 609 images, none on 167, at twice the time.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from differnet_lite.oldchecks import check_fields, flag, one_of, real, reals, whole
from differnet_lite.features import check_geometry
from differnet_lite.splits import CALIBRATIONS
from differnet_lite.transforms import Transformations

__all__ = ["DEFAULT", "PAPER", "PRESETS", "WIDE", "Settings"]

WIDE = 1024  # width of subnets from which arithmetic and memory outweigh all else


def _transformations(name: str, value: object) -> Transformations:
    if isinstance(value, dict):  # from JSON
        return Transformations(**value)
    if not isinstance(value, Transformations):
        raise TypeError(f"{name}: expected Transformations, got {value!r}")
    return value


def _word(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name}: expected a name, got {value!r}")
    return value


_RULES = {
    "transformations": _transformations,
    "pool_views": flag,
    "backbone": _word,
    "weights": _word,
    "size": whole(63, 4096),
    "n_scales": whole(1, 8),
    "downscale": one_of("area", "nearest"),
    "dtype": one_of("auto", "float32", "bfloat16", "float16"),
    "whiten": flag,
    "noise": real(0),
    "start_as_identity": flag,
    "n_blocks": whole(1, 1000),
    "hidden": whole(1, 65536),
    "clamp": real(above=0),
    "clamp_factor": real(above=0),
    "epochs": whole(1),
    "batch_images": whole(1),
    "views_per_image": whole(1),
    "learning_rate": real(above=0),
    "betas": reals(real(0, below=1), n=2),
    "adam_eps": real(above=0),
    "weight_decay": real(0),
    "train_dtype": one_of("auto", "float32", "bfloat16"),
    "use_log_det": flag,
    "reference_images": whole(0),
    "calibration": one_of(*CALIBRATIONS),
    "folds": whole(2),
    "holdout": real(above=0, below=1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a model is made from, but for the seed; each field is checked when given.

    Args:
        transformations: the views of an image; part of the model.
        pool_views: average the features of an image's views, and let the flow see the mean. In
            training it sees means over random halves of the views. Needs a fixed grid of angles.
        backbone: torchvision name of the trunk.
        weights: "bundled", "torchvision", "random" or a safetensors file; see `load_trunk`.
        size: side of the input, pixels.
        n_scales: number of scales.
        downscale: "area" or "nearest".
        dtype: of the trunk: "auto", "float32", "bfloat16" or "float16".
        whiten: start the flow with a whitening; needs noise > 0.
        noise: deviation of the noise added to features in training, in units of the features.
        start_as_identity: begin with every coupling the identity, so that the untrained flow is
            the whitening alone, whose mean z^2 is a squared Mahalanobis distance.
        n_blocks: coupling blocks.
        hidden: width of the subnets.
        clamp: bound of the soft clamp; the paper calls it alpha.
        clamp_factor: 2/pi, or the 0.636 of the authors' program, see `soft_clamp`.
        epochs: passes over the training images.
        batch_images: images in a step.
        views_per_image: views of each image in a step (random angles: `transformations.n_train`).
        learning_rate, betas, adam_eps, weight_decay: of Adam.
        train_dtype: of the subnets' matrix products in training: "auto", "float32" or "bfloat16".
            "auto" takes bfloat16 from a width of 1024 on, where the hardware multiplies it;
            scoring is float32 in any case.
        use_log_det: add the log-determinant to the score; the paper does not.
        reference_images: training images whose mean maps the attribution maps are measured
            against; 0 keeps none, and `anomaly_maps` then draws the paper's gradient maps.
        calibration: where the scores for the threshold come from. "cross": from `folds` flows, each
            trained on all normals but a fold; a normal's score is of the flow that has not seen it,
            a new image's the mean of all. "split": from a share of the normals that is not trained
            on, with an exact guarantee. "none": from nowhere, and then there is no threshold.
        folds: K, of "cross".
        holdout: share of the images, of "split"; at least 19 where half or more remain.

    Raises:
        TypeError: a field is of the wrong kind.
        ValueError: a field is out of range, or two contradict each other.
    """

    transformations: Transformations = Transformations.grid(16)
    pool_views: bool = True
    backbone: str = "alexnet"
    weights: str = "bundled"
    size: int = 448
    n_scales: int = 3
    downscale: str = "area"
    dtype: str = "auto"
    whiten: bool = True
    noise: float = 0.01
    start_as_identity: bool = True
    n_blocks: int = 8
    hidden: int = 128
    clamp: float = 3.0
    clamp_factor: float = 2 / math.pi
    epochs: int = 32
    batch_images: int = 24
    views_per_image: int = 4
    learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.8, 0.8)
    adam_eps: float = 1e-8
    weight_decay: float = 1e-5
    train_dtype: str = "auto"
    use_log_det: bool = False
    reference_images: int = 32
    calibration: str = "cross"
    folds: int = 5
    holdout: float = 0.2

    def __post_init__(self) -> None:
        check_fields(self, _RULES)
        check_geometry(self.size, self.n_scales)
        if self.pool_views and self.transformations.angles is None:
            raise ValueError(
                "pool_views=True needs a fixed grid of angles; "
                "pass transformations=Transformations.grid(16) or pool_views=False"
            )
        if self.whiten and self.noise <= 0:
            raise ValueError(
                "whiten=True needs noise > 0 (dead channels have no variance of their own), "
                f"got noise={self.noise}"
            )

    def of_extractor(self) -> dict[str, Any]:
        """The arguments of `MultiScaleExtractor`, but for the device."""
        return self._some("backbone", "weights", "size", "n_scales", "downscale", "dtype")

    def of_flow(self) -> dict[str, Any]:
        """The arguments of `build_flow` that are settings."""
        return self._some("n_blocks", "hidden", "clamp", "clamp_factor", "start_as_identity")

    def of_adam(self) -> dict[str, Any]:
        """The arguments of `torch.optim.Adam`."""
        named = {"lr": self.learning_rate, "eps": self.adam_eps}
        return named | self._some("betas", "weight_decay")

    def _some(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


DEFAULT = Settings()

PAPER = Settings(
    transformations=Transformations(
        angles=None, n_train=4, n_test=64, fill="black", interpolation="nearest"
    ),
    pool_views=False,
    downscale="nearest",
    dtype="float32",
    whiten=False,
    noise=0.0,
    start_as_identity=False,
    hidden=2048,
    epochs=192,
    learning_rate=2e-4,
    adam_eps=1e-4,
    train_dtype="float32",
    reference_images=0,
    calibration="none",
)

PRESETS = {"default": DEFAULT, "paper": PAPER}
