"""What is to be done: methods, categories, seeds, settings and numbers of training images."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch

import differnet_lite
from differnet_lite.oldchecks import Rule, checked, mapping, shown, text, whole
from differnet_lite.folders import Category, DatasetError, load_category
from differnet_lite.images import digest, in_parallel

__all__ = ["Cell", "Grid", "Options", "fingerprint", "options_json", "subset"]

Options: TypeAlias = "Mapping[str, Any]"
T = TypeVar("T")

ITEMS: dict[str, Rule] = {  # what each list may hold
    "methods": text,
    "categories": lambda name, value: text(name, os.fspath(value)),
    "seeds": whole(0),
    "settings": mapping,
    "n_train": lambda name, value: value is None or whole(1)(name, value),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fit and one scoring of a test set.

    Attributes:
        method: name of the detector.
        folder: of the category, absolute.
        seed: of the detector, and of the choice of training images.
        options: of the detector, as JSON with sorted keys.
        n_train: number of training images; None takes all.
        images: fingerprint of the category, see `fingerprint`.
    """

    method: str
    folder: str
    seed: int
    options: str
    n_train: int | None
    images: str

    @property
    def category(self) -> str:
        return Path(self.folder).name

    @property
    def key(self) -> str:
        """The name under which the result is kept.

        It holds everything that the result depends on: the method, its options, the seed, the
        content of the images and the version of this package. A new version therefore computes
        anew and never mixes with an old one; results of the old one stay in the folder. The place
        of the images is no part of it, nor are the device and the number of threads: they move a
        result in its last digits, and the table records them.
        """
        what = [
            self.method,
            self.category,
            self.images,
            self.seed,
            self.options,
            self.n_train,
            differnet_lite.__version__,
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Every method on every category with every seed, setting and number of training images.

    Args:
        methods: names, or a mapping from each name to options of that method alone.
        categories: folders in the MVTec layout, with labelled test images, of different names.
        seeds: one or more.
        settings: options for every method, each a mapping; they win over a method's own. Values
            are what JSON can hold, or dataclasses such as `Transformations`.
        n_train: numbers of training images, see `subset`; None takes all.

    Raises:
        ValueError: one of the lists is empty, or a number of training images is below 1.

    Example:
        >>> Grid(methods=["ocsvm"], categories=["data/flange"], seeds=[])
        Traceback (most recent call last):
        ValueError: seeds: expected at least one, got none
    """

    methods: Sequence[str] | Mapping[str, Options]
    categories: Sequence[str | os.PathLike[str]]
    seeds: Sequence[int] = (0,)
    settings: Sequence[Options] = ({},)
    n_train: Sequence[int | None] = (None,)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str | bytes) or not isinstance(value, Sequence | Mapping):
                raise TypeError(f"{field.name}: expected a list, got {shown(value)}")
            if not len(value):
                raise ValueError(f"{field.name}: expected at least one, got none")
            for item in value:
                ITEMS[field.name](field.name, item)

    def cells(self) -> list[Cell]:
        """The cells, each once: seed by seed, so that a table with one seed is whole early.

        Raises:
            FileNotFoundError, DatasetError, ImageError: a category cannot be used.
        """
        own = (
            self.methods
            if isinstance(self.methods, Mapping)
            else {method: {} for method in self.methods}
        )
        images = {
            os.path.abspath(folder): fingerprint(_with_labels(folder)) for folder in self.categories
        }
        shared = [
            name for name, n in Counter(Path(folder).name for folder in images).items() if n > 1
        ]
        if shared:
            raise DatasetError(
                f"expected categories of different names, got {shared[0]!r} more than once;"
                " rename one folder"
            )
        return list(
            dict.fromkeys(
                Cell(
                    method,
                    folder,
                    int(seed),
                    options_json({**options, **setting}),
                    n,
                    images[folder],
                )
                for seed in self.seeds
                for folder in images
                for setting in self.settings
                for n in self.n_train
                for method, options in own.items()
            )
        )


def options_json(options: Options) -> str:
    """Options as JSON with sorted keys.

    Raises:
        TypeError, ValueError: a value is neither plain nor a dataclass, or no finite number.
    """
    try:
        return json.dumps(options, sort_keys=True, default=dataclasses.asdict, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"settings: expected finite numbers, texts, lists and dataclasses, got {options}"
        ) from error


def fingerprint(category: Category) -> str:
    """Tells two sets of images apart by the names and the content of their files.

    Every file is read once, in threads; names are relative to the category's folder.
    """
    paths = category.train + category.test
    names = [path.relative_to(category.root).as_posix() for path in paths]
    files = list(zip(names, in_parallel(digest, paths), strict=True))
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]


@checked(n=whole(1))
def subset(images: Sequence[T], n: int | None, seed: int) -> list[T]:
    """The first n of the images in an order drawn from the seed.

    A larger subset contains the smaller ones.

    Args:
        images: N images.
        n: number wanted; None gives all, in their own order.
        seed: of the order.

    Raises:
        ValueError: there are fewer than n.

    Example:
        >>> subset(range(6), 3, seed=0)[:2] == subset(range(6), 2, seed=0)
        True
    """
    if n is None:
        return list(images)
    if n > len(images):
        raise ValueError(
            f"expected at least {n} training images, got {len(images)};"
            " ask for fewer, or None for all"
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return [images[i] for i in order[:n].tolist()]


def _with_labels(folder: str | os.PathLike[str]) -> Category:
    """The category in a folder, if results on it can be measured."""
    category = load_category(folder)
    if not category.labels.any() or category.labels.all():
        n_anomalous = int(category.labels.sum())
        raise DatasetError(
            f"{category.root}: expected test/good/ and at least one test/DEFECT/ to measure with, "
            f"got {len(category.test) - n_anomalous} normal and {n_anomalous} anomalous test images"
        )
    return category
