"""Where a defect is: of the defects that are flagged, how many have their best region on the mask.

    python benchmarks/regions.py flange tablet weave ../shared/data/mvtec_448/bottle

A name is a built-in category, which is made in a folder that is deleted afterwards; else it is a
folder in the MVTec layout. Of each flagged defect that has a mask the best region is the one with
the highest value; it hits if its box holds a pixel of the mask, and its peak hits if the mask holds
it, or a pixel at most 2 % of the photograph's side away. "None" counts flagged ones without one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from differnet_course.folders import load_category
from differnet_course.samples import SAMPLE_CATEGORIES, make_sample_category
from differnet_lite import DifferNet
from differnet_lite.images import open_image
from differnet_lite.regions import Region

MARGIN = 0.02  # of the photograph's side, around a peak


def hits(region: Region, mask: np.ndarray) -> tuple[bool, bool]:
    """Whether the box of a region, and its peak, meet a mask (height, width) bool."""
    left, top, width, height = region.box
    x, y = region.peak
    reach = round(MARGIN * max(mask.shape))
    near = mask[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    return bool(mask[top : top + height, left : left + width].any()), bool(near.any())


def run(folder: Path, alpha: float) -> str:
    """One line of the table."""
    category = load_category(folder)
    model = DifferNet(progress=False).fit(folder)
    pairs = [(p, m) for p, m in zip(category.test, category.masks, strict=True) if m is not None]
    flagged = model.judge([path for path, _ in pairs], alpha=alpha, if_too_few="fallback").anomalous
    chosen = [pair for pair, flag in zip(pairs, flagged, strict=True) if flag]
    regions_of_each = model.regions([path for path, _ in chosen], alpha=alpha)
    results = []
    for regions, (_, mask) in zip(regions_of_each, chosen, strict=True):
        if regions:
            marked = np.asarray(open_image(mask).convert("L")) > 127
            results.append(hits(regions[0], marked))
    boxes, peaks = np.array(results, bool).reshape(-1, 2).sum(0)
    n = len(chosen)
    counts = f"{len(pairs):>9}{n:>9}{n - len(results):>6}"
    return f"{category.name:<12}{counts}{boxes / max(n, 1):>8.0%}{peaks / max(n, 1):>8.0%}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["flange", "tablet", "weave"])
    parser.add_argument("--alpha", type=float, default=0.05)
    args = parser.parse_args()
    print(
        f"{'category':<12}{'defects':>9}{'flagged':>9}{'none':>6}{'box':>8}{'peak':>8}", flush=True
    )
    with tempfile.TemporaryDirectory() as made:
        for name in args.names:
            built_in = name in SAMPLE_CATEGORIES
            folder = make_sample_category(name, made, progress=False) if built_in else Path(name)
            print(run(folder, args.alpha), flush=True)


if __name__ == "__main__":
    main()
