"""DifferNet in one file: photographs of good parts in, anomaly scores of new photographs out.

    python -m differnet_course.one_file GOOD_PARTS NEW_PHOTOGRAPHS

The method of Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet", WACV 2021, arXiv 2008.12577, in
its order. Numbers and scores are those of the package's default with one flow, on a CPU; what is
marked "ours" is not the paper's. Thresholds, maps and the checks of what is passed are left out.
Axes: N images, M rows, T views, D features, H height and width in pixels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from FrEIA.framework import SequenceINN
from FrEIA.modules import GLOWCouplingBlock, PermuteRandom
from torch import Tensor, nn
from torchvision.datasets.folder import pil_loader
from torchvision.transforms.functional import pil_to_tensor, resize

__all__ = ["DifferNet", "read_images"]

WEIGHTS = Path(__file__).parents[1] / "differnet_lite" / "weights" / "alexnet_features.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue
T = 16  # views; the paper: 4 at random in training, 64 in testing
BLOCKS, HIDDEN, CLAMP = 8, 128, 3.0  # the paper: width 2048
NOISE = 0.02  # deviation, in units of the features; ours
BATCH, DRAWS, LEARNING_RATE = 24, 4, 4e-4


# 1. Images and their transformations: rotations, and small zooms and shifts (ours)
def read_images(folder: str | Path, size: int = 448) -> Tensor:
    """The images of a folder as (N, 3, size, size) uint8, in the order of their names."""
    images = [resize(pil_loader(path), [size, size]) for path in sorted(Path(folder).iterdir())]
    return torch.stack([pil_to_tensor(image) for image in images])  # (N, 3, H, H)


def resample(images: Tensor, degrees: float, zoom: float, right: float, down: float) -> Tensor:
    """Rotate, zoom and shift images (N, 3, H, H); the corners show the image, mirrored (ours)."""
    angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    matrix = torch.tensor([[[cos, -sin, -2 * right], [sin, cos, -2 * down]]])  # (1, 2, 3)
    grid = F.affine_grid(matrix.to(images), [1, *images.shape[1:]], align_corners=False)
    grid = grid.expand(len(images), -1, -1, -1)  # (N, H, H, 2): where each pixel comes from
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def below_90_degrees(images: Tensor) -> list[Tensor]:
    """Images (N, 3, H, H) as they are, and rotated by 22.5, 45 and 67.5 degrees: 4 (N, 3, H, H)."""
    rotated = [images]
    for degrees, k in ((22.5, 2), (45.0, 1), (67.5, 3)):  # fractions below: spread evenly
        zoom = 1 - 0.1 * (k * 0.6180339887 % 1)
        right = (1 - 2 * ((0.5 + k * 0.7548776662) % 1)) / 28
        down = (1 - 2 * ((0.5 + k * 0.5698402910) % 1)) / 28
        rotated.append(resample(images, degrees, zoom, right, down))
    return rotated


# 2. Features y = f_ex(T(x)): AlexNet at three scales, root mean square over places (paper: mean)
def alexnet() -> nn.Module:
    """AlexNet's convolutions, trained on ImageNet: (N, 3, 448, 448) to (N, 256, 13, 13)."""
    content = WEIGHTS.read_bytes()  # the length of a header, the header in JSON, the numbers
    start = 8 + int.from_bytes(content[:8], "little")
    weights = {}
    for name, entry in json.loads(content[8:start]).items():
        first, last = entry["data_offsets"]
        numbers = np.frombuffer(content[start + first : start + last], dtype=np.float32)
        weights[name] = torch.tensor(numbers).view(entry["shape"])
    trunk = torchvision.models.alexnet().features
    trunk.load_state_dict(weights)
    return trunk.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def features(trunk: nn.Module, images: Tensor) -> Tensor:
    """Features (N, T, D) of every view of images (N, 3, H, H) uint8."""
    if len(images) > 16:  # batches, to save memory
        return torch.cat([features(trunk, batch) for batch in images.split(16)])
    y = torch.empty(len(images), T, 3, 256)  # scales, and channels of each
    for r, rotated in enumerate(below_90_degrees(images / 255)):
        large = (rotated - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        middle = F.avg_pool2d(large, 2)  # (N, 3, H, H) to (N, 3, H / 2, H / 2)
        small = F.avg_pool2d(middle, 2)  # (N, 3, H / 4, H / 4)
        for turns in range(4):  # each by 0, 90, 180 and 270 degrees more: T = 4 x 4
            for scale, level in enumerate((large, middle, small)):
                view = torch.rot90(level, turns, (2, 3))
                maps = trunk(view.contiguous(memory_format=torch.channels_last))  # (N, 256, u, u)
                y[:, 4 * turns + r, scale] = maps.square().mean((2, 3)).clamp_min(1e-12).sqrt()
    return y.flatten(2)  # (N, T, 3, 256) to (N, T, D): D = 768


# 3. The flow z = f(y): coupling blocks, behind a whitening (ours)
def whitening(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and symmetric matrix (D, D) that whiten y + noise, of features y (M, D)."""
    y = y.double()
    centred = y - y.mean(0)  # (M, D)
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(y))  # (D,), (D, D)
    matrix = axes / (variances.clamp_min(0) + NOISE**2).sqrt() @ axes.T  # (D, D)
    return y.mean(0).float(), matrix.float()


def subnet(n_in: int, n_out: int) -> nn.Module:
    """Rows (M, n_in) to log-scales and translations, side by side (M, n_out); 0 at first (ours)."""
    last = nn.Linear(HIDDEN, n_out)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    layers: list[nn.Module] = []
    for width in (n_in, HIDDEN, HIDDEN):
        layers += [nn.Linear(width, HIDDEN), nn.ReLU()]
    return nn.Sequential(*layers, last)


def clamped(h: Tensor) -> Tensor:
    """The soft clamp of log-scales h to -1 ... 1, which FrEIA multiplies by CLAMP; any shape."""
    return 2 / torch.pi * torch.atan(h / CLAMP)


class Flow(nn.Module):
    """Features (M, D) to latents z (M, D) and log |det dz/dy| (M,)."""

    def __init__(self, mean: Tensor, matrix: Tensor, seed: int) -> None:
        super().__init__()
        self.mean = mean  # (D,)
        self.matrix = matrix  # (D, D)
        self.chain = SequenceINN(len(mean))
        torch.manual_seed(seed)  # of the weights; PermuteRandom seeds NumPy's generator as well
        for k in range(BLOCKS):
            self.chain.append(PermuteRandom, seed=k)
            self.chain.append(
                GLOWCouplingBlock, subnet_constructor=subnet, clamp=CLAMP, clamp_activation=clamped
            )

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        white = ((y - self.mean).double() @ self.matrix.double()).float()  # (M, D)
        z, log_det = self.chain(white)  # (M, D), (M,)
        return z, log_det + torch.slogdet(self.matrix).logabsdet


# 4. Maximum likelihood: log p(y) = log p(z) + log |det dz/dy|, with z standard normal
def loss(z: Tensor, log_det: Tensor) -> Tensor:
    """-log p(y) / D without its constant: a scalar, of z (M, D) and log_det (M,)."""
    return (0.5 * z.square().sum(1) - log_det).mean() / z.shape[1]


def draw(y: Tensor, generator: torch.Generator) -> Tensor:
    """Four means over random halves of the views of each image: (N, T, D) to (N, 4, D); ours."""
    ranks = torch.rand(len(y), DRAWS, T, generator=generator).argsort(2)  # (N, 4, T)
    halves = torch.zeros(ranks.shape).scatter_(2, ranks[..., : T // 2], 2 / T)  # (N, 4, T)
    return halves @ y  # (N, 4, D)


def train(y: Tensor, epochs: int, seed: int) -> Flow:
    """A flow trained on the features (N, T, D) of images of good parts."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.cat([draw(y, generator) for _ in range(4)], dim=1)  # (N, 16, D)
    flow = Flow(*whitening(rows.flatten(0, 1)), seed)  # of (16 N, D)
    weights = [p for p in flow.parameters() if p.requires_grad]
    adam = torch.optim.Adam(weights, LEARNING_RATE, (0.8, 0.8), 1e-8, weight_decay=1e-5, fused=True)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=generator).split(BATCH):  # (B,)
            rows = draw(y[batch], generator).flatten(0, 1)  # (B, T, D) to (4 B, D)
            noisy = rows + NOISE * torch.randn(rows.shape, generator=generator)
            adam.zero_grad()
            loss(*flow(noisy)).backward()
            adam.step()
    return flow


# 5. The score tau(x): the mean of z^2; and all of it together
class DifferNet:
    """`fit` on photographs of good parts; a higher score is less like them."""

    def __init__(self, epochs: int = 32, seed: int = 0) -> None:
        self.trunk = alexnet()
        self.epochs = epochs
        self.seed = seed

    def fit(self, images: Tensor) -> DifferNet:
        """Train on images (N, 3, H, H) uint8 of good parts."""
        self.flow = train(features(self.trunk, images), self.epochs, self.seed)
        return self

    @torch.no_grad()
    def scores(self, images: Tensor) -> np.ndarray:
        """Scores (N,) of images (N, 3, H, H) uint8; as in the paper without log |det dz/dy|."""
        y = features(self.trunk, images).mean(1)  # (N, T, D) to (N, D): the mean view; ours
        z, _ = self.flow(y)  # (N, D)
        scores = z.square().mean(1)  # (N,)
        return torch.where(scores <= 300, scores, 300 + 300 * (scores / 300).log()).numpy()  # ours


if __name__ == "__main__":
    scores = DifferNet().fit(read_images(sys.argv[1])).scores(read_images(sys.argv[2]))
    for path, score in zip(sorted(Path(sys.argv[2]).iterdir()), scores, strict=True):
        print(f"{score:10.4g}  {path.name}")
