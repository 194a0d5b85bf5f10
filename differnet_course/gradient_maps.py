r"""Three anomaly maps from the gradient g = d tau / d y of the score with respect to the features.

The package draws the *distance* map (`differnet_lite.maps`). These ask the flow instead.

*gradient* (the paper). The gradient is carried back through the trunk to the pixels, blurred, and
its absolute value averaged. The paper calls it "not optimised".

*attribution*. A feature's power is a mean over the positions p of the trunk's maps, y^q = mean_p
F(p)^q, with the pooling's q. So to first order the score splits into one term for each position,

.. math::
    \tau(y) - \tau(\bar y) \approx g \cdot (y - \bar y)
    = \operatorname{mean}_p \, g \cdot \frac{y - \bar y}{y^q - \bar y^q} (F(p)^q - \bar F^q(p)) ,

where \bar F^q are the mean powers of normal images; with q = 2 the fraction is 1 / (y + \bar y).
Each term is drawn where it arose.

*deviation*. The flow says which channels count, and normal images say how far each of them strays:

.. math::
    \sum_c w_c \frac{(F_c(p) - \bar F_c(p))^2}{\sigma_c^2(p) + 0.1\, \bar\sigma_c^2 + 10^{-3}} ,
    \qquad w_c \propto |g_c| \, \bar\sigma_c

with the variance \sigma^2 over normal images and its mean \bar\sigma^2 over positions; the weights
of a scale sum to 1. It is no share of the score, but it keeps what cancels in the pooled mean. The
formula was chosen among six by the built-in categories' masks, with MVTec's bottle in the same
runs: its figures are not those of an unseen category.

References:
    Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", arXiv 2008.12577, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from differnet_lite import DifferNet
from differnet_lite.features import SMALLEST
from differnet_lite.images import ImageLike, decode
from differnet_lite.maps import evenly
from differnet_lite.resampling import iter_views, turn_back

__all__ = ["BLURS", "GradientMaps"]

BLURS = {"attribution": 4.0, "deviation": 4.0, "gradient": 3.0}  # px; 3 is the paper's
SPATIAL_SHARE = 0.1  # of the mean variance, added to that of a place: few images know it badly
VARIANCE_FLOOR = 1e-3  # of a channel that hardly ever fires


class GradientMaps:
    """Draws the maps above for one fitted model.

    Args:
        model: a fitted model.
        normal_images: training images; "attribution" and "deviation" compare with their maps.
            None leaves "gradient" alone.
        n_images: so many of them are taken, evenly chosen. 32 images in 16 views take 5 to 10
            seconds on two cores.

    Attributes:
        methods: the maps that can be drawn.
        means, deviations: of the normal images' maps, S tensors (T, C, h_s, w_s) float16.

    Raises:
        NotFittedError: the model has not been fitted.
    """

    def __init__(
        self,
        model: DifferNet,
        normal_images: Sequence[ImageLike] | None = None,
        n_images: int = 32,
    ) -> None:
        check_is_fitted(model)
        self.model = model
        self.means: list[Tensor] = []
        self.deviations: list[Tensor] = []
        self.methods: tuple[str, ...] = ("gradient",)
        if normal_images is not None:
            chosen = evenly(len(normal_images), min(n_images, len(normal_images)))
            self._learn([normal_images[i] for i in chosen])
            self.methods = tuple(BLURS)

    def anomaly_map(
        self,
        image: ImageLike,
        *,
        method: str = "gradient",
        sigma: float | None = None,
        n_angles: int | None = None,
    ) -> np.ndarray:
        """A map (size, size) float32, at least 0, comparable between images of one model.

        Args:
            image: a path, an array or a Pillow image.
            method: one of `methods`; a ValueError lists them.
            sigma: deviation of a Gaussian blur, pixels; None takes the method's, see `BLURS`.
            n_angles: number of the model's views that are used, evenly chosen; None uses all.
        """
        layers = self.layers(image, method, n_angles=n_angles)
        if method != "gradient":
            layers = layers.mean(0, keepdim=True)
        blurred = _blur(layers, BLURS[method] if sigma is None else sigma)
        drawn = blurred.abs().mean((0, 1)) if method == "gradient" else blurred[0, 0].clamp_min(0)
        return drawn.cpu().numpy()

    def iter_maps(
        self,
        images: Sequence[ImageLike],
        *,
        method: str = "gradient",
        sigma: float | None = None,
        n_angles: int | None = None,
    ) -> Iterator[np.ndarray]:
        """`anomaly_map` of one image after the other, in constant memory."""
        for image in images:
            yield self.anomaly_map(image, method=method, sigma=sigma, n_angles=n_angles)

    def layers(
        self, image: ImageLike, method: str, *, n_angles: int | None = None, side: int | None = None
    ) -> Tensor:
        """What each view adds to the map, signed, turned back to the image's pose, not blurred.

        (T, 1, side, side), of "gradient" (T, 3, side, side); `side` in pixels, the input's if None.
        """
        if method not in self.methods:
            hint = "" if method not in BLURS else "; pass normal_images to GradientMaps"
            expected = ", ".join(self.methods)
            raise ValueError(f"method={method!r}: expected one of {expected}{hint}")
        n_views = len(self.model.angles_)
        chosen = evenly(n_views, n_views if n_angles is None else n_angles)
        views = self.views(image, chosen)
        with torch.no_grad():
            maps = self.model.extractor.feature_maps(views)
        features = self.model.extractor.pool(maps)[None]  # (1, T, D)
        gradient = self.model.scorer.gradient(features)[0]
        side = views.shape[-1] if side is None else side
        if method == "gradient":
            layers = F.adaptive_avg_pool2d(self._at_pixels(views, gradient), side)
        else:
            terms = self.terms(method, maps, gradient, chosen)
            layers = torch.stack([_enlarged(scale, side) for scale in terms]).sum(0)
        transformations = self.model.settings.transformations
        ways = transformations.views(self.model.angles_)
        turned = [
            turn_back(layer[None], ways[k], fill=transformations.fill)
            for layer, k in zip(layers, chosen, strict=True)
        ]
        return torch.cat(turned)

    def views(self, image: ImageLike, chosen: Sequence[int]) -> Tensor:
        """The views (T, 3, size, size) in [0, 1] of an image at some positions of `angles_`."""
        pixels = decode(image, self.model.settings.size, white=self.model.white_)
        x = pixels[None].to(self.model.extractor.device).float() / 255
        transformations = self.model.settings.transformations
        views = dict(iter_views(x, self.model.angles_, transformations, only=chosen))
        return torch.cat([views[k] for k in chosen])

    def terms(
        self, method: str, maps: Sequence[Tensor], gradient: Tensor, chosen: Sequence[int]
    ) -> list[Tensor]:
        """What each position of the trunk's maps adds, (T, h_s, w_s) for each scale.

        Args:
            method: "attribution" or "deviation".
            maps: S tensors (T, C, h_s, w_s), of the views at the chosen angles.
            gradient: (T, D), d tau / d y of these views.
            chosen: positions of the angles.
        """
        terms = []
        for s, (scale, g) in enumerate(zip(maps, gradient.chunk(len(maps), dim=1), strict=True)):
            if method == "attribution":
                usual = self.powers[s][list(chosen)].to(scale.device).float()
                change = scale.float().abs().pow(self.model.extractor.pooling)
                weight = g * self._secant(change, usual)
                terms.append(torch.einsum("tchw,tc->thw", change - usual, weight))
                continue
            change = scale.float() - self.means[s][list(chosen)].to(scale.device).float()
            variance = self.deviations[s][list(chosen)].to(scale.device).float().square()
            mean = variance.mean((2, 3), keepdim=True)  # (T, C, 1, 1)
            weight = g.abs() * mean[..., 0, 0].sqrt()
            weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
            squares = change.square() / (variance + SPATIAL_SHARE * mean + VARIANCE_FLOOR)
            terms.append(torch.einsum("tchw,tc->thw", squares, weight))
        return terms

    def _secant(self, powers: Tensor, usual: Tensor) -> Tensor:
        """(y - y') / (y^q - y'^q) of the means over places of (T, C, h, w): (T, C)."""
        q = self.model.extractor.pooling
        first = powers.mean((2, 3)).clamp_min(SMALLEST**q)
        second = usual.mean((2, 3)).clamp_min(SMALLEST**q)
        slope = first.pow(1 / q - 1) / q  # of a feature that is as usual
        difference = first - second
        same = difference.abs() <= 1e-4 * first
        change = first.pow(1 / q) - second.pow(1 / q)
        return torch.where(same, slope, change / torch.where(same, 1.0, difference))

    def _at_pixels(self, views: Tensor, gradient: Tensor) -> Tensor:
        """The gradient (T, D) carried back to the pixels of each view, (T, 3, size, size)."""
        with torch.enable_grad():
            pixels = views.detach().requires_grad_(True)
            total = (self.model.extractor(pixels) * gradient).sum()
        return torch.autograd.grad(total, pixels)[0]

    @torch.no_grad()
    def _learn(self, images: Sequence[ImageLike]) -> None:
        """Means and deviations of normal images' maps; sums in float64 do not heed their order."""
        sums = [torch.zeros((), dtype=torch.float64)] * self.model.settings.n_scales
        squares = list(sums)
        powers = list(sums)
        q = self.model.extractor.pooling
        for image in images:
            views = self.views(image, range(len(self.model.angles_)))
            for s, scale in enumerate(self.model.extractor.feature_maps(views)):
                exact = scale.float().cpu().double()
                sums[s] = sums[s] + exact
                squares[s] = squares[s] + exact.square()
                powers[s] = powers[s] + exact.abs().pow(q)
        for total, square in zip(sums, squares, strict=True):
            mean = total / len(images)
            variance = (square / len(images) - mean.square()).clamp_min(0)
            self.means.append(mean.half())
            self.deviations.append(variance.sqrt().half())
        self.powers = [(total / len(images)).half() for total in powers]


def _enlarged(terms: Tensor, side: int) -> Tensor:
    """(T, h, w) to (T, 1, side, side)."""
    return F.interpolate(terms[:, None], size=(side, side), mode="bilinear", align_corners=False)


def _blur(layers: Tensor, sigma: float) -> Tensor:
    if sigma <= 0:
        return layers
    radius = min(int(4 * sigma + 0.5), layers.shape[-1] // 2 - 1)
    return gaussian_blur(layers, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
