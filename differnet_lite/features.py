"""The feature extractor f_ex: a frozen convolutional trunk at several scales, pooled.

    y = concat_s mean_{u,v} trunk(resize(image, size / 2^s)),   s = 0, ..., S - 1

With AlexNet's 256 channels and S = 3 this gives D = 768 numbers for an image. The trunk is frozen
by `requires_grad_(False)` and `eval()`, never by `no_grad`: localization needs the gradient with
respect to the image to flow through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from differnet_lite.transforms import Transformations, iter_resampled, iter_views, jitter, rotate

__all__ = ["MultiScaleExtractor", "load_trunk", "resolve_device"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "alexnet_features.safetensors"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

OnMaps = Callable[[int, list[Tensor]], None]


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on: "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        RuntimeError: a device was named that this machine does not have.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    chosen = torch.device(device)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(chosen.type, True):
        raise RuntimeError(
            f"device {device!r} was asked for, but this machine has none; use device='auto' or 'cpu'"
        )
    return chosen


def fast_dtype(device: torch.device) -> torch.dtype:
    """The fastest dtype for the trunk whose error is harmless: bfloat16 where the hardware multiplies it, else float32.

    bfloat16 changes the pooled features by about 0.6 % (relative Euclidean error), and no AUROC that we measured.
    """
    if device.type == "cuda":
        return (
            torch.bfloat16
            if torch.cuda.is_bf16_supported(including_emulation=False)
            else torch.float16
        )
    if device.type == "cpu":
        # Private in torch 2.6 to 2.15, so asked for with care; without hardware support bfloat16 is slower than float32.
        for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
            if getattr(torch.cpu, probe, lambda: False)():
                return torch.bfloat16
    return torch.float32


def load_trunk(backbone: str = "alexnet", weights: str | Path = "bundled") -> nn.Module:
    """A frozen convolutional trunk in eval mode: (N, 3, H, W) normalised images to (N, C, h, w) maps.

    Args:
        backbone: a torchvision classification model. Its `features` are taken where it has them (AlexNet,
            VGG, MobileNet, EfficientNet...), else everything before the average pool (ResNet...).
        weights: "bundled": the AlexNet file of this package; "torchvision": torchvision's default
            ImageNet weights, which it downloads (233 MB for AlexNet); "random": untrained, for tests;
            or the path of a safetensors file with the state dict of the trunk.

    Raises:
        ValueError: the backbone is unknown, cannot be cut, or has no bundled weights.
        FileNotFoundError: the weights file does not exist.
        RuntimeError: the weights file does not fit the trunk, or torchvision could not download.

    Example:
        >>> load_trunk()(torch.zeros(1, 3, 224, 224)).shape
        torch.Size([1, 256, 6, 6])
    """
    if weights == "bundled" and backbone != "alexnet":
        raise ValueError(
            f"weights='bundled' exist for 'alexnet' alone, got {backbone!r}; use weights='torchvision' or a path"
        )
    if backbone not in torchvision.models.list_models(torchvision.models):
        raise ValueError(
            f"backbone: expected a torchvision classification model, got {backbone!r}; see torchvision.models.list_models()"
        )
    if weights == "torchvision":
        try:
            model = torchvision.models.get_model(backbone, weights="DEFAULT")
        except OSError as error:
            raise RuntimeError(
                f"torchvision could not download the weights of {backbone}: {error}; weights='bundled' need no network"
            ) from error
        return _freeze(_cut(model, backbone))
    if weights == "random":
        return _freeze(_cut(torchvision.models.get_model(backbone, weights=None), backbone))
    with torch.device("meta"):  # skips the 58 million parameters of AlexNet's classifier
        trunk = _cut(torchvision.models.get_model(backbone, weights=None), backbone)
    path = BUNDLED_WEIGHTS if weights == "bundled" else Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such weights file; expected 'bundled', 'torchvision', 'random' or a path"
        )
    try:
        trunk.load_state_dict(load_file(path), assign=True)
    except (RuntimeError, SafetensorError) as error:
        raise RuntimeError(
            f"{path}: the file does not hold the weights of {backbone}'s trunk: {error}"
        ) from error
    return _freeze(trunk)


def _cut(model: nn.Module, backbone: str) -> nn.Module:
    """The convolutional part of a classifier."""
    if isinstance(getattr(model, "features", None), nn.Sequential):
        return model.features  # type: ignore[return-value]
    children = dict(model.named_children())
    if "avgpool" not in children:
        raise ValueError(
            f"backbone {backbone!r} has neither `features` nor an `avgpool` to cut before; choose another"
        )
    names = list(children)
    return nn.Sequential(*[children[name] for name in names[: names.index("avgpool")]])


def _freeze(trunk: nn.Module) -> nn.Module:
    return trunk.requires_grad_(False).eval()


class MultiScaleExtractor(nn.Module):
    """Pooled features of a frozen trunk at S scales (DifferNet, section 3.1).

    Args:
        backbone: see `load_trunk`.
        weights: see `load_trunk`.
        size: side of the input, pixels; 448 in the paper.
        n_scales: number of scales, each half the size of the one before; 3 in the paper.
        downscale: "area" averages 2 x 2 pixels; "nearest" takes every second, as the authors' code does.
        device: "auto", or a torch device.
        dtype: of the trunk; "auto" takes the fastest harmless one (`fast_dtype`).

    Attributes:
        n_features: D, the length of a feature vector.
        identity: names everything that the features depend on, for the feature bank.

    References:
        Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", arXiv 2008.12577.

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
        weights: str | Path = "bundled",
        size: int = 448,
        n_scales: int = 3,
        downscale: str = "area",
        device: str | torch.device = "auto",
        dtype: str = "auto",
    ) -> None:
        super().__init__()
        if n_scales < 1 or size % 2 ** (n_scales - 1) or size // 2 ** (n_scales - 1) < 63:
            raise ValueError(
                f"size and n_scales: expected a size that halves {n_scales - 1} times and stays at 63 px or more "
                f"(AlexNet's smallest input), got {size} px and {n_scales} scales"
            )
        if downscale not in ("area", "nearest"):
            raise ValueError(f"downscale: expected 'area' or 'nearest', got {downscale!r}")
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ValueError(
                f"dtype: expected 'auto', 'float32', 'bfloat16' or 'float16', got {dtype!r}"
            )
        self.size, self.n_scales, self.downscale = size, n_scales, downscale
        self.device = resolve_device(device)
        self.dtype: torch.dtype = (
            fast_dtype(self.device) if dtype == "auto" else getattr(torch, dtype)
        )
        trunk = load_trunk(backbone, weights)
        checksum = hashlib.sha256()
        for name, tensor in trunk.state_dict().items():
            checksum.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        self.identity = f"{backbone}/{checksum.hexdigest()[:16]}/{size}px/{n_scales}scales/{downscale}/{str(self.dtype)[6:]}"
        self.trunk = trunk.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(
                name, torch.tensor(values, device=self.device).view(1, 3, 1, 1), persistent=False
            )
        with torch.inference_mode():
            self.n_channels: int = self.feature_maps(torch.zeros(1, 3, size, size))[-1].shape[1]
        self.n_features = n_scales * self.n_channels

    def train(self, mode: bool = True) -> MultiScaleExtractor:
        """Stay in eval mode, whatever is asked: the batch norm of a frozen trunk must not move."""
        return super().train(False)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Normalised images at each scale, largest first, in the trunk's dtype: S tensors (N, 3, h_s, w_s).

        Args:
            images: (N, 3, size, size) in [0, 1]; normalised here with ImageNet's mean and deviation.

        Raises:
            ValueError: the images have another shape.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, self.size, self.size):
            raise ValueError(
                f"images: expected (N, 3, {self.size}, {self.size}) in [0, 1], got {tuple(images.shape)}"
            )
        levels = [(images.to(self.device) - self.mean) / self.std]
        for s in range(1, self.n_scales):
            nearest = self.downscale == "nearest"
            levels.append(
                F.interpolate(levels[0], size=self.size // 2**s)
                if nearest
                else F.avg_pool2d(levels[-1], 2)
            )
        return [x.to(self.dtype, memory_format=torch.channels_last) for x in levels]

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """The trunk's maps at each scale, largest first: S tensors (N, C, h_s, w_s); see `pyramid`."""
        return [self.trunk(x) for x in self.pyramid(images)]

    def iter_view_maps(
        self, images: Tensor, angles: Sequence[float], transformations: Transformations
    ) -> Iterator[tuple[int, list[Tensor]]]:
        """The trunk's maps of every rotated view, without jitter.

        Views that are quarter turns of each other share one resampling, one normalisation and one scaling: all three
        are done before the quarter turn, which only moves pixels. (Scaling by "nearest" picks other pixels after a turn.)

        Args:
            images: (N, 3, size, size) in [0, 1].
            angles: T angles in degrees.
            transformations: gives the fill and the interpolation.

        Yields:
            The position of an angle in `angles` and its maps; every position once, not in order.
        """
        if self.downscale == "nearest":
            for t, view in iter_views(images, angles, transformations):
                yield t, self.feature_maps(view)
            return
        for resampled, views in iter_resampled(images, angles, transformations):
            levels = self.pyramid(resampled)
            for t, turns in views:
                turned = (
                    [
                        torch.rot90(x, turns, (2, 3)).contiguous(memory_format=torch.channels_last)
                        for x in levels
                    ]
                    if turns
                    else levels
                )
                yield t, [self.trunk(x) for x in turned]

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
        on_maps: OnMaps | None = None,
    ) -> Tensor:
        """Features of every transformed view of every image.

        Args:
            images: (N, 3, size, size) uint8.
            angles: T angles in degrees for all, or a tensor (N, T) with angles of each image's own.
            transformations: how the corners are filled and pixels interpolated, and the jitter.
            generator: draws the jitter; a CPU generator. Needed only if the transformations jitter.
            on_maps: is shown the maps of each view before they are pooled, with its position in `angles`; not
                with jitter or with angles of each image's own.

        Returns:
            (N, T, D) float32, on the CPU.
        """
        t = transformations
        x = images.to(self.device).float() / 255
        if t.jitters and generator is None:
            raise ValueError("the transformations jitter: pass a torch.Generator")
        own = list(angles.T) if isinstance(angles, Tensor) and angles.ndim == 2 else None
        shared = [float(a) for a in angles] if own is None else []
        turns = own or shared  # T: a tensor (N,) or a number
        features = torch.empty(len(x), len(turns), self.n_features)
        if own is None and not t.jitters:
            for k, maps in self.iter_view_maps(x, shared, t):
                features[:, k] = self.pool(maps)
                if on_maps is not None:
                    on_maps(k, maps)
            return features
        for k, angle in enumerate(turns):
            view = rotate(x, angle, fill=t.fill, interpolation=t.interpolation)
            features[:, k] = self(view if generator is None else jitter(view, t, generator))
        return features
