"""The feature extractor f_ex: a frozen convolutional trunk at several scales, pooled.

    y = concat_s (mean_{u,v} |trunk(resize(image, size / 2^s))|^p)^(1/p),   s = 0, ..., S - 1

With AlexNet's 256 channels and S = 3 this gives D = 768 numbers for an image. The paper has p = 1,
the plain mean, with its sign. A higher power counts a strong response at few places for more. The
trunk is frozen by `requires_grad_(False)` and `eval()`, never by `no_grad`: the course's gradient
maps need the gradient with respect to the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_lite.checks import one_of, real
from differnet_lite.resampling import iter_views, jitter, rotate, shared_views
from differnet_lite.transforms import Transformations
from differnet_lite.trunk import fast_dtype, load_trunk, resolve_device, weights_digest

__all__ = ["DTYPES", "IMAGENET_MEAN", "IMAGENET_STD", "MultiScaleExtractor", "check_geometry"]

DTYPES = ("auto", "float32", "bfloat16", "float16")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MOST_POWER = 6.0  # of the pooling; the mean of higher powers is nearly the maximum
SMALLEST = 1e-6  # of a pooled channel: the root has an infinite gradient at 0


class MultiScaleExtractor(nn.Module):
    """Pooled features of a frozen trunk at S scales (DifferNet, section 3.1).

    Args:
        backbone, weights: see `load_trunk`.
        size: side of the input, pixels; 448 in the paper.
        n_scales: number of scales, each half the size of the one before; 3 in the paper.
        downscale: "area" averages 2 x 2 pixels; "nearest" takes every second, as the authors do.
        pooling: power p of the generalised mean over places: 1 the mean, 2 the root mean square.
        device: "auto", or a torch device.
        dtype: of the trunk; "auto" takes the fastest harmless one (`fast_dtype`).

    Attributes:
        n_features: D, the length of a feature vector.
        identity: names the trunk, its weights and all settings that features depend on.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", arXiv 2008.12577.
        Radenovic, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation", arXiv
        1711.02512, section 3.2: the generalised mean ("GeM").

    Example:
        >>> extractor = MultiScaleExtractor(device="cpu", dtype="float32")
        >>> extractor(torch.rand(2, 3, 448, 448)).shape
        torch.Size([2, 768])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        backbone: str = "alexnet",
        weights: str | Path | Mapping[str, Tensor] = "bundled",
        size: int = 448,
        n_scales: int = 3,
        downscale: str = "area",
        pooling: float = 2.0,
        device: str | torch.device = "auto",
        dtype: str = "auto",
    ) -> None:
        super().__init__()
        check_geometry(size, n_scales)
        self.size = size
        self.n_scales = n_scales
        self.downscale = one_of("downscale", downscale, ("area", "nearest"))
        self.pooling = real("pooling", pooling, least=1, most=MOST_POWER)
        self.device = resolve_device(device)
        if one_of("dtype", dtype, DTYPES) == "auto":
            self.dtype = fast_dtype(self.device)
        else:
            self.dtype = getattr(torch, dtype)
        trunk = load_trunk(backbone, weights)
        number_format = str(self.dtype).removeprefix("torch.")
        geometry = [f"{size}px", f"{n_scales}scales", downscale, f"power{self.pooling:g}"]
        self.identity = "/".join([backbone, weights_digest(trunk), *geometry, number_format])
        trunk = trunk.to(self.device, self.dtype)
        self.trunk = trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            tensor = torch.tensor(values, device=self.device).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)
        self.n_channels = self.trunk(torch.zeros(1, 3, 64, 64).to(self.device, self.dtype)).shape[1]
        self.n_features = n_scales * self.n_channels

    def train(self, mode: bool = True) -> MultiScaleExtractor:
        """Stay in eval mode, whatever is asked: the batch norm of a frozen trunk must not move."""
        return super().train(False)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Normalised images at each scale, largest first, in the trunk's dtype: S x (N, 3, h, w).

        Args:
            images: (N, 3, size, size) in [0, 1]; normalised here with ImageNet's mean and std.

        Raises:
            ValueError: the images have another shape.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, self.size, self.size):
            raise ValueError(
                f"images: expected (N, 3, {self.size}, {self.size}) in [0, 1], "
                f"got {tuple(images.shape)}"
            )
        levels = [(images.to(self.device) - self.mean) / self.std]
        for s in range(1, self.n_scales):
            if self.downscale == "nearest":
                levels.append(F.interpolate(levels[0], size=self.size // 2**s))
            else:
                levels.append(F.avg_pool2d(levels[-1], 2))
        return [x.to(self.dtype, memory_format=torch.channels_last) for x in levels]

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The trunk's maps at each scale, largest first: S tensors (N, C, h_s, w_s)."""
        return [self.trunk(x) for x in self.pyramid(images)]

    def iter_view_maps(
        self, images: Tensor, angles: Sequence[float], transformations: Transformations
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """The trunk's maps of every view, without jitter.

        Quarter turns of one view share its resampling, normalisation and scaling: a turn that
        only moves pixels may come last. (Not so for "nearest", which then picks other pixels.)

        Args:
            images: (N, 3, size, size) in [0, 1].
            angles: T angles in degrees.

        Yields:
            The position of an angle in `angles` and its maps; every position once, in any order.
        """
        if self.downscale == "nearest":
            for t, view in iter_views(images, angles, transformations):
                yield t, self.feature_maps(view)
            return
        for resampled, views in shared_views(images, angles, transformations):
            levels = self.pyramid(resampled)
            for t, turns in views:
                turned = [torch.rot90(x, turns, (2, 3)) if turns else x for x in levels]
                yield (
                    t,
                    [self.trunk(x.contiguous(memory_format=torch.channels_last)) for x in turned],
                )

    def forward(self, images: Tensor) -> Tensor:
        """Features y, (N, D) float32, of images (N, 3, size, size) in [0, 1]; differentiable."""
        return self.pool(self.feature_maps(images))

    def pool(self, maps: Sequence[Tensor]) -> Tensor:
        """The generalised mean of each scale's maps over places, concatenated: (N, D) float32."""
        if self.pooling == 1:
            return torch.cat([scale.mean((2, 3), dtype=torch.float32) for scale in maps], dim=1)
        powers = [scale.float().abs().pow(self.pooling).mean((2, 3)) for scale in maps]
        return torch.cat(powers, dim=1).clamp_min(SMALLEST**self.pooling).pow(1 / self.pooling)

    @torch.inference_mode()
    def views(
        self,
        images: Tensor,
        angles: Sequence[float],
        transformations: Transformations,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Features of every view, (N, T, D) float32 on the CPU.

        Args:
            images: (N, 3, size, size) uint8.
            angles: T angles in degrees, the same for all images.
            transformations: how views are made.
            generator: a CPU generator for the jitter; needed only if the transformations jitter.
        """
        x = images.to(self.device).float() / 255
        features = x.new_empty(len(x), len(angles), self.n_features)
        if transformations.jitters:
            for t, view in iter_views(x, angles, transformations):
                features[:, t] = self(jitter(view, transformations, generator))
        else:
            for t, maps in self.iter_view_maps(x, angles, transformations):
                features[:, t] = self.pool(maps)
        return features.cpu()  # once: a copy for each view would wait for the device each time

    @torch.inference_mode()
    def random_views(
        self,
        images: Tensor,
        angles: Tensor,
        transformations: Transformations,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Features of views at angles of each image, (N, T, D), as `views`; angles: (N, T)."""
        x = images.to(self.device).float() / 255
        features = []
        for column in angles.T:
            view = rotate(
                x,
                column,
                fill=transformations.fill,
                interpolation=transformations.interpolation,
            )
            features.append(self(jitter(view, transformations, generator)))
        return torch.stack(features, dim=1).cpu()


def check_geometry(size: int, n_scales: int) -> None:
    """Refuse an input size that does not halve evenly, or whose smallest scale is too small."""
    smallest = 63  # pixels, of AlexNet's input
    halvings = n_scales - 1
    if halvings < 0 or size % 2**halvings or size // 2**halvings < smallest:
        raise ValueError(
            f"size and n_scales: expected a size that halves {halvings} times and stays at "
            f"{smallest} px or more (AlexNet's smallest input), got {size} px and {n_scales} scales"
        )
