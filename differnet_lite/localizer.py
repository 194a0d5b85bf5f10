r"""Where in the image the score comes from.

Four maps. The default, *distance*, measures each place against what normal images show there, and
has a level: see `localization.distance`. The others come from the gradient g = d tau / d y of the
score with respect to the pooled features:

*attribution*. Features are means over the positions p of the trunk's maps,
y = mean_p F(p), so to first order the score splits into one term for each position,

.. math::
    \tau(y) - \tau(\bar y) \approx g \cdot (y - \bar y)
    = \operatorname{mean}_p \, g \cdot (F(p) - \bar F(p)) ,

where \bar F are the mean maps of normal images. Each term is drawn where it arose. One pass through
the trunk for each rotation, none back.

*deviation*. The flow says which channels count, the normal images say how far each of them strays
at each position:

.. math::
    \sum_c w_c \frac{(F_c(p) - \bar F_c(p))^2}{\sigma_c^2(p) + 0.1\, \bar\sigma_c^2 + 10^{-3}} ,
    \qquad w_c \propto |g_c| \, \bar\sigma_c

with the variance \sigma^2 over normal images and its mean \bar\sigma^2 over positions; the weights
of a scale sum to 1. It is no share of the score, but it keeps what cancels in the pooled mean, and
so finds defects in parts that always lie alike where attribution does not. The formula was chosen
among six by the built-in categories' masks; MVTec's bottle was in the same runs, so its figures are
not those of an unseen category.

*gradient* (the paper). The gradient is carried on through the trunk to the pixels, blurred, and its
absolute value averaged. The paper calls it "not optimised"; notebook 07 shows it beside ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from differnet_lite.oldchecks import one_of, real
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.maps import SIGMA, PlaceStatistics, distance_maps, evenly
from differnet_lite.scoring import Scorer
from differnet_lite.transforms import Transformations, iter_views, turn_back

__all__ = ["BLURS", "METHODS", "Localizer"]

BLURS = {"attribution": 4.0, "deviation": 4.0, "distance": SIGMA, "gradient": 3.0}  # px; 3: paper
METHODS = tuple(BLURS)
SPATIAL_SHARE = 0.1  # of the mean variance, added to each place's own: few images know it badly
VARIANCE_FLOOR = 1e-3  # of a channel that hardly ever fires


@dataclasses.dataclass(frozen=True)
class Localizer:
    """The one way from an image to its map: what a fitted model knows of scores and of normal maps.

    Args:
        extractor: the trunk.
        scorer: the flow and its score.
        transformations: give the fill and the interpolation.
        angles: the model's T angles, degrees.
        means, deviations: of normal images' maps, see `reference_maps`; "attribution" and
            "deviation" need them.
        places: see `place_statistics`; "distance" needs them.
    """

    extractor: MultiScaleExtractor
    scorer: Scorer
    transformations: Transformations
    angles: tuple[float, ...]
    means: Sequence[Tensor] = ()
    deviations: Sequence[Tensor] = ()
    places: PlaceStatistics | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that this model has maps by, the default first."""
        found = ("attribution", "deviation") if len(self.means) and len(self.deviations) else ()
        return (*(("distance",) if self.places is not None else ()), *found, "gradient")

    def anomaly_map(
        self,
        image: Tensor,
        *,
        method: str | None = None,
        sigma: float | None = None,
        n_angles: int | None = None,
    ) -> np.ndarray:
        """A map (size, size) float32, at least 0, comparable between images of one model.

        Args:
            image: (3, size, size) uint8.
            method: "attribution", "deviation", "distance" or "gradient", see above; None takes the
                first that the model has.
            sigma: deviation of a Gaussian blur, pixels; None takes the method's own, `BLURS`.
            n_angles: use only so many of the angles, evenly chosen; None uses all. "distance"
                looks at the image as it lies and has no use for it.

        Raises:
            ValueError: the method is unknown, has no reference, or `n_angles` is out of range.
        """
        method = self._method(method)
        blur = BLURS[method] if sigma is None else real(0)("sigma", sigma)
        if method == "distance":
            assert self.places is not None
            return distance_maps(self.extractor, self.places, image[None], sigma=blur)[0]
        chosen = evenly(len(self.angles), len(self.angles) if n_angles is None else n_angles)
        views = self.views(image, chosen)
        with torch.no_grad():
            maps = self.extractor.feature_maps(views)
            gradient = self.scorer.gradient(self.extractor.pool(maps)[None])[0]  # (T, D)
        if method == "gradient":
            drawn = self.pixel_gradient(views, gradient)  # (T, 3, size, size)
        else:
            terms = self.terms(method, maps, gradient, chosen)
            enlarged = [_enlarged(scale, image.shape[-1]) for scale in terms]
            drawn = torch.stack(enlarged).sum(0)  # (T, 1, size, size)
        turned = torch.cat(
            [self.turned_back(one[None], k) for one, k in zip(drawn, chosen, strict=True)]
        )
        if method == "gradient":
            return _blur(turned, blur).abs().mean((0, 1)).cpu().numpy()
        return _blur(turned.mean(0, keepdim=True), blur).clamp_min(0)[0, 0].cpu().numpy()

    def views(self, image: Tensor, chosen: Sequence[int]) -> Tensor:
        """The views (T, 3, size, size) in [0, 1] at some angles, of (3, size, size) uint8."""
        x = image[None].to(self.extractor.device).float() / 255
        found = dict(iter_views(x, self.angles, self.transformations, only=set(chosen)))
        return torch.cat([found[k] for k in chosen])

    def terms(
        self, method: str, maps: Sequence[Tensor], gradient: Tensor, chosen: Sequence[int]
    ) -> list[Tensor]:
        """What each place of the trunk's maps adds, (T, h_s, w_s) for each scale.

        Args:
            method: "attribution" or "deviation".
            maps: S tensors (T, C, h_s, w_s) of views at the chosen angles.
            gradient: (T, D), d tau / d y of these views.
            chosen: positions of their angles.
        """
        found = []
        for s, (here, g) in enumerate(zip(maps, gradient.chunk(len(maps), dim=1), strict=True)):
            change = here.float() - self.means[s][list(chosen)].to(here.device).float()
            if method == "attribution":
                found.append(torch.einsum("tchw,tc->thw", change, g))
                continue
            variance = self.deviations[s][list(chosen)].to(here.device).float().square()
            mean = variance.mean((2, 3), keepdim=True)  # (T, C, 1, 1)
            weight = g.abs() * mean[..., 0, 0].sqrt()
            weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
            squares = change.square() / (variance + SPATIAL_SHARE * mean + VARIANCE_FLOOR)
            found.append(torch.einsum("tchw,tc->thw", squares, weight))
        return found

    def pixel_gradient(self, views: Tensor, gradient: Tensor) -> Tensor:
        """The gradient (T, D) carried back to the pixels of each view, (T, 3, size, size)."""
        with torch.enable_grad():
            pixels = views.detach().clone().requires_grad_(True)
            total = (self.extractor(pixels) * gradient).sum()
        return torch.autograd.grad(total, pixels)[0]

    def turned_back(self, maps: Tensor, k: int) -> Tensor:
        """Maps (N, C, H, H) of the view at angle k, in the pose of the image."""
        view = self.transformations.views(self.angles)[k]
        return turn_back(maps, view, fill=self.transformations.fill)

    def _method(self, method: str | None) -> str:
        method = self.methods[0] if method is None else one_of(*METHODS)("method", method)
        if method not in self.methods:
            raise ValueError(
                f"method={method!r} needs reference maps of normal images, and this model has "
                f"none; fit with reference_images > 0, or use one of {', '.join(self.methods)}"
            )
        return method


def _enlarged(terms: Tensor, size: int) -> Tensor:
    """(T, h, w) to (T, 1, size, size)."""
    return F.interpolate(terms[:, None], size=(size, size), mode="bilinear", align_corners=False)


def _blur(maps: Tensor, sigma: float) -> Tensor:
    if sigma <= 0:
        return maps
    radius = min(int(4 * sigma + 0.5), maps.shape[-1] // 2 - 1)
    return gaussian_blur(maps, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
