"""The settings of a model, and the two presets.

`PAPER` is the published protocol to the letter. `DEFAULT` is ours: better, and made for a laptop.
What differs, and why:

| | PAPER | DEFAULT | because |
|---|---|---|---|
| corners of a rotated image | black | reflected | black edges dominate the features (notebook 03) |
| pixels of a view, of a scale | nearest, every second | bilinear, mean of 2 x 2 | less noise |
| views | fresh random angles | 16, always the same | the trunk runs once for each view, ever |
| zoom and shift | none | small ones | they cost nothing, and show pose (notebook 05) |
| pooling over places | mean | root mean square | a small defect counts for more (notebook 03) |
| a feature vector | of one view | mean over views | what differs between views is no defect |
| first step of the flow | none | whitening | ReLU features are often 0 (notebook 04) |
| noise in training | none | 0.02, as in the whitening | as above |
| start of training | random couplings | identity | starts at the Mahalanobis distance |
| Adam's eps | 1e-4 | 1e-8 | gradients of loss / D are far below 1e-4: Adam turns into slow SGD |
| width of the subnets | 2048 | 128 | 172 million parameters for a few hundred images |
| epochs and learning rate | 192 at 2e-4 | 32 at 4e-4 | the whitening is a start: 128 gain nothing |
| large scores | as they are | logarithmic above 300 | 10^12 cannot be read; the order is kept |
| number format of the trunk | float32 | the fastest harmless one | no AUROC changed |
| maps of places | none | statistics of 200 images | the paper's map is the gradient (notebook 07) |
| flows | one | five, each without a fifth | all normals train, and set the threshold |
| threshold | none | from images that a flow has not seen | a decision needs one |
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from differnet_lite.checks import one_of, real, whole
from differnet_lite.features import DTYPES, MOST_POWER, check_geometry
from differnet_lite.splits import CALIBRATIONS
from differnet_lite.transforms import Transformations

__all__ = ["DEFAULT", "PAPER", "PRESETS", "Settings"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a model is made from, but for the seed; checked when given (not the trunk).

    Args:
        transformations: the views of an image; part of the model.
        pool_views: average the features of an image's views, and let the flow see the mean. In
            training it sees means over random halves of the views. Needs a fixed grid of angles.
        backbone: torchvision name of the trunk.
        weights: "bundled", "torchvision", "random" or a weights file; see `load_trunk`.
        size: side of the input, pixels.
        n_scales: number of scales.
        downscale: "area" or "nearest".
        pooling: power of the mean over places, see `MultiScaleExtractor`.
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
        use_log_det: add the log-determinant to the score; the paper does not.
        soft_limit: the score above which it grows with its logarithm, see `soften`; 0: none.
        map_images: of so many training images the statistics for maps are made; 0: no maps.
        calibration: where the scores for the threshold come from. "cross": from `folds` flows, each
            trained on all normals but a fold; a normal's score is of the flow that has not seen it,
            a new image's the mean of all. "split": from a share of the normals that is not trained
            on, with an exact guarantee. "none": from nowhere, and then there is no threshold.
        folds: K, of "cross".
        holdout: share of the images, of "split"; at least 19 where half or more remain.

    Raises:
        ValueError: a field is out of range, or two contradict each other.
    """

    transformations: Transformations = Transformations.grid(16)
    pool_views: bool = True
    backbone: str = "alexnet"
    weights: str = "bundled"
    size: int = 448
    n_scales: int = 3
    downscale: str = "area"
    pooling: float = 2.0
    dtype: str = "auto"
    whiten: bool = True
    noise: float = 0.02
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
    use_log_det: bool = False
    soft_limit: float = 300.0
    map_images: int = 200
    calibration: str = "cross"
    folds: int = 5
    holdout: float = 0.2

    def __post_init__(self) -> None:
        if not isinstance(self.transformations, Transformations):
            raise TypeError(
                "transformations: expected Transformations, such as Transformations.grid(16), "
                f"got {self.transformations!r}"
            )
        check_geometry(self.size, self.n_scales)
        one_of("downscale", self.downscale, ("area", "nearest"))
        one_of("dtype", self.dtype, DTYPES)
        one_of("calibration", self.calibration, CALIBRATIONS)
        for name in ("n_blocks", "hidden", "epochs", "batch_images", "views_per_image"):
            self._store(name, whole(name, getattr(self, name), least=1))
        for name in ("clamp", "clamp_factor", "learning_rate", "adam_eps"):
            self._store(name, real(name, getattr(self, name), above=0))
        for name in ("noise", "weight_decay", "soft_limit"):
            self._store(name, real(name, getattr(self, name), least=0))
        self._store("pooling", real("pooling", self.pooling, least=1, most=MOST_POWER))
        self._store("map_images", whole("map_images", self.map_images, least=0))
        self._store("folds", whole("folds", self.folds, least=2))
        self._store("holdout", real("holdout", self.holdout, above=0, below=1))
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

    def _store(self, name: str, value: float) -> None:
        """A checked field as Python's own number: NumPy's are no JSON."""
        object.__setattr__(self, name, value)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Settings:
        """The settings that `to_json` gave."""
        transformations = Transformations(**fields["transformations"])
        betas = tuple(fields["betas"])
        return cls(**fields | {"transformations": transformations, "betas": betas})


DEFAULT = Settings()

PAPER = Settings(
    transformations=Transformations(
        angles=None, n_train=4, n_test=64, fill="black", interpolation="nearest"
    ),
    pool_views=False,
    downscale="nearest",
    pooling=1.0,
    dtype="float32",
    whiten=False,
    noise=0.0,
    start_as_identity=False,
    hidden=2048,
    epochs=192,
    learning_rate=2e-4,
    adam_eps=1e-4,
    soft_limit=0.0,
    map_images=0,
    calibration="none",
)

PRESETS = {"default": DEFAULT, "paper": PAPER}
