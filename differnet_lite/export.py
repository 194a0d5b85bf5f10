"""A fitted model as one torch module or ONNX file, for programs that cannot import this package."""

from __future__ import annotations

import copy
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.files import replacing
from differnet_lite.maps import PlaceStatistics, distance_map
from differnet_lite.scoring import flow_rows, scorer_of

if TYPE_CHECKING:
    from differnet_lite.detector import DifferNet

__all__ = ["ScoringModule", "export_onnx"]


class ScoringModule(nn.Module):
    """A fitted model with nothing left to choose: images to scores and maps, in float32.

    Args:
        model: a fitted model; one that scores at random is refused.
        extractor: its trunk, on the CPU and in float32.
    """

    def __init__(self, model: DifferNet, extractor: MultiScaleExtractor) -> None:
        super().__init__()
        settings = model.settings
        if settings.transformations.jitters:
            raise ValueError(
                "a model whose transformations vary brightness or contrast scores at random and "
                "cannot be exported; fit it without them"
            )
        self.extractor = extractor
        self.flows = nn.ModuleList([copy.deepcopy(flow).cpu() for flow in model.flows_])
        self.scorer = scorer_of([*self.flows], settings)
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
        rows = flow_rows(torch.stack(views, 1), self.scorer.pool_views)  # (N, T or 1, D)
        scores = self.scorer.score_rows(rows.flatten(0, 1)).view(rows.shape[:2]).mean(1)
        if self.places is None:
            return scores, x.new_zeros(x.shape[0], side, side)
        return scores, distance_map(self.extractor, self.places, x)


def export_onnx(model: DifferNet, path: str | os.PathLike[str]) -> Path:
    """Write a fitted model as an ONNX file: "images" (N, 3, size, size) uint8 in, scores and maps.

    Raises:
        RuntimeError: onnx or onnxscript is not installed; they come with the extra `export`.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise RuntimeError(
            "export needs the packages onnx and onnxscript: pip install 'differnet_lite[export]'"
        )
    module = model.as_module()
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
    assert program is not None  # it is None without `dynamo` alone
    with replacing(path) as file:
        file.write(program.model_proto.SerializeToString())
    return Path(path)
