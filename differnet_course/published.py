"""The paper's numbers, to stand beside one's own.

Image AUROC in percent on MVTec AD: Rudolph, Wandt, Rosenhahn, "Same Same But DifferNet:
Semi-Supervised Defect Detection with Normalizing Flows", WACV 2021, arXiv 2008.12577, table 1.
The authors report the best epoch on the test set; our tables hold the last epoch, which can only
be lower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["METHODS", "published_auroc", "published_table"]

# name of the detector: as people write it; the paper's six in its order, then those that we add
METHODS = {
    "geotrans": "GeoTrans",
    "ganomaly": "GANomaly",
    "dsebm": "DSEBM",
    "ocsvm": "OCSVM",
    "1-nn": "1-NN",
    "differnet": "DifferNet",
    "mahalanobis": "Mahalanobis",
    "autoencoder-l2": "autoencoder, L2",
    "patchcore": "PatchCore",
}

_COLUMNS = ("geotrans", "ganomaly", "dsebm", "ocsvm", "1-nn", "differnet")
_ROWS = {
    "grid": (61.9, 70.8, 71.7, 41.0, 55.7, 84.0),
    "leather": (84.1, 84.2, 41.6, 88.0, 90.3, 97.1),
    "tile": (41.7, 79.4, 69.0, 87.6, 96.9, 99.4),
    "carpet": (43.7, 69.9, 41.3, 62.7, 81.1, 92.9),
    "wood": (61.1, 83.4, 95.2, 95.3, 93.4, 99.8),
    "bottle": (74.4, 89.2, 81.8, 99.0, 98.7, 99.0),
    "capsule": (67.0, 73.2, 59.4, 54.4, 71.1, 86.9),
    "pill": (63.0, 74.3, 80.6, 72.9, 83.7, 88.8),
    "transistor": (86.9, 79.2, 74.1, 56.7, 75.6, 91.1),
    "zipper": (82.0, 74.5, 58.4, 51.7, 88.6, 95.1),
    "cable": (78.3, 75.7, 68.5, 80.3, 88.5, 95.9),
    "hazelnut": (35.9, 78.5, 76.2, 91.1, 97.9, 99.3),
    "metal_nut": (81.3, 70.0, 67.9, 61.1, 76.7, 96.1),
    "screw": (50.0, 74.6, 99.9, 74.7, 67.0, 96.3),
    "toothbrush": (97.2, 65.3, 78.1, 61.9, 91.9, 98.6),
}


def published_auroc(method: str, category: str) -> float | None:
    """The paper's AUROC, 0 to 1; None where it has none."""
    if method not in _COLUMNS or category not in _ROWS:
        return None
    return _ROWS[category][_COLUMNS.index(method)] / 100


def published_table() -> pd.DataFrame:
    """The paper's table: AUROC, 0 to 1, of 15 categories (rows) and six methods (columns)."""
    import pandas as pd  # an optional dependency, which the figures do without

    return pd.DataFrame.from_dict(_ROWS, orient="index", columns=list(_COLUMNS)) / 100
