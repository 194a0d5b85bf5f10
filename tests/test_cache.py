"""The feature cache: computed once, kept whole or not at all, keyed by what features depend on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite import cache as cache_module
from differnet_lite.cache import FeatureCache, FeatureError, default_cache
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import read
from differnet_lite.transforms import Transformations

Picture = Callable[..., np.ndarray]
ANGLES = (0.0, 45.0)


class Spy:
    """An extractor that counts the images it is given, and may fail."""

    def __init__(self, extractor: MultiScaleExtractor, *, poison: float | None = None) -> None:
        self.extractor, self.poison = extractor, poison
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.extractor, name)

    def views(self, images: torch.Tensor, *arguments: Any) -> torch.Tensor:
        self.batches.append(len(images))
        features = self.extractor.views(images, *arguments).clone()
        if self.poison is not None:
            features[-1, 0, 7] = self.poison
        return features

    @property
    def count(self) -> int:
        return sum(self.batches)


@pytest.fixture
def make(
    tiny_extractor: MultiScaleExtractor, tmp_path: Path
) -> Callable[..., tuple[FeatureCache, Spy]]:
    """make(...) is a cache in a fresh folder with its spy."""

    def build(
        transformations: Transformations = Transformations(angles=ANGLES),  # noqa: B008
        *,
        extractor: MultiScaleExtractor = tiny_extractor,
        poison: float | None = None,
        **options: Any,
    ) -> tuple[FeatureCache, Spy]:
        spy = Spy(extractor, poison=poison)
        options = {"folder": tmp_path / "cache", "batch_size": 2, "progress": False} | options
        return FeatureCache(spy, transformations, **options), spy  # type: ignore[arg-type]

    return build


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.features"))


def assert_same_views(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal but for the rounding of convolutions in batches of another size."""
    assert a.shape == b.shape
    assert ((a - b).norm(dim=-1) / b.norm(dim=-1)).max() < 1e-5


def test_second_run_reads_the_same_bits(make: Any, photographs: list[Path], tmp_path: Path) -> None:
    first_cache, first_spy = make()
    first = first_cache.features(photographs, ANGLES)
    assert first.shape == (5, 2, 256)
    assert first_spy.batches == [2, 2, 1]
    second_cache, second_spy = make()
    second = second_cache.features(photographs, ANGLES)
    assert second_spy.count == 0
    assert torch.equal(first, second)
    assert len(kept(tmp_path / "cache")) == 5


def test_features_are_the_extractors_in_order(
    make: Any, photographs: list[Path], picture: Picture, tiny_extractor: MultiScaleExtractor
) -> None:
    pixels = torch.stack([torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(5)])
    expected = tiny_extractor.views(pixels, ANGLES, Transformations(angles=ANGLES))
    cache, _ = make()
    cache.features(photographs[2:4], ANGLES)  # so that a batch is part kept, part new
    assert_same_views(cache.features(photographs, ANGLES), expected)
    assert_same_views(cache.features(photographs[::-1], ANGLES), expected.flip(0))


def test_renaming_costs_nothing_and_editing_recomputes(
    make: Any, photographs: list[Path], picture: Picture
) -> None:
    make()[0].features(photographs, ANGLES)
    renamed = photographs[0].rename(photographs[0].with_name("renamed.png"))
    cache, spy = make()
    cache.features([renamed, *photographs[1:]], ANGLES)
    assert spy.count == 0
    Image.fromarray(picture(99)).save(photographs[1])
    cache.features([renamed, *photographs[1:]], ANGLES)
    assert spy.count == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"fill": "black"},
        {"brightness": 0.1},
        {"contrast": 0.1},
        {"interpolation": "nearest"},
        {"zoom": 0.1},
        {"shift": 0.1},
    ],
)
def test_other_transformations_are_another_key(
    make: Any, photographs: list[Path], changes: dict[str, Any]
) -> None:
    make()[0].features(photographs[:2], ANGLES)
    cache, spy = make(Transformations(angles=ANGLES, **changes))
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 2


def test_other_weights_and_jitter_seeds_are_another_key(make: Any, photographs: list[Path]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = MultiScaleExtractor(
            weights="random", size=64, n_scales=1, device="cpu", dtype="float32"
        )
    first = make()[0].features(photographs[:2], ANGLES)
    assert not torch.equal(make(extractor=other)[0].features(photographs[:2], ANGLES), first)
    jittered = Transformations(angles=ANGLES, brightness=0.2)
    a, b = (make(jittered, seed=seed)[0].features(photographs[:2], ANGLES) for seed in (0, 1))
    assert not torch.equal(a, b)
    cache, spy = make(seed=1)
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 0, "without jitter the seed does not matter"


@pytest.mark.parametrize("damage", ["cut", "flipped", "another image"])
def test_a_damaged_file_is_computed_again_and_repaired(
    make: Any, photographs: list[Path], tmp_path: Path, damage: str
) -> None:
    expected = make()[0].features(photographs, ANGLES)
    victim, neighbour = kept(tmp_path / "cache")[2:4]
    content = bytearray(victim.read_bytes())
    flipped = content.copy()
    flipped[1000] ^= 1
    spoilt = {"cut": content[:-1], "flipped": flipped, "another image": neighbour.read_bytes()}
    victim.write_bytes(spoilt[damage])
    cache, spy = make()
    with pytest.warns(UserWarning, match=f"{victim.name}: the stored features are damaged"):
        again = cache.features(photographs, ANGLES)
    assert spy.count == 1
    assert_same_views(again, expected)
    cache.features(photographs, ANGLES)
    assert spy.count == 1, "it was repaired"


def test_features_belong_to_the_pixels_that_made_them(
    make: Any, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera may replace a file at any time: one reading gives the digest and the pixels."""
    read_bytes = Path.read_bytes
    files: list[Path] = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: files.append(path) or read_bytes(path))
    make()[0].features(photographs, ANGLES)
    assert [path for path in sorted(files) if path in photographs] == photographs


def test_the_angles_the_white_level_and_the_code_are_part_of_the_key(
    make: Any, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make()[0].features(photographs[:2], ANGLES)
    cache, spy = make()
    cache.features(photographs[:2], (0.0, 46.0))
    assert spy.count == 2
    cache.white = 4095
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 4
    monkeypatch.setattr(cache_module, "code_version", lambda: "another")
    cache, spy = make()
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 2


def test_a_disk_that_fills_up_on_the_way(
    make: Any, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(folder=None)[0].features(photographs, ANGLES)
    written: list[Path] = []
    write = cache_module.replacing

    def fills_up(path: Path, **options: Any) -> Any:
        written.append(path)
        if len(written) > 3:  # the note on what is kept, and two images
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, **options)

    monkeypatch.setattr(cache_module, "replacing", fills_up)
    cache, spy = make()
    with pytest.warns(UserWarning, match="No space left") as caught:
        assert_same_views(cache.features(photographs, ANGLES), expected)
    assert len(caught) == 1
    assert len(written) == 4, "after the first failure nothing is tried"
    assert len(kept(tmp_path / "cache")) == 2
    assert spy.count == 5


def test_features_that_are_not_finite_are_an_error_and_are_not_kept(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    cache, _ = make(poison=float("nan"))
    with pytest.raises(FeatureError, match=rf"sha256 {read(photographs[1]).digest} .*not finite"):
        cache.features(photographs, ANGLES)
    assert [path.stem for path in kept(tmp_path / "cache")] == [read(photographs[0]).digest]


def test_jittered_features_do_not_depend_on_the_company(make: Any, photographs: list[Path]) -> None:
    t = Transformations(angles=ANGLES, brightness=0.3, contrast=0.3)
    together = make(t, folder=None, batch_size=5)[0].features(photographs, ANGLES)
    alone = make(t, folder=None)[0].features(photographs[3:4], ANGLES)
    assert_same_views(together[3:4], alone)
    plain = make(folder=None)[0].features(photographs, ANGLES)
    assert ((together - plain).norm(dim=2) / plain.norm(dim=2)).min() > 1e-3


def test_clearing_deletes_what_a_cache_wrote_and_nothing_else(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    make()[0].features(photographs, ANGLES)
    (tmp_path / "cache" / "mine").mkdir()
    (tmp_path / "cache" / "mine" / "what.json").write_text("keep")
    FeatureCache.clear_folder(tmp_path / "cache")
    assert not kept(tmp_path / "cache")
    left = sorted(p.name for p in (tmp_path / "cache").rglob("*"))
    assert left == ["mine", "what.json"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.delenv("DIFFERNET_LITE_CACHE")
    assert default_cache() == tmp_path / "differnet_lite"
