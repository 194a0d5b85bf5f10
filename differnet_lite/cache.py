"""The feature cache: features of every view of every image, computed once and kept on disk.

The trunk is frozen, so the features of an image depend on its content, the weights, the
transformations and the code that makes them. They are kept under a name made of exactly these, one
small file an image, so adding a photograph to a folder costs that photograph only, and renaming
costs nothing. Each file carries a digest over its name and content: damage is noticed, and so is
one image's file in another's place.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.oldchecks import checked, real, reals, whole
from differnet_lite.features import MultiScaleExtractor
from differnet_lite.files import at_home, replacing
from differnet_lite.images import ImageLike, decode, digest, in_parallel
from differnet_lite.transforms import Transformations

__all__ = ["FeatureCache", "FeatureError", "code_version", "default_cache"]

SOURCES = ("transforms/views", "transforms/resampling", "trunk", "features", "images", "cache")


class FeatureError(ValueError):
    """Features that are not finite numbers."""


def default_cache() -> Path:
    """Where features are kept: $DIFFERNET_LITE_CACHE, or the user's cache folder."""
    named = os.environ.get("DIFFERNET_LITE_CACHE")
    if named:
        return at_home(named)
    return at_home(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "differnet_lite"


@functools.cache
def code_version() -> str:
    """A digest of the source that makes features: when it changes, kept features are not used."""
    kept = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in SOURCES]
    return hashlib.sha256(b"".join(kept)).hexdigest()[:16]


class FeatureCache:
    """Extracts features of views, or takes them from disk where they are already.

    Args:
        extractor: the trunk.
        transformations: how a view is made from an image and an angle.
        folder: where to keep features; "auto" is `default_cache()`, None keeps nothing.
        batch_size: images extracted together; None takes 8 on a CPU, whose caches hold no more,
            and 32 elsewhere.
        seed: of the jitter, if the transformations have one.
        progress: whether to show a progress bar.

    Example:
        >>> extractor = MultiScaleExtractor(device="cpu")
        >>> cache = FeatureCache(extractor, Transformations.none(), folder=None, progress=False)
        >>> cache.features([np.zeros((448, 448), np.uint8)], angles=(0.0, 90.0)).shape
        torch.Size([1, 2, 768])
    """

    @checked(batch_size=whole(1), seed=whole(0))
    def __init__(
        self,
        extractor: MultiScaleExtractor,
        transformations: Transformations,
        *,
        folder: str | os.PathLike[str] | None = "auto",
        batch_size: int | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.extractor, self.transformations = extractor, transformations
        self.folder = (
            default_cache() if folder == "auto" else None if folder is None else Path(folder)
        )
        self.batch_size = batch_size or (8 if extractor.device.type == "cpu" else 32)
        self.seed, self.progress = seed, progress

    @checked
    def features(
        self, images: Sequence[ImageLike], angles: Sequence[float], *, description: str = "features"
    ) -> Tensor:
        """Features of all views, (N, T, D) float32; `iter_features` is the same as a stream."""
        empty = torch.empty(0, len(angles), self.extractor.n_features)
        return torch.cat([empty, *self.iter_features(images, angles, description=description)])

    @checked(angles=reals(real()))
    def iter_features(
        self, images: Sequence[ImageLike], angles: Sequence[float], *, description: str = "features"
    ) -> Iterator[Tensor]:
        """Features batch by batch, in the order of the images: (at most `batch_size`, T, D).

        An interruption loses at most the batch in work: what was finished is on disk.

        Args:
            images: paths, arrays or Pillow images.
            angles: T angles in degrees.
            description: label of the progress bar.

        Raises:
            FileNotFoundError: a path does not exist.
            ImageError: an image cannot be read.
            FeatureError: a feature is not finite.
        """
        turns = tuple(angles)
        store, shape = self._store(turns), (len(turns), self.extractor.n_features)
        load = functools.partial(self._load, store=store, shape=shape)
        n_images, silent = len(images), not self.progress
        with tqdm(None, description, n_images, unit="image", disable=silent, leave=False) as bar:
            batch: list[tuple[str, Tensor, bool]] = []
            for n, item in enumerate(in_parallel(load, images, ahead=4 * self.batch_size), start=1):
                batch.append(item)
                if len(batch) == self.batch_size or n == len(images):
                    yield self._finish(batch, turns, store)
                    bar.update(len(batch))
                    batch = []

    def _load(
        self, image: ImageLike, store: Path | None, shape: tuple[int, int]
    ) -> tuple[str, Tensor, bool]:
        """The digest of an image; its kept features and True, or else its pixels and False."""
        name = digest(image)
        if store is not None:
            path = _path(store, name)
            try:
                return name, torch.from_numpy(_read(path, shape)), True
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:
                warnings.warn(
                    f"{path}: the kept features are damaged ({error}); they are computed again",
                    stacklevel=2,
                )
        return name, decode(image, self.extractor.size), False

    def _finish(
        self, batch: list[tuple[str, Tensor, bool]], angles: tuple[float, ...], store: Path | None
    ) -> Tensor:
        """Extract what was not kept, keep it, and put the batch together."""
        missing = [i for i, (_, _, kept) in enumerate(batch) if not kept]
        if missing:
            names, pixels = [batch[i][0] for i in missing], [batch[i][1][None] for i in missing]
            if self.transformations.jitters:  # by a generator of its own, whatever its company
                new = [self._views(*pair, angles) for pair in zip(pixels, names, strict=True)]
            else:
                new = [self._views(torch.cat(pixels), "", angles)]
            for i, name, features in zip(missing, names, torch.cat(new), strict=True):
                if not features.isfinite().all():
                    raise FeatureError(
                        f"the image with sha256 {name} gave features that are not finite; the "
                        "weights are damaged, or float16 overflowed (then use dtype='float32')"
                    )
                batch[i] = name, features, True
                self._keep(name, features, store)
        return torch.stack([features for _, features, _ in batch])

    def _views(self, images: Tensor, name: str, angles: tuple[float, ...]) -> Tensor:
        seed = int(hashlib.sha256(f"{self.seed}/{name}".encode()).hexdigest()[:15], 16)
        generator = torch.Generator().manual_seed(seed)
        return self.extractor.views(images, angles, self.transformations, generator)

    def _store(self, angles: tuple[float, ...]) -> Path | None:
        """The folder for all that features depend on; None if nothing can be kept."""
        if self.folder is None:
            return None
        t = self.transformations
        key = {
            "extractor": self.extractor.identity,
            "code": code_version(),
            "angles": angles,
            "fill": t.fill,
            "interpolation": t.interpolation,
            "zoom": t.zoom,
            "shift": t.shift,
            "brightness": t.brightness,
            "contrast": t.contrast,
            "seed": self.seed if t.jitters else None,
        }
        store = self.folder / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        try:
            store.mkdir(parents=True, exist_ok=True)
            if not (store / "what.json").exists():
                with replacing(store / "what.json") as file:
                    file.write(json.dumps(key, indent=1).encode())
        except OSError as error:
            self._give_up(error)
            return None
        return store

    def _keep(self, name: str, features: Tensor, store: Path | None) -> None:
        """Write a file whole or not at all; a full disk costs the cache and not the run."""
        if store is None or self.folder is None:  # given up
            return
        try:
            path = _path(store, name)
            path.parent.mkdir(exist_ok=True)
            content = features.numpy().tobytes()
            with replacing(path, ours=True) as file:
                file.write(_digest(path, content) + content)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        warnings.warn(
            f"{self.folder}: features cannot be kept ({error}); going on without. "
            "Free space, or set DIFFERNET_LITE_CACHE.",
            stacklevel=3,
        )
        self.folder = None

    @staticmethod
    def clear_folder(folder: Path) -> None:
        """Delete everything in a folder that a cache wrote, and nothing else."""
        for marker in folder.glob(f"{'[0-9a-f]' * 16}/what.json"):  # others are no cache's
            shutil.rmtree(marker.parent)


def _path(store: Path, name: str) -> Path:
    return store / name[:2] / f"{name}.features"


def _digest(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(f"{path.parts[-3]}/{path.name}/".encode() + content).digest()


def _read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Kept features (T, D); OSError or ValueError if they cannot be trusted."""
    expected = 32 + 4 * shape[0] * shape[1]
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError("it is no regular file")
    if (size := path.stat().st_size) != expected:
        raise ValueError(f"expected {expected} bytes, got {size}")
    kept = path.read_bytes()
    if kept[:32] != _digest(path, kept[32:]):
        raise ValueError("its digest does not fit its content")
    return np.frombuffer(kept[32:], dtype="<f4").reshape(shape).copy()
