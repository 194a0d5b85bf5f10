"""The settings of a model, and the two presets.

`PAPER` is the published protocol to the letter. `DEFAULT` is ours: better, and made for a laptop.
What differs, and why:

| | PAPER | DEFAULT | because |
|---|---|---|---|
| corners of a rotated image | black | reflected | black edges dominate the pooled features (notebook 03) |
| angles | fresh random ones | a grid of 16, in training and scoring | the trunk runs once for each view, ever |
| a feature vector | of one view | mean over views | what differs between views of one image is no defect |
| first step of the flow | none | whitening with noise-inflated covariance | ReLU features are often exactly 0: the likelihood collapses onto them (notebook 04) |
| noise on features in training | none | the same as in the whitening | as above |
| start of training | random couplings | couplings that are the identity | training then starts at the Mahalanobis distance, and has to earn what it adds |
| Adam's eps | 1e-4 | 1e-8 | the loss is divided by D, so gradients are far below 1e-4 and Adam turns into slow SGD |
| width of the subnets | 2048 | 128 | 172 million parameters for a few hundred images; 256 gains 0.03 nats of held-out likelihood on 609 images, none on 167, at twice the time |
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from differnet_lite.transforms import Transformations

__all__ = ["DEFAULT", "PAPER", "PRESETS", "Settings"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a model is made from, but for the seed.

    Args:
        transformations: the views of an image; part of the model.
        pool_views: average the features of an image's views, and let the flow see the mean. In training
            it sees means over random halves of the views. Needs a fixed grid of angles.
        backbone: torchvision name of the trunk.
        weights: "bundled", "torchvision", "random" or a safetensors file; see `features.load_trunk`.
        size: side of the input, pixels.
        n_scales: number of scales.
        downscale: "area" or "nearest".
        dtype: of the trunk: "auto", "float32", "bfloat16" or "float16".
        whiten: start the flow with a whitening; needs noise > 0.
        symmetric: of all whitenings take the symmetric one. It is unique, so that a rounding error in the features
            moves scores of a small training set by 0.01 % and not by several percent; see `whitening_matrix`.
        noise: deviation of the noise added to features in training, in units of the features.
        start_as_identity: begin with every coupling the identity, so that the untrained flow is the whitening
            alone, whose mean z^2 is a squared Mahalanobis distance.
        n_blocks: coupling blocks.
        hidden: width of the subnets.
        alpha: bound of the soft clamp.
        epochs: passes over the training images.
        batch_images: images in a step.
        views_per_image: views of each image in a step (random angles: `transformations.n_train`).
        learning_rate, betas, adam_eps, weight_decay: of Adam.
        train_dtype: of the subnets' matrix products in training: "auto", "float32" or "bfloat16". "auto" takes bfloat16
            from a width of 1024 on, where the hardware multiplies it; scoring is float32 in any case.
        use_log_det: add the log-determinant to the score; the paper does not.
        reference_images: training images whose mean maps the attribution maps are measured against; 0 keeps none,
            and `anomaly_maps` then draws the paper's gradient maps.
        holdout: share of the training images kept for calibration, at least 19 where half or more remain.
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
    symmetric: bool = True
    noise: float = 0.01
    start_as_identity: bool = True
    n_blocks: int = 8
    hidden: int = 128
    alpha: float = 3.0
    epochs: int = 128
    batch_images: int = 24
    views_per_image: int = 4
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.8, 0.8)
    adam_eps: float = 1e-8
    weight_decay: float = 1e-5
    train_dtype: str = "auto"
    use_log_det: bool = False
    reference_images: int = 32
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if isinstance(self.transformations, dict):  # from JSON
            object.__setattr__(self, "transformations", Transformations(**self.transformations))
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.pool_views and self.transformations.angles is None:
            raise ValueError(
                "pool_views=True needs a fixed grid of angles; pass transformations=Transformations.grid(16) or pool_views=False"
            )
        if self.whiten and self.noise <= 0:
            raise ValueError(
                f"whiten=True needs noise > 0 (dead channels have no variance of their own), got noise={self.noise}"
            )
        if self.train_dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(
                f"train_dtype: expected 'auto', 'float32' or 'bfloat16', got {self.train_dtype!r}"
            )
        if not 0 <= self.holdout < 1:
            raise ValueError(f"holdout: expected 0 <= holdout < 1, got {self.holdout}")
        for name in ("epochs", "batch_images", "views_per_image"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

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
    whiten=False,
    noise=0.0,
    start_as_identity=False,
    hidden=2048,
    epochs=192,
    adam_eps=1e-4,
    reference_images=0,
)

PRESETS = {"default": DEFAULT, "paper": PAPER}
