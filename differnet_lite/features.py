"""The feature extractor f_ex: a frozen convolutional trunk at several scales, pooled.

    y = concat_s mean_{u,v} trunk(resize(image, size / 2^s)),   s = 0, ..., S - 1

With AlexNet's 256 channels and S = 3 this gives D = 768 numbers for an image. The trunk is frozen
by `requires_grad_(False)` and `eval()`, never by `no_grad`: localization needs the gradient with
respect to the image to flow through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_lite.oldchecks import checked, one_of
from differnet_lite.transforms import Transformations, iter_resampled, iter_views, jitter, rotate
from differnet_lite.trunk import DTYPE, fast_dtype, load_trunk, resolve_device

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "MultiScaleExtractor", "check_geometry"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MultiScaleExtractor(nn.Module):
    """Pooled features of a frozen trunk at S scales (DifferNet, section 3.1).

    Args:
        backbone: see `load_trunk`.
        weights: see `load_trunk`.
        size: side of the input, pixels; 448 in the paper.
        n_scales: number of scales, each half the size of the one before; 3 in the paper.
        downscale: "area" averages 2 x 2 pixels; "nearest" takes every second, as the authors do.
        device: "auto", or a torch device.
        dtype: of the trunk; "auto" takes the fastest harmless one (`fast_dtype`).

    Attributes:
        n_features: D, the length of a feature vector.
        identity: names the trunk, its weights and all settings that features depend on.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", arXiv 2008.12577.

    Example:
        >>> extractor = MultiScaleExtractor(device="cpu", dtype="float32")
        >>> extractor(torch.rand(2, 3, 448, 448)).shape
        torch.Size([2, 768])
    """

    mean: Tensor
    std: Tensor

    @checked(downscale=one_of("area", "nearest"), dtype=DTYPE)
    def __init__(
        self,
        *,
        backbone: str = "alexnet",
        weights: str | Path = "bundled",
        size: int = 448,
        n_scales: int = 3,
        downscale: str = "area",
        device: str | torch.device = "auto",
        dtype: str = "auto",
    ) -> None:
        super().__init__()
        check_geometry(size, n_scales)
        self.size, self.n_scales, self.downscale = size, n_scales, downscale
        self.device = resolve_device(device)
        self.dtype: torch.dtype = (
            fast_dtype(self.device) if dtype == "auto" else getattr(torch, dtype)
        )
        trunk = load_trunk(backbone, weights)
        checksum = hashlib.sha256()
        for name, tensor in trunk.state_dict().items():
            checksum.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        self.identity = "/".join(
            [backbone, checksum.hexdigest()[:16], f"{size}px", f"{n_scales}scales", downscale]
            + [str(self.dtype).removeprefix("torch.")]
        )
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
        """The trunk's maps of every rotated view, without jitter.

        Quarter turns of one view share its resampling, normalisation and scaling: a turn that
        only moves pixels may come last. (Not so for "nearest", which then picks other pixels.)

        Args:
            images: (N, 3, size, size) in [0, 1].
            angles: T angles in degrees.
            transformations: gives the fill and the interpolation.

        Yields:
            The position of an angle in `angles` and its maps; every position once, in any order.
        """
        if self.downscale == "nearest":
            for t, view in iter_views(images, angles, transformations):
                yield t, self.feature_maps(view)
            return
        for resampled, views in iter_resampled(images, angles, transformations):
            levels = self.pyramid(resampled)
            for t, turns in views:
                turned = [torch.rot90(x, turns, (2, 3)) for x in levels] if turns else levels
                yield (
                    t,
                    [self.trunk(x.contiguous(memory_format=torch.channels_last)) for x in turned],
                )

    def forward(self, images: Tensor) -> Tensor:
        """Features y, (N, D) float32, of images (N, 3, size, size) in [0, 1]; differentiable."""
        return self.pool(self.feature_maps(images))

    @staticmethod
    def pool(maps: Sequence[Tensor]) -> Tensor:
        """Global average pool of each scale's maps, concatenated: (N, D) float32."""
        return torch.cat([scale.mean((2, 3), dtype=torch.float32) for scale in maps], dim=1)

    @torch.inference_mode()
    def views(
        self,
        images: Tensor,
        angles: Sequence[float] | Tensor,
        transformations: Transformations,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Features of every transformed view of every image.

        Args:
            images: (N, 3, size, size) uint8.
            angles: T angles in degrees for all, or a tensor (N, T) with angles of each image's own.
            transformations: how corners are filled and pixels interpolated, and the jitter.
            generator: a CPU generator for the jitter; needed only if the transformations jitter.

        Returns:
            (N, T, D) float32, on the CPU.
        """
        t, x = transformations, images.to(self.device).float() / 255
        if t.jitters and generator is None:
            raise ValueError("the transformations jitter: pass a torch.Generator")
        own = angles.T if isinstance(angles, Tensor) and angles.ndim == 2 else None  # (T, N)
        turns: list[Any] = [float(a) for a in angles] if own is None else list(own)
        features = x.new_empty(len(x), len(turns), self.n_features)  # float32
        if own is None and not t.jitters:
            for k, maps in self.iter_view_maps(x, turns, t):
                features[:, k] = self.pool(maps)
            return features.cpu()  # once: a copy for each view would wait for the device each time
        views: Any = iter_views(x, turns, t)
        if own is not None:
            how: Any = {"fill": t.fill, "interpolation": t.interpolation}
            views = enumerate(rotate(x, a, **how) for a in turns)
        for k, view in views:
            features[:, k] = self(view if generator is None else jitter(view, t, generator))
        return features.cpu()


def check_geometry(size: int, n_scales: int) -> None:
    """Refuse an input size that does not halve evenly, or whose smallest scale is too small."""
    smallest, halvings = 63, n_scales - 1  # pixels, of AlexNet's input
    if halvings < 0 or size % 2**halvings or size // 2**halvings < smallest:
        raise ValueError(
            f"size and n_scales: expected a size that halves {halvings} times and stays at "
            f"{smallest} px or more (AlexNet's smallest input), got {size} px and {n_scales} scales"
        )
