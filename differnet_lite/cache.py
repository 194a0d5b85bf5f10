"""The feature bank: features of every view of every image, computed once and kept on disk.

The trunk is frozen, so the features of an image depend on its content, the weights and the
transformations alone. They are kept under a name made of exactly these, one small `.npy` file an
image, so adding a photograph to a folder costs that photograph only, and renaming costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from differnet_lite.data.files import replacing
from differnet_lite.data.images import ImageLike, decode, digest, in_parallel
from differnet_lite.features import MultiScaleExtractor, OnMaps
from differnet_lite.transforms import Transformations

__all__ = ["FeatureBank", "FeatureError", "default_cache"]

OnImageMaps = Callable[[list[int], int, list[Tensor]], None]


class FeatureError(ValueError):
    """Features that are not finite numbers."""


def default_cache() -> Path:
    """Where features are kept: $DIFFERNET_LITE_CACHE, or the user's cache folder."""
    named = os.environ.get("DIFFERNET_LITE_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "differnet_lite"


class FeatureBank:
    """Extracts features of views, or takes them from disk where they are already.

    Args:
        extractor: the trunk.
        transformations: how a view is made from an image and an angle.
        folder: where to keep features; "auto" is `default_cache()`, None keeps nothing.
        batch_size: images decoded and extracted together; None takes 8 on a CPU, whose caches hold no more, and 32 elsewhere.
        seed: of the jitter, if the transformations have one.
        progress: whether to show a progress bar.

    Example:
        >>> bank = FeatureBank(MultiScaleExtractor(device="cpu"), Transformations.none(), folder=None, progress=False)
        >>> bank.features([np.zeros((448, 448), np.uint8)], angles=(0.0, 90.0)).shape
        torch.Size([1, 2, 768])
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
    ) -> None:
        self.extractor, self.transformations = extractor, transformations
        self.folder = (
            None if folder is None else default_cache() if folder == "auto" else Path(folder)
        )
        self.batch_size = batch_size or (8 if extractor.device.type == "cpu" else 32)
        self.seed, self.progress = seed, progress

    def features(
        self,
        images: Sequence[ImageLike],
        angles: Sequence[float],
        *,
        description: str = "features",
        on_maps: OnImageMaps | None = None,
    ) -> Tensor:
        """Features of all views, (N, T, D) float32; see `iter_features` for the arguments, and for a stream in constant memory."""
        chunks = list(self.iter_features(images, angles, description=description, on_maps=on_maps))
        return (
            torch.cat(chunks) if chunks else torch.empty(0, len(angles), self.extractor.n_features)
        )

    def iter_features(
        self,
        images: Sequence[ImageLike],
        angles: Sequence[float],
        *,
        description: str = "features",
        on_maps: OnImageMaps | None = None,
    ) -> Iterator[Tensor]:
        """Features batch by batch, in the order of the images: tensors (at most `batch_size`, T, D).

        An interruption loses at most the batch in work: what was finished is on disk.

        Args:
            images: paths, arrays or Pillow images.
            angles: T angles in degrees.
            description: label of the progress bar.
            on_maps: is shown the trunk's maps of what is extracted, with the positions of their images in `images`
                and of their angle in `angles`. Images whose features were kept have none, nor have views with jitter.

        Raises:
            FileNotFoundError: a path does not exist.
            ImageError: an image cannot be read.
            FeatureError: a feature is not finite.
        """
        angles = tuple(float(a) for a in angles)
        store = self._store(angles)
        shape = (len(angles), self.extractor.n_features)
        with tqdm(
            total=len(images),
            desc=description,
            unit="image",
            disable=not self.progress,
            leave=False,
        ) as bar:
            loaded = in_parallel(
                lambda image: self._load(image, store, shape), images, ahead=4 * self.batch_size
            )
            batch: list[tuple[str, np.ndarray | Tensor]] = []
            for n, item in enumerate(loaded, start=1):
                batch.append(item)
                if len(batch) == self.batch_size or n == len(images):
                    yield self._finish(batch, angles, store, n - len(batch), on_maps)
                    bar.update(len(batch))
                    batch = []

    def _load(
        self, image: ImageLike, store: Path | None, shape: tuple[int, int]
    ) -> tuple[str, np.ndarray | Tensor]:
        """The digest of an image with its kept features (array), or else its pixels (tensor)."""
        name = digest(image)
        if store is not None:
            path = _path(store, name)
            try:
                kept = np.load(path, allow_pickle=False)
                if kept.shape == shape and kept.dtype == np.float32 and np.isfinite(kept).all():
                    return name, kept
                raise ValueError(f"expected float32 {shape}, got {kept.dtype} {kept.shape}")
            except FileNotFoundError:
                pass
            except (OSError, ValueError, EOFError) as error:
                warnings.warn(
                    f"{path}: the kept features are damaged ({error}); they are computed again",
                    stacklevel=2,
                )
        return name, decode(image, self.extractor.size)

    def _finish(
        self,
        batch: list[tuple[str, np.ndarray | Tensor]],
        angles: tuple[float, ...],
        store: Path | None,
        first: int,
        on_maps: OnImageMaps | None,
    ) -> Tensor:
        """Extract what was not kept, keep it, and put the batch together; `first` is the position of its first image."""
        missing = [i for i, (_, item) in enumerate(batch) if isinstance(item, Tensor)]
        features = torch.empty(len(batch), len(angles), self.extractor.n_features)
        for i, (_, item) in enumerate(batch):
            if isinstance(item, np.ndarray):
                features[i] = torch.from_numpy(item)
        if missing:
            if (
                self.transformations.jitters
            ):  # each image by a generator of its own: its features must not depend on its company
                new = torch.cat(
                    [self._views(batch[i][1][None], angles, batch[i][0]) for i in missing]
                )  # type: ignore[arg-type, index]
            else:
                shown = (
                    None
                    if on_maps is None
                    else functools.partial(on_maps, [first + i for i in missing])
                )
                new = self._views(
                    torch.stack([batch[i][1] for i in missing]), angles, on_maps=shown
                )  # type: ignore[misc]
            if not new.isfinite().all():
                bad = [missing[int(j)] for j in (~new.isfinite()).flatten(1).any(1).nonzero()[:, 0]]
                raise FeatureError(
                    f"{len(bad)} image(s) gave features that are not finite, the first with sha256 {batch[bad[0]][0]}; "
                    "expected finite numbers: the weights are damaged, or float16 overflowed (then use dtype='float32')"
                )
            features[missing] = new
            if store is not None:
                self._keep({batch[i][0]: new[j].numpy() for j, i in enumerate(missing)}, store)
        return features

    def _views(
        self,
        images: Tensor,
        angles: tuple[float, ...],
        name: str = "",
        on_maps: OnMaps | None = None,
    ) -> Tensor:
        generator = torch.Generator().manual_seed(
            int(hashlib.sha256(f"{self.seed}/{name}".encode()).hexdigest()[:15], 16)
        )
        return self.extractor.views(images, angles, self.transformations, generator, on_maps)

    def _store(self, angles: tuple[float, ...]) -> Path | None:
        """The folder for these weights, transformations and angles; None if nothing can be kept."""
        if self.folder is None:
            return None
        t = self.transformations
        key = {
            "extractor": self.extractor.identity,
            "angles": angles,
            "fill": t.fill,
            "interpolation": t.interpolation,
            "brightness": t.brightness,
            "contrast": t.contrast,
            "seed": self.seed if t.jitters else None,
        }
        store = self.folder / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
        try:
            store.mkdir(parents=True, exist_ok=True)
            if not (store / "what.json").exists():
                _write(store / "what.json", json.dumps(key, indent=1).encode())
        except OSError as error:
            self._give_up(error)
            return None
        return store

    def _keep(self, features: dict[str, np.ndarray], store: Path) -> None:
        """Write each file whole or not at all; a full disk costs the bank and not the run."""
        if self.folder is None:  # given up
            return
        try:
            for name, array in features.items():
                path = _path(store, name)
                path.parent.mkdir(exist_ok=True)
                _write(path, array)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        warnings.warn(
            f"{self.folder}: features cannot be kept ({error}); going on without. Free space, or set DIFFERNET_LITE_CACHE.",
            stacklevel=3,
        )
        self.folder = None

    @staticmethod
    def clear_folder(folder: Path) -> None:
        """Delete everything in a folder that a bank wrote, and nothing else."""
        for marker in folder.glob("*/what.json"):
            shutil.rmtree(marker.parent)


def _path(store: Path, name: str) -> Path:
    return store / name[:2] / f"{name}.npy"


def _write(path: Path, content: bytes | np.ndarray) -> None:
    """Atomic: a reader sees the whole file or none."""
    with replacing(path) as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.save(file, content, allow_pickle=False)
