"""Whether maps and statistics from a file fit the trunk: by shapes alone, nothing is computed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.maps import PlaceStatistics, place_features

__all__ = ["check_places", "check_reference"]


def check_reference(
    extractor: MultiScaleExtractor, means: Sequence[Tensor], deviations: Sequence[Tensor], n: int
) -> None:
    """Refuse reference maps that are not of this trunk at n angles, see `reference_maps`.

    Raises:
        ValueError: shapes or dtypes differ, or a deviation is below 0.
    """
    ghost = _ghost(extractor.trunk)
    for s, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        wanted = (n, *ghost(_blank(extractor, extractor.size // 2**s)).shape[1:])
        same = wanted == mean.shape == deviation.shape
        half = {mean.dtype, deviation.dtype} == {torch.float16}
        if not same or not half or (deviation < 0).any():
            raise ValueError(f"expected reference maps of {wanted}, got {tuple(mean.shape)}")


def check_places(extractor: MultiScaleExtractor, statistics: PlaceStatistics) -> None:
    """Refuse statistics of places that are not of this trunk.

    Raises:
        ValueError: shapes differ, or a number that divides is not above 0.
    """
    alike = SimpleNamespace(
        pyramid=lambda x: [x], trunk=_ghost(extractor.trunk), n_channels=extractor.n_channels
    )
    layers = place_features(alike, _blank(extractor, extractor.size))  # type: ignore[arg-type]
    wanted = (sum(x.shape[1] for x in layers), *layers[0].shape[2:])
    if statistics.mean.shape != wanted or statistics.scale.shape != (len(layers),):
        raise ValueError(f"expected places of {wanted}, got {tuple(statistics.mean.shape)}")
    if statistics.scale.min() <= 0 or statistics.border.min() <= 0:
        raise ValueError("expected scales and a border above 0 for the places")


def _ghost(trunk: nn.Module) -> nn.Module:
    """The trunk without its numbers: it knows shapes, and costs neither time nor memory."""
    return copy.deepcopy(trunk).to("meta")


def _blank(extractor: MultiScaleExtractor, side: int) -> Tensor:
    return torch.empty(1, 3, side, side, device="meta", dtype=extractor.dtype)
