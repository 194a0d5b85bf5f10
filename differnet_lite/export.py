"""A fitted model as one torch module or ONNX file, for programs that cannot import this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.maps import PlaceStatistics, distance_map
from differnet_lite.scoring import Scorer

if TYPE_CHECKING:
    from differnet_lite.detector import DifferNet

__all__ = ["ScoringModule", "export_onnx"]


class ScoringModule(nn.Module):
    """A fitted model with nothing left to choose: images to scores and maps, in float32.

    Args:
        model: a fitted model; its transformations have a fixed grid of angles and no jitter.
    """

    def __init__(self, model: DifferNet) -> None:
        super().__init__()
        settings = model.settings
        trunk = {name: x.cpu().float() for name, x in model.extractor.trunk.state_dict().items()}
        self.extractor = MultiScaleExtractor(
            backbone=settings.backbone,
            weights=trunk,
            size=settings.size,
            n_scales=settings.n_scales,
            downscale=settings.downscale,
            device="cpu",
            dtype="float32",
        )
        self.flows = nn.ModuleList(model.flows_)
        self.scorer: Scorer = model.scorer
        self.places: PlaceStatistics | None = model.places_
        self.transformations = settings.transformations
        self.angles = model.angles_

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) and maps (N, size, size) of images (N, 3, H, W).

        Args:
            images: RGB, uint8 or float in [0, 1]; another size than the model's is resized.
        """
        x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        side = self.extractor.size
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
        views = [torch.zeros(())] * len(self.angles)
        for t, maps in self.extractor.iter_view_maps(x, self.angles, self.transformations):
            views[t] = self.extractor.pool(maps)
        rows = self.scorer.rows(torch.stack(views, dim=1))  # (N, T or 1, D)
        scores = self.scorer.score_rows(rows.flatten(0, 1)).view(rows.shape[:2]).mean(1)
        if self.places is None:
            return scores, x.new_zeros(len(x), side, side)
        return scores, distance_map(self.extractor, self.places, x)


def export_onnx(model: DifferNet, path: str | os.PathLike[str]) -> Path:
    """Write a fitted model as an ONNX file: "images" (N, 3, size, size) uint8 in, scores and maps.

    Raises:
        ImportError: onnx or onnxscript is not installed; they come with the extra `export`.
    """
    module = ScoringModule(model).eval()
    size = module.extractor.size
    example = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        input_names=["images"],
        output_names=["scores", "maps"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing; update torch")
    program.save(os.fspath(path))
    return Path(path)
