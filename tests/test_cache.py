"""The feature cache: computed once, kept whole or not at all, keyed by what features depend on."""

from __future__ import annotations

import errno
import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite import cache as cache_module
from differnet_lite.cache import FeatureCache, FeatureError, default_cache
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.images import digest
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
        folder: Path | None = tmp_path / "cache",
        batch_size: int = 2,
        seed: int = 0,
        **spying: Any,
    ) -> tuple[FeatureCache, Spy]:
        spy = Spy(extractor, **spying)
        return FeatureCache(
            spy, transformations, folder=folder, batch_size=batch_size, seed=seed, progress=False
        ), spy  # type: ignore[arg-type]

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
    without, spy = make(folder=None)
    assert_same_views(without.features(photographs, ANGLES), first)
    assert spy.count == 5


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
    changed = cache.features([renamed, *photographs[1:]], ANGLES)
    assert spy.count == 1
    assert_same_views(changed, make(folder=None)[0].features([renamed, *photographs[1:]], ANGLES))


@pytest.mark.parametrize(
    ("transformations", "angles"),
    [
        (Transformations(angles=ANGLES), (0.0, 46.0)),
        (Transformations(angles=ANGLES, fill="black"), ANGLES),
        (Transformations(angles=ANGLES, brightness=0.1), ANGLES),
        (Transformations(angles=ANGLES, contrast=0.1), ANGLES),
        (Transformations(angles=ANGLES, interpolation="nearest"), ANGLES),
        (Transformations(angles=ANGLES, zoom=0.1), ANGLES),
        (Transformations(angles=ANGLES, shift=0.1), ANGLES),
    ],
)
def test_other_transformations_are_another_key(
    make: Any, photographs: list[Path], transformations: Transformations, angles: Sequence[float]
) -> None:
    make()[0].features(photographs[:2], ANGLES)
    cache, spy = make(transformations)
    there = cache.features(photographs[:2], angles)
    assert spy.count == 2
    without = make(transformations, folder=None)[0]
    assert_same_views(there, without.features(photographs[:2], angles))


def test_other_weights_and_jitter_seeds_are_another_key(make: Any, photographs: list[Path]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = MultiScaleExtractor(
            weights="random", size=64, n_scales=1, device="cpu", dtype="float32"
        )
    first = make()[0].features(photographs[:2], ANGLES)
    cache, spy = make(extractor=other)
    assert not torch.equal(cache.features(photographs[:2], ANGLES), first)
    assert spy.count == 2
    jittered = Transformations(angles=ANGLES, brightness=0.2)
    a, b = (make(jittered, seed=seed)[0].features(photographs[:2], ANGLES) for seed in (0, 1))
    assert not torch.equal(a, b)
    cache, spy = make(seed=1)
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 0, "without jitter the seed does not matter"


@pytest.mark.parametrize("damage", ["cut", "empty", "digest", "content", "another image"])
def test_a_damaged_file_is_computed_again_and_repaired(
    make: Any, photographs: list[Path], tmp_path: Path, damage: str
) -> None:
    expected = make()[0].features(photographs, ANGLES)
    victim, neighbour = kept(tmp_path / "cache")[2:4]
    content = victim.read_bytes()
    flipped = bytearray(content)
    flipped[5 if damage == "digest" else 1000] ^= 1
    spoilt = {"cut": content[:-1], "empty": b"", "another image": neighbour.read_bytes()}
    victim.write_bytes(spoilt.get(damage, bytes(flipped)))
    cache, spy = make()
    with pytest.warns(UserWarning, match=f"{victim.name}: the stored features are damaged"):
        again = cache.features(photographs, ANGLES)
    assert spy.count == 1
    assert_same_views(again, expected)
    cache, spy = make()
    cache.features(photographs, ANGLES)
    assert spy.count == 0, "it was repaired"


def test_features_belong_to_the_pixels_that_made_them(
    make: Any, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera replaces latest.png whenever a file is opened: no frame gets another's features."""
    frames = [path.read_bytes() for path in photographs]
    latest = tmp_path / "latest.png"
    shown = itertools.cycle(frames)
    latest.write_bytes(next(shown))
    read_bytes = Path.read_bytes

    def replaced_after(path: Path) -> bytes:
        content = read_bytes(path)
        if path == latest:
            draft = tmp_path / uuid.uuid4().hex
            draft.write_bytes(next(shown))
            os.replace(draft, latest)
        return content

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", replaced_after)
        make()[0].features([latest] * 5, ANGLES)
    cache, spy = make()
    stored = cache.features(photographs, ANGLES)
    assert spy.count < 5
    assert_same_views(stored, make(folder=None)[0].features(photographs, ANGLES))


def test_images_that_come_one_by_one_are_batches_of_one(make: Any, photographs: list[Path]) -> None:
    asked = []

    def camera() -> Iterator[Path]:
        for path in photographs:
            asked.append(path)
            yield path

    stream = make(folder=None)[0].iter_features(camera(), ANGLES)
    assert next(stream).shape == (1, 2, 256)
    assert asked == photographs[:1], "the first score does not wait for the second image"
    assert len(list(stream)) == 4


def test_the_white_level_and_the_code_are_part_of_the_key(
    make: Any, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make()[0].features(photographs[:2], ANGLES)
    cache, spy = make()
    cache.white = 4095
    cache.features(photographs[:2], ANGLES)
    assert spy.count == 2
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
    with pytest.raises(FeatureError, match=rf"sha256 {digest(photographs[1])} .*not finite"):
        cache.features(photographs, ANGLES)
    assert [path.stem for path in kept(tmp_path / "cache")] == [digest(photographs[0])]


def test_jittered_features_do_not_depend_on_the_company(make: Any, photographs: list[Path]) -> None:
    t = Transformations(angles=ANGLES, brightness=0.3, contrast=0.3)
    together = make(t, folder=None, batch_size=5)[0].features(photographs, ANGLES)
    alone = torch.cat(
        [make(t, folder=None)[0].features([path], ANGLES) for path in photographs[::-1]]
    ).flip(0)
    assert_same_views(together, alone)
    plain = make(folder=None)[0].features(photographs, ANGLES)
    assert ((together - plain).norm(dim=2) / plain.norm(dim=2)).min() > 1e-3


def test_clearing_deletes_what_a_cache_wrote_and_nothing_else(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    make()[0].features(photographs, ANGLES)
    (tmp_path / "cache" / "mine").mkdir()
    for name in ("notes.txt", "what.json"):
        (tmp_path / "cache" / "mine" / name).write_text("keep")
    FeatureCache.clear_folder(tmp_path / "cache")
    assert not kept(tmp_path / "cache")
    left = sorted(p.name for p in (tmp_path / "cache").rglob("*"))
    assert left == ["mine", "notes.txt", "what.json"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.delenv("DIFFERNET_LITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "differnet_lite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "differnet_lite"
