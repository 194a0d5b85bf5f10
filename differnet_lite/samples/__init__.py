"""Built-in sample categories in the layout of MVTec AD, generated on the spot.

No download and no licence question: every image is computed from a seed. The pictures
imitate industrial inspection photographs; results on them teach the method, they are
not results on MVTec AD.

| category | pose | colour | what it teaches |
|---|---|---|---|
| `flange` | any rotation | grey | rotations of the test image average out the pose |
| `weave` | fills the frame | grey | brightness drifts between training and test |
| `tablet` | fixed, a few degrees | RGB | small defects under print and speckles |
| `switch` | fixed | RGB | the defect "turned" disappears under rotation augmentation |

Reproducibility: all arithmetic is float64 on one thread, without BLAS or FFT. Maths
libraries, vector units and fused multiply-adds differ by about 1e-13 there; rounding to
uint8 hides that unless a value lies this close to a rounding border, which happens to
about one pixel in ten thousand images. So the same bits are expected on every machine, the
tests pin them, and the manifest's sha256 shows whether two machines agree. What could
change them is a NumPy that draws its normal distribution differently.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tqdm.auto import tqdm

from . import flange, switch, tablet, weave
from .rendering import SIZE, Array, Mask, expose

__all__ = [
    "DEFECTS",
    "SAMPLE_CATEGORIES",
    "VERSION",
    "default_data_root",
    "make_sample_category",
    "render",
]

VERSION = 1  # raise whenever a pixel of any image changes
SAMPLE_CATEGORIES: tuple[str, ...] = ("flange", "weave", "tablet", "switch")
DEFECTS: dict[str, tuple[str, ...]] = {
    "flange": flange.DEFECTS,
    "weave": weave.DEFECTS,
    "tablet": tablet.DEFECTS,
    "switch": switch.DEFECTS,
}

_Scene = Callable[[np.random.Generator, np.random.Generator, str | None], Array]
_SCENES: dict[str, _Scene] = {
    "flange": flange.scene,
    "weave": weave.scene,
    "tablet": tablet.scene,
    "switch": switch.scene,
}
_VISIBLE = 2.0  # grey levels: what changes by less is no part of the defect
_SMALLEST = 30  # pixels: a defect that shows less than this is drawn anew
_ATTEMPTS = 20
_MANIFEST = "manifest.json"


def render(
    category: str,
    rng: np.random.Generator,
    *,
    defect: str | None = None,
    ageing: float = 0.0,
) -> tuple[NDArray[np.uint8], Mask]:
    """Render one image and the mask of its defect.

    Two calls with generators in the same state and different `defect` show the same part
    under the same light with the same sensor noise: they differ inside the mask only, and
    every pixel that the defect changes by two grey levels or more lies in the mask.

    Args:
        category: One of `SAMPLE_CATEGORIES`.
        rng: Source of all randomness; advanced by the same amount whatever the defect.
        defect: One of `DEFECTS[category]`, or None for a normal part.
        ageing: Share of the lamp's light that is lost, 0 to 1 (exclusive).

    Returns:
        image: uint8, (448, 448) for grey categories, (448, 448, 3) for colour ones.
        mask: bool, (448, 448), True where the defect changed the image.

    Raises:
        ValueError: Unknown category or defect, or `ageing` out of range or so high that the
            defect does not show.

    Example:
        >>> image, mask = render("flange", np.random.default_rng(0), defect="dent")
        >>> image.shape, image.dtype, bool(mask.any())
        ((448, 448), dtype('uint8'), True)
    """
    _check(category, defect)
    if not 0.0 <= ageing < 1.0:
        raise ValueError(f"expected 0 <= ageing < 1 (share of light lost), got {ageing}")
    _keep_freed_memory()
    part_seed, flaw_seed, lens_seed = rng.integers(2**63, size=3)
    draw = _SCENES[category]

    def photograph(kind: str | None, lens: np.random.Generator) -> Array:
        scene = draw(np.random.default_rng(part_seed), flaw, kind)
        return expose(scene, lens, light=1.0 - ageing)

    flaw, lens = np.random.default_rng(flaw_seed), np.random.default_rng(lens_seed)
    level = photograph(None, lens)
    noise = lens.standard_normal(level.shape)  # one noise, with and without the defect
    image = _digitise(level, noise)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    if defect is None:
        return image, mask
    for _ in range(_ATTEMPTS):  # it may have fallen into a shadow
        flawed = photograph(defect, np.random.default_rng(lens_seed))
        change = np.abs(flawed - level)
        mask = (change if change.ndim == 2 else change.max(axis=0)) >= _VISIBLE
        # Where a change passes through zero inside the defect, that is defect too.
        mask = ndimage.binary_closing(np.pad(mask, 4), iterations=3)[4:-4, 4:-4] | mask
        if np.count_nonzero(mask) >= _SMALLEST:
            break
    else:
        raise ValueError(
            f"expected a lamp bright enough to show {defect!r}, got ageing={ageing}; lower it"
        )
    inside = mask if image.ndim == 2 else mask[..., None]
    return np.where(inside, _digitise(flawed, noise), image), mask


def default_data_root() -> Path:
    """Where sample categories go: $DIFFERNET_LITE_DATA, or data/ of the checkout this package lies in, or ./data."""
    named = os.environ.get("DIFFERNET_LITE_DATA")
    if named:
        return Path(named).expanduser()
    checkout = Path(__file__).resolve().parents[2]
    return checkout / "data" if (checkout / "pyproject.toml").is_file() else Path("data")


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
    _check(category, None)
    counts = {"n_train": n_train, "n_test_good": n_test_good, "n_per_defect": n_per_defect}
    for name, value in {**counts, "seed": seed}.items():
        least = 1 if name == "n_train" else 0
        if value < least:
            raise ValueError(f"expected {name} >= {least}, got {value}")
    wanted = {"generator": "differnet_lite.samples", "version": VERSION, "category": category}
    wanted |= {"seed": seed, **counts}
    folder = (default_data_root() if root is None else Path(root)) / category
    if folder.exists():
        _check_existing(folder, wanted)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
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


def _keep_freed_memory() -> None:
    """Make glibc reuse the memory of freed arrays: rendering takes half the time.

    Its malloc returns large blocks to the system when they are freed, and every new array
    pays for fresh pages, until one block of up to 32 MiB was freed; from then on blocks of
    that size are reused. This one is never written to, so it costs next to nothing.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


def _check(category: str, defect: str | None) -> None:
    if category not in SAMPLE_CATEGORIES:
        raise ValueError(f"expected a category of {SAMPLE_CATEGORIES}, got {category!r}")
    if defect is not None and defect not in DEFECTS[category]:
        raise ValueError(
            f"expected a defect of {DEFECTS[category]} or None for {category!r}, got {defect!r}"
        )


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
        ageing = weave.AGEING * rng.uniform(0.6, 1.4)
    return render(category, rng, defect=None if kind == "good" else kind, ageing=ageing)


def _digitise(level: Array, noise: Array) -> NDArray[np.uint8]:
    """Add read and shot noise to grey levels 0 to 255; uint8, (H, W) or (H, W, 3)."""
    # Demosaicing averages neighbouring pixels, so colour images have less noise.
    strength = 1.0 if level.ndim == 2 else 0.6
    noisy = level + noise * (strength * np.sqrt(0.6 + 0.009 * level))
    pixels = np.rint(np.clip(noisy, 0.0, 255.0)).astype(np.uint8)
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)


def _check_existing(folder: Path, wanted: dict[str, Any]) -> None:
    """Raise FileExistsError unless `folder` is the complete result of the same call."""
    advice = "move or delete that folder, or choose another root"
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        differing = {k: found.get(k) for k in wanted if found.get(k) != wanted[k]}
    except (OSError, ValueError, AttributeError):
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
