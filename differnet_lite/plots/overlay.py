"""Pictures of where the defects are: PNG files, the map over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from differnet_lite.data.images import decode

if TYPE_CHECKING:
    from differnet_lite.model import DifferNet

__all__ = ["write_overlays"]

SIDE, KEPT = 448, 224  # px of a picture, and of a map while all are kept for their common scale
OPACITY = 0.6


def write_overlays(
    folder: str | Path, model: DifferNet, paths: Sequence[Path], **options: Any
) -> None:
    """PNG overlays on one logarithmic scale, because scores of defects span several powers of ten.

    It reaches from half of the peak that 1 of 10 maps stays below, a normal one's as a rule, to the
    peak that 19 of 20 stay below.

    Args:
        folder: is made if need be; its files are named by number and by the image's own name.
        model: a fitted model.
        paths: N images.
        **options: of `DifferNet.iter_anomaly_maps`, such as `method`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    palette = np.array(
        [unlabel_rgb(c) for c in sample_colorscale("Cividis", np.linspace(0, 1, 256))]
    )
    drawn = (
        np.asarray(Image.fromarray(m).resize((KEPT, KEPT), Image.Resampling.BOX))
        for m in model.iter_anomaly_maps(paths, **options)
    )
    # logarithms, as an attribution may exceed a float16's 65,504
    small = [np.log1p(m).astype(np.float16) for m in drawn]
    peaks = np.expm1([float(m.max()) for m in small])
    top = float(np.quantile(peaks, 0.95)) or 1.0
    low = float(np.clip(np.quantile(peaks, 0.1) / 2, top / 1000, top / 4))
    for i, (path, values) in enumerate(zip(paths, small, strict=True)):
        image = decode(path, SIDE).permute(1, 2, 0).numpy().astype(float)
        level = np.log(np.expm1(values.astype(np.float32)).clip(low, top) / low) / np.log(top / low)
        level = np.asarray(
            Image.fromarray(level).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        ).clip(0, 1)
        mixed = (
            image * (1 - OPACITY * level[..., None])
            + palette[(255 * level).astype(int)] * OPACITY * level[..., None]
        )
        Image.fromarray(mixed.astype(np.uint8)).save(folder / f"{i:04d}_{path.stem}.png")
