"""An exported ONNX file beside the package: differences of scores and of maps.

    python benchmarks/export.py ../shared/data/mvtec_448/bottle [--train 24] [--images 12]

The model has the defaults, and is loaded in float32, as the file is. Scores should differ by at
most 1e-3 of the threshold, and maps by at most 1 % of their own largest value. Needs the extra
`export`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

from differnet_course.folders import load_category
from differnet_lite import DifferNet
from differnet_lite.export import export_onnx
from differnet_lite.images import decode


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="in the MVTec layout")
    parser.add_argument("--train", type=int, default=24, help="training images used")
    parser.add_argument("--images", type=int, default=12, help="test images compared")
    args = parser.parse_args()
    category = load_category(args.folder)
    chosen = category.test[:: max(1, len(category.test) // args.images)]
    with tempfile.TemporaryDirectory() as made:
        fitted = (
            DifferNet(progress=False).fit(category.train[: args.train]).save(Path(made) / "part")
        )
        model = DifferNet.load(fitted, dtype="float32", progress=False)
        start = time.perf_counter()
        path = export_onnx(model, Path(made) / "part.onnx")
        print(
            f"exported in {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e6:.0f} MB"
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    scores = model.anomaly_scores(chosen)
    of_scores = []
    of_maps = []
    for image, score in zip(chosen, scores, strict=True):
        pixels = decode(image, model.settings.size)[None].numpy()
        given, drawn = session.run(None, {"images": pixels})
        expected = model.anomaly_maps([image])[0]
        of_scores.append(abs(float(given[0]) - score))
        of_maps.append(np.abs(drawn[0] - expected).max() / expected.max())
    threshold = model.threshold(if_too_few="fallback").value
    print(f"{category.name}, {len(chosen)} test images, {model.settings.size} px")
    print(f"scores differ by at most {max(of_scores) / threshold:.1e} of the threshold")
    print(f"maps differ by at most {max(of_maps):.1e} of a map's largest value")


if __name__ == "__main__":
    main()
