"""What hostile cases are tried in, and the table of how they went."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.model import DifferNet
from tests.hostile.harness import OUTCOMES


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a case may use; all but `folder` is shared, and only read.

    Attributes:
        folder: an empty one of its own.
        model: a small fitted detector.
        saved: its file.
        photographs: a folder of 24 small images.
        category: a folder in the MVTec layout, with masks.
        extractor: a small one.
        picture: makes pictures (64, 64, 3) uint8 from a seed.
        tiny: arguments of a detector that fits at once.
        patch: undone after the case.
        capture: what was printed.
    """

    folder: Path
    model: DifferNet
    saved: Path
    photographs: Path
    category: Path
    extractor: MultiScaleExtractor
    picture: Callable[..., np.ndarray]
    tiny: dict[str, Any]
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def many_photographs(
    tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]
) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "photographs"
    folder.mkdir()
    for k in range(24):
        Image.fromarray(picture(k)).save(folder / f"{k:02d}.png")
    return folder


@pytest.fixture(scope="session")
def little_category(
    tmp_path_factory: pytest.TempPathFactory, picture: Callable[..., np.ndarray]
) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "part"
    places = ("train/good", "test/good", "test/dent", "ground_truth/dent")
    for place in places:
        (root / place).mkdir(parents=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    for k in range(12):
        Image.fromarray(picture(k)).save(root / "train" / "good" / f"{k}.png")
    for k in range(3):
        Image.fromarray(picture(100 + k)).save(root / "test" / "good" / f"{k}.png")
        bad = picture(200 + k)
        bad[mask > 0] = 255
        Image.fromarray(bad).save(root / "test" / "dent" / f"{k}.png")
        Image.fromarray(mask).save(root / "ground_truth" / "dent" / f"{k}_mask.png")
    return root


@pytest.fixture(scope="session")
def little_model(many_photographs: Path, tiny: dict[str, Any]) -> DifferNet:
    return DifferNet(**tiny, calibration="split").fit(many_photographs)


@pytest.fixture(scope="session")
def little_file(little_model: DifferNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_model.save(tmp_path_factory.mktemp("hostile") / "model.safetensors")


@pytest.fixture
def surroundings(
    tmp_path: Path,
    little_model: DifferNet,
    little_file: Path,
    many_photographs: Path,
    little_category: Path,
    tiny_extractor: MultiScaleExtractor,
    picture: Callable[..., np.ndarray],
    tiny: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Surroundings:
    return Surroundings(
        tmp_path,
        little_model,
        little_file,
        many_photographs,
        little_category,
        tiny_extractor,
        picture,
        tiny,
        monkeypatch,
        capsys,
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A line for each class of bad input: how many were tried, and what became of them."""
    table: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            found = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") == "call" and "hostile" in found:
                n = int(found.get("tried", 1))
                table.setdefault(found["hostile"], Counter())[found["outcome"]] += n
    if not table:
        return
    terminalreporter.section("hostile inputs")
    wide = max(map(len, table))
    heads = ("tried", *OUTCOMES)
    terminalreporter.line(f"{'':{wide}}  " + "  ".join(heads))
    total: Counter[str] = sum(table.values(), Counter())
    for group, counts in [*sorted(table.items()), ("all", total)]:
        numbers = [sum(counts.values()), *(counts[name] for name in OUTCOMES)]
        cells = [f"{number:>{len(head)}}" for number, head in zip(numbers, heads, strict=True)]
        terminalreporter.line(f"{group:{wide}}  " + "  ".join(cells))
