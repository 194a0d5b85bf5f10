"""A whole sample category as a folder of PNG files in the layout of MVTec AD."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from differnet_course.samples.images import DEFECTS, VERSION, check, render
from differnet_course.samples.shapes import Mask
from differnet_course.samples.weave import AGEING
from differnet_lite.oldchecks import checked, whole
from differnet_lite.files import made_folder, regular

__all__ = ["default_data_root", "make_sample_category"]

_MANIFEST = "manifest.json"


def default_data_root() -> Path:
    """Where categories go: $DIFFERNET_LITE_DATA, or data/ of this checkout, or ./data."""
    named = os.environ.get("DIFFERNET_LITE_DATA")
    if named:
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "data" if (checkout / "pyproject.toml").is_file() else Path("data")


@checked(n_train=whole(1), n_test_good=whole(0), n_per_defect=whole(0), seed=whole(0))
def make_sample_category(
    category: str,
    root: str | os.PathLike[str] | None = None,
    *,
    n_train: int = 80,
    n_test_good: int = 30,
    n_per_defect: int = 12,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write one category as PNG files in the layout of MVTec AD, unless it is there.

    The files are `train/good/000.png`, `test/good/000.png`, `test/<defect>/000.png` and
    `ground_truth/<defect>/000_mask.png` (white on the defect). Every image has a seed of
    its own, made from `seed`, its folder and its number: image k is the same whatever the
    counts. All is written to a temporary sibling folder that is renamed at the end, so an
    interruption never leaves a folder that looks complete.

    Args:
        category: One of `SAMPLE_CATEGORIES`.
        root: Folder that holds the categories, made if missing; None takes `default_data_root()`.
        n_train: Number of normal training images, at least 1.
        n_test_good: Number of normal test images.
        n_per_defect: Number of test images of each kind of defect.
        seed: Seed of the whole category, at least 0.
        progress: Show a progress bar.

    Returns:
        The folder `root/category`.

    Raises:
        ValueError: Unknown category, or a count or the seed out of range.
        FileExistsError: The folder holds something else than what was asked for.
    """
    check(category, None)
    counts = {"n_train": n_train, "n_test_good": n_test_good, "n_per_defect": n_per_defect}
    wanted = {"generator": "differnet_course.samples", "version": VERSION, "category": category}
    wanted |= {"seed": seed, **counts}
    folder = (default_data_root() if root is None else Path(root)) / category
    if folder.exists():
        _check_existing(folder, wanted)
        return folder
    made_folder(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=f".{category}-", dir=folder.parent))
    try:
        digest = hashlib.sha256()
        jobs = list(_jobs(category, n_train, n_test_good, n_per_defect))
        for split, kind, index in tqdm(jobs, desc=category, unit="image", disable=not progress):
            image, mask = _image(category, split, kind, index, seed)
            digest.update(image.tobytes())
            _save(image, partial / split / kind / f"{index:03d}.png")
            if kind != "good":
                digest.update(mask.tobytes())
                white = mask.astype(np.uint8) * 255
                _save(white, partial / "ground_truth" / kind / f"{index:03d}_mask.png")
        manifest = wanted | {"sha256": digest.hexdigest()}
        (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp makes it private
        try:
            partial.rename(folder)
        except OSError:  # another process was quicker: its images are the same
            if not folder.exists():
                raise
            _check_existing(folder, wanted)
            shutil.rmtree(partial, ignore_errors=True)
    except BaseException:  # Ctrl-C included
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _jobs(
    category: str, n_train: int, n_good: int, n_defect: int
) -> Iterator[tuple[str, str, int]]:
    """(split, kind, index) of every image, in the order of the manifest's sha256."""
    yield from (("train", "good", k) for k in range(n_train))
    yield from (("test", "good", k) for k in range(n_good))
    for defect in DEFECTS[category]:
        yield from (("test", defect, k) for k in range(n_defect))


def _image(
    category: str, split: str, kind: str, index: int, seed: int
) -> tuple[NDArray[np.uint8], Mask]:
    """The image of one place in the layout, and its mask."""
    # Bytes of the names, not their positions: a new kind of defect moves no other image.
    name = f"{category}/{split}/{kind}".encode()
    key = tuple(np.frombuffer(hashlib.sha256(name).digest()[:16], dtype="<u4").tolist())
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, index)))
    ageing = 0.0
    if category == "weave" and split == "test":  # documented in weave.py
        ageing = AGEING * rng.uniform(0.6, 1.4)
    return render(category, rng, defect=None if kind == "good" else kind, ageing=ageing)


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _check_existing(folder: Path, wanted: dict[str, Any]) -> None:
    """Raise FileExistsError unless `folder` is the complete result of the same call."""
    advice = "move or delete that folder, or choose another root"
    try:
        found = json.loads(regular(folder / _MANIFEST).read_text(encoding="utf-8"))
        differing = {k: found.get(k) for k in wanted if found.get(k) != wanted[k]}
    except (OSError, ValueError, AttributeError, RecursionError):
        raise FileExistsError(
            f"expected {folder} to be absent or made by make_sample_category, found a folder"
            f" without a readable {_MANIFEST}; {advice}"
        ) from None
    if differing:
        asked = {k: wanted[k] for k in differing}
        raise FileExistsError(
            f"expected {folder} with {asked}, found {differing}; {advice}, or ask for what is there"
        )
    present = sum(1 for _ in folder.glob("t*/*/*.png"))
    n_defects = wanted["n_per_defect"] * len(DEFECTS[wanted["category"]])
    complete = wanted["n_train"] + wanted["n_test_good"] + n_defects
    if present != complete:
        raise FileExistsError(
            f"expected {complete} images in {folder}, found {present}; files were added or"
            f" removed after it was made: {advice}"
        )
