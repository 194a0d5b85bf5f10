"""Pictures of where the defects are: PNG files, the map over the photograph."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from differnet_course.plots.ramp import painted
from differnet_lite.oldchecks import checked
from differnet_lite.files import made_folder
from differnet_lite.images import decode

if TYPE_CHECKING:
    from differnet_lite.model import DifferNet

__all__ = ["write_overlays"]

SIDE, KEPT = 448, 224  # px of a picture, and of a map while all are kept for their common scale
OPACITY = 0.6
LONGEST = 200  # bytes of an image's name in that of its map; a file's name has 255 at most


@checked
def write_overlays(
    folder: str | Path,
    model: DifferNet,
    paths: Sequence[Path],
    *,
    alpha: float = 0.05,
    method: str | None = None,
) -> None:
    """PNG files: colour where few places of normal images reach, a line around what is marked.

    Maps by other methods than "distance" have no level: they share one scale among these images.

    Args:
        folder: is made if need be; its files are named by number and by the image's own name.
        model: a fitted model.
        paths: N images.
        alpha: share of normal images with anything marked.
        method: see `Localizer.anomaly_map`.
    """
    if not paths:
        raise ValueError("paths: expected at least one image, got none")
    folder, method = made_folder(folder), method or model.localizer.methods[0]
    maps = model.iter_anomaly_maps(paths, method=method)
    drawn = _by_level(model, paths, maps, alpha) if method == "distance" else _shared(paths, maps)
    for i, (path, pixels) in enumerate(zip(paths, drawn, strict=True)):
        stem = os.fsdecode(os.fsencode(path.stem)[:LONGEST])
        Image.fromarray(pixels).save(folder / f"{i:04d}_{stem}.png")


def _photograph(path: Path) -> np.ndarray:
    return decode(path, SIDE).permute(1, 2, 0).numpy()


def _by_level(
    model: DifferNet, paths: Sequence[Path], maps: Iterable[np.ndarray], alpha: float
) -> Iterable[np.ndarray]:
    levels = model.map_levels(alpha, if_too_few="fallback")
    for path, values in zip(paths, maps, strict=True):
        whole = Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        yield painted(_photograph(path), np.asarray(whole), levels)


def _shared(paths: Sequence[Path], maps: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """On one logarithmic scale, because scores of defects span several powers of ten.

    It reaches from half of the peak that 1 of 10 maps stays below, a normal one's as a rule, to the
    peak that 19 of 20 stay below.
    """
    palette = np.array(
        [unlabel_rgb(c) for c in sample_colorscale("Cividis", np.linspace(0, 1, 256))]
    )
    boxed = (
        np.asarray(Image.fromarray(m).resize((KEPT, KEPT), Image.Resampling.BOX)) for m in maps
    )
    # logarithms, as an attribution may exceed a float16's 65,504
    small = [np.log1p(m).astype(np.float16) for m in boxed]
    peaks = np.expm1([float(m.max()) for m in small])
    top = float(np.quantile(peaks, 0.95)) or 1.0
    low = float(np.clip(np.quantile(peaks, 0.1) / 2, top / 1000, top / 4))
    for path, values in zip(paths, small, strict=True):
        height = np.log(np.expm1(values.astype(np.float32)).clip(low, top) / low) / np.log(
            top / low
        )
        whole = Image.fromarray(height).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        share = np.asarray(whole).clip(0, 1)
        weight = OPACITY * share[..., None]
        mixed = _photograph(path) * (1 - weight) + palette[(255 * share).astype(int)] * weight
        yield mixed.astype(np.uint8)
