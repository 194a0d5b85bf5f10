"""What the trunk's maps of normal images look like: their mean and deviation at every place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from differnet_lite.oldchecks import checked, real, reals
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import ImageLike, iter_decoded
from differnet_lite.transforms import Transformations

__all__ = ["Reference", "reference_maps"]

Reference = tuple[list[Tensor], list[Tensor]]


@torch.inference_mode()
@checked(angles=reals(real()))
def reference_maps(
    extractor: MultiScaleExtractor,
    images: Sequence[ImageLike],
    *,
    angles: Sequence[float],
    transformations: Transformations,
) -> Reference:
    """Mean and standard deviation of the trunk's maps over normal images.

    Sums are float64, so that the result does not depend on the order of the images. It is a pass
    of its own through the trunk: 32 images at 16 angles take 5 to 10 seconds on two cores.

    Args:
        extractor: the trunk.
        images: normal training images; 32 are enough, none gives an empty reference.
        angles: T angles in degrees.
        transformations: give the fill and the interpolation.

    Returns:
        Means and deviations: S tensors (T, C, h_s, w_s) each, float16, on the CPU.
    """
    sums: list[list[Tensor]] = [[] for _ in angles]  # of the maps, scale by scale, and of squares
    for batch in iter_decoded(images, size=extractor.size, batch=8):
        x = batch.to(extractor.device).float() / 255
        for k, maps in extractor.iter_view_maps(x, angles, transformations):
            exact = [scale.float().cpu().double() for scale in maps]
            new = [m.sum(0) for m in exact] + [m.square().sum(0) for m in exact]
            sums[k] = [a + b for a, b in zip(sums[k], new, strict=True)] if sums[k] else new
    both = [torch.stack(list(scale)) / len(images) for scale in zip(*sums, strict=True)]
    means, squares = both[: len(both) // 2], both[len(both) // 2 :]
    variances = [(q - m.square()).clamp_min(0) for m, q in zip(means, squares, strict=True)]
    return [m.half() for m in means], [v.sqrt().half() for v in variances]
