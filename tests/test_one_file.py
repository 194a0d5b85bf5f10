"""The method in one file: its scores are the package's, and its pictures are read alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from differnet_course.one_file import DifferNet as OneFile
from differnet_course.one_file import read_images
from differnet_lite import DifferNet
from differnet_lite.images import decode

PACKAGES = {"torch", "torchvision", "FrEIA", "numpy"}
SIZE = 252  # the smallest side whose quarter AlexNet can take


def test_scores_are_the_packages(picture: Callable[..., np.ndarray]) -> None:
    pictures = [picture(seed, SIZE) for seed in range(6)]
    pixels = torch.stack([decode(image, SIZE) for image in pictures])
    same = {"size": SIZE, "epochs": 3, "seed": 7, "dtype": "float32", "device": "cpu"}
    model = DifferNet(**same, calibration="none", cache=None, progress=False)
    expected = model.fit(pictures[:4]).anomaly_scores(pictures)
    scores = OneFile(epochs=3, seed=7).fit(pixels[:4]).scores(pixels)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    other = OneFile(epochs=3, seed=8).fit(pixels[:4]).scores(pixels)
    assert np.abs(other / expected - 1).max() > 1e-3, "the tolerance would hide a change"


def test_a_folder_is_read_as_the_package_reads_it(photographs: list[Path]) -> None:
    pixels = read_images(photographs[0].parent, 48)
    expected = torch.stack([decode(path, 48) for path in photographs])
    assert torch.equal(pixels, expected) and pixels.dtype == torch.uint8


def test_it_is_short_and_needs_four_packages() -> None:
    path = Path(__file__).parents[1] / "differnet_course" / "one_file.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    imports = [line.split()[1] for line in lines if line.startswith(("import ", "from "))]
    used = {name.split(".")[0] for name in imports}
    assert used - {"__future__", "json", "pathlib", "sys"} == PACKAGES
