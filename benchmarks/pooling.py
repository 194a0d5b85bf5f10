"""Image AUROC of one flow for powers of the pooling and deviations of the noise, several seeds.

    python benchmarks/pooling.py FOLDER [FOLDER ...] [--seeds 3]

A FOLDER is a category in the MVTec layout. The labels of its test images are used to compare, so
what is chosen here may not be reported on the same images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from differnet_course.folders import load_category
from differnet_course.metrics import auroc
from differnet_lite import DifferNet

CHOICES = ((1, 0.01), (2, 0.01), (2, 0.02), (3, 0.02))  # power, deviation of the noise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        category = load_category(folder)
        for power, noise in CHOICES:
            areas = []
            for seed in range(arguments.seeds):
                model = DifferNet(
                    pooling=power, noise=noise, seed=seed, calibration="none", map_images=0
                )
                scores = model.fit(category.train).anomaly_scores(category.test)
                areas.append(auroc(category.labels, scores))
            spread = f"{np.mean(areas):.4f} +- {np.std(areas):.4f}"
            print(f"{folder.name:12} power {power} noise {noise}: {spread}", flush=True)


if __name__ == "__main__":
    main()
