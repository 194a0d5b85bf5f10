r"""Two anomaly maps from the gradient g = d tau / d y of the score with respect to the features.

The package draws the *distance* map (`differnet_lite.maps`). These ask the flow instead.

*gradient* (the paper). The gradient is carried back through the trunk to the pixels, blurred, and
its absolute value averaged. The paper calls it "not optimised".

*attribution*. A feature's power is a mean over the places u of the trunk's maps, y^p = mean_u
F(u)^p, with the pooling's p. So to first order the score splits into one term for each place,

.. math::
    \tau(y) - \tau(\bar y) \approx g \cdot (y - \bar y)
    = \operatorname{mean}_u \, g \cdot \frac{y - \bar y}{y^p - \bar y^p} (F(u)^p - \bar F^p(u)) ,

where \bar F^p are the mean powers of normal images; with p = 2 the fraction is 1 / (y + \bar y).
Each term is drawn where it arose.

References: arXiv 2008.12577, section 4.4.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from differnet_lite import DifferNet
from differnet_lite.checks import one_of
from differnet_lite.features import SMALLEST
from differnet_lite.images import ImageLike, decode
from differnet_lite.maps import evenly
from differnet_lite.resampling import iter_views, turn_back

__all__ = ["BLURS", "GradientMaps"]

Tensors = Sequence[Tensor]
BLURS = {"gradient": 3.0, "attribution": 4.0}  # px; 3 is the paper's


class GradientMaps:
    """Draws the maps above for one fitted model.

    Args:
        model: a fitted model.
        normal_images: training images; "attribution" compares with their maps.
        n_images: so many of them are taken, evenly chosen.

    Attributes:
        powers: mean p-th powers of the normal images' maps, S tensors (T, C, h_s, w_s) float16.
    """

    methods = tuple(BLURS)

    def __init__(
        self, model: DifferNet, normal_images: Sequence[ImageLike], n_images: int = 20
    ) -> None:
        check_is_fitted(model)
        self.model = model
        self.p = model.extractor.pooling
        chosen = evenly(len(normal_images), min(n_images, len(normal_images)))
        self.powers = self._powers([normal_images[i] for i in chosen])

    def anomaly_map(
        self,
        image: ImageLike,
        *,
        method: str = "gradient",
        sigma: float | None = None,
        n_angles: int | None = None,
        scale: int | None = None,
    ) -> np.ndarray:
        """A map (size, size) float32, at least 0, comparable between images of one model.

        Args:
            image: a path, an array or a Pillow image.
            method: "gradient" or "attribution".
            sigma: deviation of a Gaussian blur, pixels; None takes the method's, see `BLURS`.
            n_angles: number of the model's views that are used, evenly chosen; None uses all.
            scale: position of the one scale that is taken; None takes all.
        """
        scales = self.layers(image, [method], n_angles=n_angles)[method]
        layers = scales.sum(0) if scale is None else scales[scale]
        if method != "gradient":
            layers = layers.mean(0, keepdim=True)
        blurred = _blur(layers, BLURS[method] if sigma is None else sigma)
        drawn = blurred.abs().mean((0, 1)) if method == "gradient" else blurred[0, 0].clamp_min(0)
        return drawn.cpu().numpy()

    def layers(
        self, image: ImageLike, methods: Sequence[str], n_angles: int | None = None, side: int = 0
    ) -> dict[str, Tensor]:
        """What scales and views add to each map, signed, turned back to the image's pose.

        (S, T, 1, side, side), of "gradient" (S, T, 3, side, side); `side` in pixels, the input's if
        0. Not blurred. Both methods together cost little more than the gradient.
        """
        n_views = len(self.model.angles_)
        chosen = evenly(n_views, n_views if n_angles is None else n_angles)
        views = self.views(image, chosen).requires_grad_("gradient" in methods)
        side = side or views.shape[-1]
        with torch.set_grad_enabled("gradient" in methods):
            maps = self.model.extractor.feature_maps(views)
        gradient = self.model.scorer.gradient(self.model.extractor.pool(maps)[None])[0]
        transformations = self.model.settings.transformations
        ways, fill = transformations.views(self.model.angles_), transformations.fill
        turned = {}
        for method in methods:
            if one_of("method", method, self.methods) == "gradient":
                parts = self._at_pixels(views, maps, gradient)
                scales = [F.adaptive_avg_pool2d(part, side) for part in parts]
            else:
                terms = self.terms([scale.detach() for scale in maps], gradient, chosen)
                scales = [F.interpolate(t[:, None], (side, side), mode="bilinear") for t in terms]
            layers = torch.stack(scales, 1)  # (T, S, C, side, side)
            back = [turn_back(x, ways[k], fill=fill) for x, k in zip(layers, chosen, strict=True)]
            turned[method] = torch.stack(back, 1)
        return turned

    def views(self, image: ImageLike, chosen: Sequence[int]) -> Tensor:
        """The views (T, 3, size, size) in [0, 1] of an image at some positions of `angles_`."""
        pixels = decode(image, self.model.settings.size, white=self.model.white_)
        x = pixels[None].to(self.model.extractor.device).float() / 255
        transformations = self.model.settings.transformations
        views = dict(iter_views(x, self.model.angles_, transformations, only=chosen))
        return torch.cat([views[k] for k in chosen])

    def terms(self, maps: Tensors, gradient: Tensor, chosen: Sequence[int]) -> list[Tensor]:
        """What each position of the trunk's maps adds to the score, (T, h_s, w_s) for each scale.

        `maps` (T, C, h_s, w_s) and `gradient` (T, D) are of the views at the angles `chosen`.
        """
        return [part.sum(1) for part in self.channel_terms(maps, gradient, chosen)]

    def channel_terms(self, maps: Tensors, gradient: Tensor, chosen: Sequence[int]) -> list[Tensor]:
        """`terms` before the sum over channels, (T, C, h_s, w_s) for each scale."""
        terms = []
        parts = gradient.chunk(len(maps), dim=1)
        for mean, scale, g in zip(self.powers, maps, parts, strict=True):
            usual = mean[list(chosen)].to(scale.device).float()
            powers = scale.float().abs().pow(self.p)
            weight = g * _secant(powers.mean((2, 3)), usual.mean((2, 3)), self.p)
            terms.append((powers - usual) * weight[:, :, None, None])
        return terms

    @torch.enable_grad()
    def _at_pixels(self, views: Tensor, maps: Tensors, gradient: Tensor) -> list[Tensor]:
        """The gradient (T, D) at the pixels of each view: S tensors (T, 3, size, size)."""
        return [
            torch.autograd.grad(self.model.extractor.pool([scale]), views, g, retain_graph=True)[0]
            for scale, g in zip(maps, gradient.chunk(len(maps), dim=1), strict=True)
        ]  # one scale at a time: through its own pass of the trunk alone

    @torch.no_grad()
    def _powers(self, images: Sequence[ImageLike]) -> list[Tensor]:
        """Mean powers of normal images' maps; sums in float64 do not heed their order."""
        sums = [torch.zeros((), dtype=torch.float64)] * self.model.settings.n_scales
        for image in images:
            views = self.views(image, range(len(self.model.angles_)))
            for s, scale in enumerate(self.model.extractor.feature_maps(views)):
                sums[s] = sums[s] + scale.float().cpu().double().abs().pow(self.p)
        return [(total / len(images)).half() for total in sums]


def _secant(power: Tensor, usual: Tensor, p: float) -> Tensor:
    """(y - y') / (y^p - y'^p) of y^p and y'^p, the slope where they are alike."""
    first, second = power.clamp_min(SMALLEST**p), usual.clamp_min(SMALLEST**p)
    difference = first - second
    alike = difference.abs() <= 1e-4 * first
    change = first.pow(1 / p) - second.pow(1 / p)
    return torch.where(alike, first.pow(1 / p - 1) / p, change / difference.where(~alike, 1.0))


def _blur(layers: Tensor, sigma: float) -> Tensor:
    if sigma <= 0:
        return layers
    radius = min(int(4 * sigma + 0.5), layers.shape[-1] // 2 - 1)
    return gaussian_blur(layers, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
