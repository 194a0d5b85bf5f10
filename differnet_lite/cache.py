"""The feature cache: features of every view of every image, computed once and stored on disk.

The trunk is frozen, so the features of an image depend on its content, the weights, the
transformations and the code that makes them. They are stored under a name made of exactly these,
one small file an image: a new photograph costs that photograph only, and renaming costs nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.features import MultiScaleExtractor
from differnet_lite.files import replacing
from differnet_lite.images import ImageLike, decode, in_parallel, read
from differnet_lite.transforms import Transformations

__all__ = ["FeatureCache", "FeatureError", "code_version", "default_cache"]

SOURCES = ("transforms", "resampling", "trunk", "features", "images", "pixels", "cache")
UNUSED = ("angles", "n_train", "n_test", "max_angle")  # the angles are arguments here


class FeatureError(ValueError):
    """Features that are not finite numbers."""


def default_cache() -> Path:
    """Where features are stored: $DIFFERNET_LITE_CACHE, or the user's cache folder."""
    above = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    folder = os.environ.get("DIFFERNET_LITE_CACHE") or f"{above}/differnet_lite"
    return Path(folder).expanduser()


@functools.cache
def code_version() -> str:
    """A digest of the source that makes features: when it changes, stored ones are not used."""
    sources = [(Path(__file__).parent / f"{name}.py").read_bytes() for name in SOURCES]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


class FeatureCache:
    """Extracts features of views, or reads them where they are stored.

    Args:
        folder: where to store features; "auto" is `default_cache()`, None stores nothing.
        batch_size: images extracted together; None takes 8 on a CPU, whose caches hold no more,
            and 32 elsewhere.
        seed: of the jitter, if the transformations have one.
        white: of pictures of more than 8 bits, see `as_rgb`.
    """

    def __init__(
        self,
        extractor: MultiScaleExtractor,
        transformations: Transformations,
        *,
        folder: str | os.PathLike[str] | None = "auto",
        batch_size: int | None = None,
        seed: int = 0,
        progress: bool = True,
        white: float | None = None,
    ) -> None:
        self.extractor = extractor
        self.transformations = transformations
        self.folder = default_cache() if folder == "auto" else folder and Path(folder)
        self.batch_size = batch_size or (8 if extractor.device.type == "cpu" else 32)
        self.seed = seed
        self.progress = progress
        self.white = white

    def features(
        self, images: Sequence[ImageLike], angles: Sequence[float], *, description: str = "features"
    ) -> Tensor:
        """Features at T angles in degrees, (N, T, D) float32; see `iter_features`."""
        empty = torch.empty(0, len(angles), self.extractor.n_features)
        return torch.cat([empty, *self.iter_features(images, angles, description=description)])

    def iter_features(
        self, images: Iterable[ImageLike], angles: Sequence[float], *, description: str = "features"
    ) -> Iterator[Tensor]:
        """Features batch by batch, in the order of the images: (at most `batch_size`, T, D).

        Images that come one by one, as from a camera, are batches of one. An interruption loses
        at most the batch in work.

        Raises:
            FileNotFoundError, ImageError, FeatureError: an image is missing or cannot be read; a
                feature is not finite.
        """
        store = self._store(angles)
        n_images = len(images) if isinstance(images, Sequence) else None
        size = 1 if n_images is None else self.batch_size
        load = functools.partial(self._load, store=store, n_views=len(angles))
        loaded = in_parallel(load, images, ahead=1 if n_images is None else 4 * size)
        silent = not self.progress
        with tqdm(None, description, n_images, unit="image", disable=silent, leave=False) as bar:
            while batch := list(islice(loaded, size)):
                yield self._finish(batch, angles, store)
                bar.update(len(batch))

    def _load(self, image: ImageLike, store: Path | None, n_views: int) -> tuple[str, Tensor]:
        """The digest of an image with its pixels, or with its features if they are stored."""
        source = read(image)  # once: the digest is that of the pixels
        path = None if store is None else _path(store, source.digest)
        if path is not None and path.exists():
            try:
                return source.digest, _read(path, (n_views, self.extractor.n_features))
            except (OSError, ValueError) as error:
                warnings.warn(
                    f"{path}: the stored features are damaged ({error}); computed again",
                    stacklevel=2,
                )
        return source.digest, decode(source, self.extractor.size, white=self.white)

    def _finish(
        self, batch: Sequence[tuple[str, Tensor]], angles: Sequence[float], store: Path | None
    ) -> Tensor:
        """Extract what was not stored, store it, and put the batch together."""
        new = {name: x[None] for name, x in batch if x.dtype == torch.uint8}  # pixels
        features = {name: x for name, x in batch if x.dtype != torch.uint8}
        if self.transformations.jitters:  # each by its own random numbers, whatever its company
            rows = [self._views(pixels, name, angles) for name, pixels in new.items()]
        else:
            rows = [self._views(torch.cat([*new.values()]), "", angles)] if new else []
        for name, row in zip(new, torch.cat(rows) if rows else (), strict=True):
            if not row.isfinite().all():
                raise FeatureError(
                    f"the image with sha256 {name} gave features that are not finite; the "
                    "weights are damaged, or float16 overflowed (then use dtype='float32')"
                )
            features[name] = row
            if store is not None:
                path = _path(store, name)
                content = row.numpy().tobytes()
                self._keep(path, _digest(path, content) + content)
        return torch.stack([features[name] for name, _ in batch])

    def _views(self, images: Tensor, name: str, angles: Sequence[float]) -> Tensor:
        seed = int(hashlib.sha256(f"{self.seed}/{name}".encode()).hexdigest()[:15], 16)
        generator = torch.Generator().manual_seed(seed)
        return self.extractor.views(images, angles, self.transformations, generator)

    def _store(self, angles: Sequence[float]) -> Path | None:
        """The folder for all that features depend on; None if nothing is stored."""
        if self.folder is None:
            return None
        settings = dataclasses.asdict(self.transformations)
        key = {
            "extractor": self.extractor.identity,
            "code": code_version(),
            "angles": [float(angle) for angle in angles],
            "white": self.white,
            "seed": self.seed if self.transformations.jitters else None,
            **{name: value for name, value in settings.items() if name not in UNUSED},
        }
        store = Path(self.folder) / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        self._keep(store / "what.json", json.dumps(key, indent=1).encode())
        return store

    def _keep(self, path: Path, content: bytes) -> None:
        """Write a file, whole or not at all; a full disk costs the cache and not the run."""
        if self.folder is None:  # given up
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(content)
        except OSError as error:
            warnings.warn(
                f"{self.folder}: features cannot be stored ({error}); going on without. "
                "Free space, or set DIFFERNET_LITE_CACHE.",
                stacklevel=3,
            )
            self.folder = None

    @staticmethod
    def clear_folder(folder: Path) -> None:
        """Delete everything in a folder that a cache wrote, and nothing else."""
        for marker in folder.glob(f"{'[0-9a-f]' * 16}/what.json"):
            shutil.rmtree(marker.parent)


def _path(store: Path, name: str) -> Path:
    return store / name[:2] / f"{name}.features"


def _digest(path: Path, content: bytes) -> bytes:
    """Of the content and its name, so that another image's file is noticed as damage is."""
    return hashlib.sha256(f"{path.parts[-3]}/{path.name}/".encode() + content).digest()


def _read(path: Path, shape: tuple[int, int]) -> Tensor:
    """Stored features (T, D); OSError or ValueError if they cannot be trusted."""
    data = path.read_bytes()
    if data[:32] != _digest(path, data[32:]):
        raise ValueError("its digest does not fit its content")
    return torch.from_numpy(np.frombuffer(data[32:], dtype="<f4").reshape(shape).copy())
