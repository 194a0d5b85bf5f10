"""Detectors by name: all methods behind the contract of `differnet_lite.detector.Detector`."""

from __future__ import annotations

import os
from typing import Any

import torch

from differnet_course.baselines.autoencoder import Autoencoder, SSIMAutoencoder
from differnet_course.baselines.dsebm import DSEBM
from differnet_course.baselines.feature_methods import OCSVM, Mahalanobis, NearestNeighbour
from differnet_course.baselines.ganomaly import GANomaly
from differnet_course.baselines.geotrans import GeoTrans
from differnet_lite.checkpoint import read_checkpoint
from differnet_lite.oldchecks import checked, one_of
from differnet_lite.detector import Detector
from differnet_lite.model import DifferNet

__all__ = ["BASELINES", "load_detector", "make_detector"]

BASELINES: dict[str, type[Detector]] = {
    method.kind: method
    for method in (
        OCSVM,
        NearestNeighbour,
        Mahalanobis,
        GeoTrans,
        GANomaly,
        DSEBM,
        Autoencoder,
        SSIMAutoencoder,
    )
}
_ALL = {DifferNet.kind: DifferNet} | BASELINES


@checked
def make_detector(name: str, **options: Any) -> Detector:
    """A fresh detector by name.

    Args:
        name: a key of `BASELINES`, or "differnet".
        **options: arguments of its constructor: `seed`, `device`, `cache`, `progress`, and the
            settings of the method.

    Raises:
        ValueError: there is no such method.
        TypeError: the method has no such option.

    Example:
        >>> make_detector("1-nn", n_components=8, progress=False).settings.n_components
        8
    """
    return _ALL[one_of(*_ALL)("method", name)](**options)  # type: ignore[arg-type]


@checked
def load_detector(
    path: str | os.PathLike[str],
    *,
    device: str | torch.device = "auto",
    cache: str | os.PathLike[str] | None = "auto",
    progress: bool = True,
) -> Detector:
    """Read a detector of any kind that `save` wrote; errors as in `Detector.load`."""
    kind = read_checkpoint(path)[0].get("kind")
    method = _ALL[one_of(*_ALL)("the model's kind", kind)]
    return method.load(path, device=device, cache=cache, progress=progress)
