"""The feature bank: computed once, kept whole or not at all, keyed by what the features depend on."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from differnet_lite import cache as bank_module
from differnet_lite.cache import FeatureBank, FeatureError, default_cache
from differnet_lite.data.images import ImageError
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.transforms import Transformations

Picture = Callable[..., np.ndarray]
ANGLES = (0.0, 45.0)


class Spy:
    """An extractor that counts the images it is given, and may fail."""

    def __init__(
        self, extractor: MultiScaleExtractor, *, interrupt_at: int = 0, poison: float | None = None
    ) -> None:
        self.extractor, self.interrupt_at, self.poison = extractor, interrupt_at, poison
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.extractor, name)

    def views(self, images: torch.Tensor, *arguments: Any) -> torch.Tensor:
        self.batches.append(len(images))
        if len(self.batches) == self.interrupt_at:
            raise KeyboardInterrupt
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
) -> Callable[..., tuple[FeatureBank, Spy]]:
    """make(...) is a bank in a fresh folder with its spy."""

    def build(
        transformations: Transformations = Transformations(angles=ANGLES),  # noqa: B008
        *,
        extractor: MultiScaleExtractor = tiny_extractor,
        folder: Path | None = tmp_path / "bank",
        batch_size: int = 2,
        seed: int = 0,
        **spying: Any,
    ) -> tuple[FeatureBank, Spy]:
        spy = Spy(extractor, **spying)
        return FeatureBank(
            spy, transformations, folder=folder, batch_size=batch_size, seed=seed, progress=False
        ), spy  # type: ignore[arg-type]

    return build


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npy"))


def assert_same_views(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal but for the rounding of convolutions in batches of another size."""
    assert a.shape == b.shape
    assert ((a - b).norm(dim=-1) / b.norm(dim=-1)).max() < 1e-5


@contextmanager
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_second_run_reads_the_same_bits(make: Any, photographs: list[Path], tmp_path: Path) -> None:
    first_bank, first_spy = make()
    first = first_bank.features(photographs, ANGLES)
    assert first.shape == (5, 2, 256)
    assert first_spy.batches == [2, 2, 1]
    second_bank, second_spy = make()
    with no_warnings():
        second = second_bank.features(photographs, ANGLES)
    assert second_spy.count == 0
    assert torch.equal(first, second)
    assert len(kept(tmp_path / "bank")) == 5
    without, spy = make(folder=None)
    assert_same_views(without.features(photographs, ANGLES), first)
    assert spy.count == 5


def test_features_are_the_extractors_in_order(
    make: Any, photographs: list[Path], picture: Picture, tiny_extractor: MultiScaleExtractor
) -> None:
    pixels = torch.stack([torch.from_numpy(picture(k)).permute(2, 0, 1) for k in range(5)])
    expected = tiny_extractor.views(pixels, ANGLES, Transformations(angles=ANGLES))
    bank, _ = make()
    bank.features(photographs[2:4], ANGLES)  # so that a batch is part kept, part new
    assert_same_views(bank.features(photographs, ANGLES), expected)
    assert_same_views(
        torch.cat(list(bank.iter_features(photographs[::-1], ANGLES))), expected.flip(0)
    )


def test_renaming_costs_nothing_and_editing_recomputes(
    make: Any, photographs: list[Path], picture: Picture
) -> None:
    make()[0].features(photographs, ANGLES)
    renamed = photographs[0].rename(photographs[0].with_name("renamed.png"))
    bank, spy = make()
    bank.features([renamed, *photographs[1:]], ANGLES)
    assert spy.count == 0
    Image.fromarray(picture(99)).save(photographs[1])
    changed = bank.features([renamed, *photographs[1:]], ANGLES)
    assert spy.count == 1
    assert_same_views(changed, make(folder=None)[0].features([renamed, *photographs[1:]], ANGLES))


@pytest.mark.parametrize(
    ("transformations", "angles"),
    [
        (Transformations(angles=ANGLES), (0.0, 46.0)),
        (Transformations(angles=ANGLES), (45.0, 0.0)),
        (Transformations(angles=ANGLES, fill="black"), ANGLES),
        (Transformations(angles=ANGLES, interpolation="nearest"), ANGLES),
        (Transformations(angles=ANGLES, brightness=0.1), ANGLES),
        (Transformations(angles=ANGLES, contrast=0.1), ANGLES),
    ],
)
def test_other_transformations_are_another_key(
    make: Any, photographs: list[Path], transformations: Transformations, angles: Sequence[float]
) -> None:
    make()[0].features(photographs[:2], ANGLES)
    bank, spy = make(transformations)
    there = bank.features(photographs[:2], angles)
    assert spy.count == 2
    assert_same_views(
        there, make(transformations, folder=None)[0].features(photographs[:2], angles)
    )


def test_other_weights_and_jitter_seeds_are_another_key(make: Any, photographs: list[Path]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        other = MultiScaleExtractor(
            weights="random", size=64, n_scales=1, device="cpu", dtype="float32"
        )
    first = make()[0].features(photographs[:2], ANGLES)
    bank, spy = make(extractor=other)
    assert not torch.equal(bank.features(photographs[:2], ANGLES), first)
    assert spy.count == 2
    jittered = Transformations(angles=ANGLES, brightness=0.2)
    a, b = (make(jittered, seed=seed)[0].features(photographs[:2], ANGLES) for seed in (0, 1))
    assert not torch.equal(a, b)
    _, spy = make(seed=1)
    make(seed=1)[0].features(photographs[:2], ANGLES)
    assert spy.count == 0, "without jitter the seed does not matter"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "shape", "nan", "float64"])
def test_a_damaged_file_is_computed_again_and_repaired(
    make: Any, photographs: list[Path], tmp_path: Path, damage: str
) -> None:
    expected = make()[0].features(photographs, ANGLES)
    victim = kept(tmp_path / "bank")[2]
    content = victim.read_bytes()
    if damage in ("cut", "empty", "text"):
        victim.write_bytes({"cut": content[:-100], "empty": b"", "text": b"no array"}[damage])
    else:
        array = np.load(victim)
        np.save(
            victim,
            {"shape": array[:1], "nan": array * np.nan, "float64": array.astype(np.float64)}[
                damage
            ],
        )
    bank, spy = make()
    with pytest.warns(
        UserWarning, match=f"{victim.name}: the kept features are damaged .*computed again"
    ):
        again = bank.features(photographs, ANGLES)
    assert spy.count == 1
    assert_same_views(again, expected)
    bank, spy = make()
    with no_warnings():
        bank.features(photographs, ANGLES)
    assert spy.count == 0, "it was repaired"
    assert len(victim.read_bytes()) == len(content)


@pytest.mark.parametrize("where", ["_write", "replace"])
def test_a_full_disk_costs_the_bank_and_not_the_run(
    make: Any, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    expected = make(folder=None)[0].features(photographs, ANGLES)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if where == "_write":
            patch.setattr(bank_module, "_write", full)
        else:
            patch.setattr(bank_module.os, "replace", full)
        bank, _ = make()
        assert_same_views(bank.features(photographs, ANGLES), expected)
        assert_same_views(bank.features(photographs, ANGLES), expected)
    assert [str(w.message).count("No space left on device") for w in caught] == [1]
    assert "Free space, or set DIFFERNET_LITE_CACHE" in str(caught[0].message)
    assert not kept(tmp_path / "bank")
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_disk_that_fills_up_on_the_way(
    make: Any, photographs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = make(folder=None)[0].features(photographs, ANGLES)
    written: list[Path] = []
    write = bank_module._write

    def fills_up(path: Path, content: Any) -> None:
        written.append(path)
        if len(written) > 3:  # the note on what is kept, and two images
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(bank_module, "_write", fills_up)
    bank, spy = make()
    with pytest.warns(UserWarning, match="No space left") as caught:
        assert_same_views(bank.features(photographs, ANGLES), expected)
    assert len(caught) == 1
    assert len(written) == 4, "after the first failure nothing is tried"
    assert len(kept(tmp_path / "bank")) == 2
    assert spy.count == 5


def test_a_cache_that_is_no_folder_costs_the_bank_only(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    bank, spy = make(folder=tmp_path / "file")
    with pytest.warns(UserWarning, match="features cannot be kept"):
        assert bank.features(photographs, ANGLES).isfinite().all()
    assert spy.count == 5
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_interruption_loses_one_batch_and_leaves_whole_files(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    expected = make(folder=None)[0].features(photographs, ANGLES)
    bank, spy = make(interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        bank.features(photographs, ANGLES)
    assert spy.batches == [2, 2]
    files = kept(tmp_path / "bank")
    assert len(files) == 2
    assert all(np.load(file).shape == (2, 256) for file in files)
    assert not list(tmp_path.rglob("*.tmp"))
    bank, spy = make()
    with no_warnings():
        assert_same_views(bank.features(photographs, ANGLES), expected)
    assert spy.count == 3


def test_an_interruption_while_writing_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bank_module.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bank_module._write(tmp_path / "a.npy", np.zeros(5))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_an_error_and_are_not_kept(
    make: Any, photographs: list[Path], tmp_path: Path, poison: float
) -> None:
    bank, _ = make(poison=poison)
    name = bank_module.digest(photographs[1])
    with pytest.raises(
        FeatureError,
        match=rf"1 image\(s\) gave features that are not finite, the first with sha256 {name}.*float32",
    ):
        bank.features(photographs, ANGLES)
    assert not kept(tmp_path / "bank")


def test_duplicate_images_share_their_features(
    make: Any, photographs: list[Path], tmp_path: Path, picture: Picture
) -> None:
    bank, _ = make()
    twice = bank.features([photographs[0], photographs[1], photographs[0], photographs[0]], ANGLES)
    assert torch.equal(twice[0], twice[2])
    assert torch.equal(twice[2], twice[3])
    assert not torch.equal(twice[0], twice[1])
    assert len(kept(tmp_path / "bank")) == 2
    of_array = bank.features([picture(0)], ANGLES)
    assert_same_views(of_array[0], twice[0])


def test_jittered_features_do_not_depend_on_the_company(make: Any, photographs: list[Path]) -> None:
    t = Transformations(angles=ANGLES, brightness=0.3, contrast=0.3)
    together = make(t, folder=None, batch_size=5)[0].features(photographs, ANGLES)
    alone = torch.cat(
        [make(t, folder=None)[0].features([path], ANGLES) for path in photographs[::-1]]
    ).flip(0)
    assert_same_views(together, alone)
    plain = make(folder=None)[0].features(photographs, ANGLES)
    assert ((together - plain).norm(dim=2) / plain.norm(dim=2)).min() > 1e-3


def test_nothing_is_printed_without_progress(
    make: Any, photographs: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    make()[0].features(photographs, ANGLES)
    assert capfd.readouterr() == ("", "")


def test_progress_is_shown_when_asked(
    tiny_extractor: MultiScaleExtractor, photographs: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    FeatureBank(tiny_extractor, Transformations.none(), folder=None).features(
        photographs, (0.0,), description="my label"
    )
    assert "my label" in capfd.readouterr().err


def test_bad_images_are_named_and_no_image_is_no_feature(
    make: Any, photographs: list[Path]
) -> None:
    bank, _ = make()
    assert bank.features([], ANGLES).shape == (0, 2, 256)
    photographs[3].write_bytes(photographs[3].read_bytes()[:200])
    with pytest.raises(ImageError, match=r"3\.png"):
        bank.features(photographs, ANGLES)
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        bank.features([photographs[0], photographs[0].with_name("gone.png")], ANGLES)


def test_clearing_deletes_what_a_bank_wrote_and_nothing_else(
    make: Any, photographs: list[Path], tmp_path: Path
) -> None:
    make()[0].features(photographs, ANGLES)
    (tmp_path / "bank" / "mine").mkdir()
    (tmp_path / "bank" / "mine" / "notes.txt").write_text("keep")
    FeatureBank.clear_folder(tmp_path / "bank")
    assert not kept(tmp_path / "bank")
    assert [p.name for p in (tmp_path / "bank").rglob("*")] == ["mine", "notes.txt"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIFFERNET_LITE_CACHE", str(tmp_path / "here"))
    assert default_cache() == tmp_path / "here"
    monkeypatch.delenv("DIFFERNET_LITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "differnet_lite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "differnet_lite"


def test_maps_are_shown_with_the_positions_of_their_images(
    make: Callable[..., tuple[FeatureBank, Spy]], picture: Picture, tmp_path: Path
) -> None:
    """What is pooled from the shown maps are the features; images whose features were kept have no maps."""
    pictures = [picture(seed) for seed in range(5)]
    for n, kept in enumerate(([], pictures[:1], pictures)):
        bank, _ = make(batch_size=2, folder=tmp_path / str(n))
        bank.features(kept, ANGLES)
        shown = torch.full((5, len(ANGLES), bank.extractor.n_features), torch.nan)

        def watch(
            positions: list[int],
            k: int,
            maps: list[torch.Tensor],
            shown: torch.Tensor = shown,
            bank: FeatureBank = bank,
        ) -> None:
            shown[positions, k] = bank.extractor.pool(maps)

        features = bank.features(pictures, ANGLES, on_maps=watch)
        assert shown[: len(kept)].isnan().all()
        assert torch.equal(shown[len(kept) :], features[len(kept) :])
