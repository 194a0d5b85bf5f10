"""What a model was shown, and the notes on a batch of photographs that differs from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from differnet_lite import DifferNet
from differnet_lite.shown import differences, summary_of, survey, too_many_flagged
from differnet_lite.thresholds import Calibration

Picture = Callable[..., np.ndarray]


@pytest.fixture
def made(tmp_path: Path, picture: Picture) -> Callable[..., list[Path]]:
    """made("a.jpg", (w, h), mode, ...) writes two photographs and gives their paths."""

    def write(name: str, size: tuple[int, int], mode: str = "RGB", **options: Any) -> list[Path]:
        paths = [tmp_path / f"{k}_{name}" for k in range(2)]
        for k, path in enumerate(paths):
            Image.fromarray(picture(k, 128)).resize(size).convert(mode).save(path, **options)
        return paths

    return write


def notes(shown: list[Path], batch: list[Path]) -> str:
    """The notes on a batch as one text."""
    summaries = [summary_of(survey(images, headers_only=True)) for images in (shown, batch)]
    return "; ".join(differences(*summaries))


def test_a_batch_that_is_made_otherwise_gets_a_note(made: Callable[..., list[Path]]) -> None:
    shown = made("a.png", (200, 150))
    quality = made("q.jpg", (200, 150), quality=90)
    assert notes(shown, shown) == notes(quality, shown) == notes(quality, quality) == ""
    assert notes(shown, made("b.png", (210, 150))) == "", "a few pixels"
    cropped = notes(shown, made("c.png", (150, 150)))
    assert "another shape" in cropped and "1.00, trained on 1.33" in cropped
    for size in ((100, 75), (400, 300)):
        assert "another resolution" in notes(shown, made("d.png", size))
    assert "compressed more" in notes(shown, quality)
    assert "compressed more" in notes(quality, made("e.jpg", (200, 150), quality=40))
    assert "compressed more" in notes(shown, made("f.webp", (200, 150)))
    assert notes(quality, made("g.jpg", (200, 150), quality=85)) == ""
    assert "in grey, the training's in colour" in notes(shown, made("h.png", (200, 150), "L"))


def test_the_shape_is_that_of_the_photograph_as_it_is_seen(made: Callable[..., list[Path]]) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    lying = made("a.png", (200, 150))
    assert notes(lying, made("b.png", (150, 200), exif=turned)) == ""
    assert "another shape" in notes(lying, made("c.png", (150, 200)))


def test_far_more_flagged_than_promised_is_rarer_than_one_in_a_thousand() -> None:
    rng = np.random.default_rng(0)
    flagged = rng.binomial(60, 0.05, 20_000)
    noted = {n: too_many_flagged(n, 60, 0.05) is not None for n in range(61)}
    assert np.mean([noted[int(n)] for n in flagged]) <= 1.5e-3
    assert [noted[n] for n in (0, 3, 9, 12, 60)] == [False, False, False, True, True]
    assert str(too_many_flagged(40, 60, 0.05)).startswith("40 of 60 are flagged where 5.0%")
    assert too_many_flagged(0, 0, 0.05) is None
    assert too_many_flagged(1, 1, 0.05) is None, "one bad part is no surprise"


def test_a_model_and_its_file_remember_what_was_shown(
    tiny: dict[str, Any], photographs: list[Path], tmp_path: Path
) -> None:
    model = DifferNet(**tiny).fit(photographs)
    model.save(tmp_path / "part.safetensors")
    small = [tmp_path / f"{k}.jpg" for k in range(12)]
    for k, path in enumerate(small):
        Image.open(photographs[k % 5]).resize((32, 20)).save(path, quality=50)
    for same in (model, DifferNet.load(tmp_path / "part.safetensors", progress=False)):
        judge = Calibration(np.arange(19.0), "given").judge
        text = "; ".join(same.notes(small, judge(np.full(12, 99.0), 0.05)))
        parts = ("another shape", "another resolution", "compressed", "12 of 12 are flagged")
        assert [part in text for part in parts] == [True] * 4
        assert same.notes(photographs, judge(np.zeros(5), 0.05)) == []
