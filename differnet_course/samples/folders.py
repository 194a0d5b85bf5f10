"""A whole sample category as a folder of PNG files in the layout of MVTec AD."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from differnet_lite.checks import one_of

from .images import DEFECTS, SAMPLE_CATEGORIES, VERSION, render
from .shapes import Mask
from .weave import AGEING

MANIFEST = "manifest.json"


def default_data_root() -> Path:
    """Where categories go: $DIFFERNET_LITE_DATA, or data/ of this checkout, or ./data."""
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

    Image k of a folder is the same whatever the counts. The category's folder gets its name at the
    end, so that an interruption never leaves one that looks complete.

    Args:
        category: one of `SAMPLE_CATEGORIES`.
        root: folder that holds the categories, made if missing; None takes `default_data_root()`.
        n_train, n_test_good: numbers of normal images.
        n_per_defect: number of test images of each kind of defect.
        seed: of the whole category.
        progress: show a progress bar.

    Returns:
        The folder `root/category`.

    Raises:
        FileExistsError: the folder holds something else than what was asked for.
    """
    one_of("category", category, SAMPLE_CATEGORIES)
    manifest: dict[str, str | int] = {"version": VERSION, "category": category}
    manifest |= {"n_train": n_train, "n_test_good": n_test_good}
    manifest |= {"n_per_defect": n_per_defect, "seed": seed}
    jobs = [("train", "good", k) for k in range(n_train)]
    jobs += [("test", "good", k) for k in range(n_test_good)]
    jobs += [("test", defect, k) for defect in DEFECTS[category] for k in range(n_per_defect)]
    folder = (default_data_root() if root is None else Path(root)) / category
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f".{category}-", dir=folder.parent) as temporary:
            draft = Path(temporary) / category
            digest = hashlib.sha256()
            for split, kind, k in tqdm(jobs, desc=category, unit="image", disable=not progress):
                image, mask = _image(category, split, kind, k, seed)
                digest.update(image.tobytes())
                _save(image, draft / split / kind / f"{k:03d}.png")
                if kind != "good":
                    digest.update(mask.tobytes())
                    white = mask.astype(np.uint8) * 255
                    _save(white, draft / "ground_truth" / kind / f"{k:03d}_mask.png")
            text = json.dumps(manifest | {"sha256": digest.hexdigest()}, indent=2)
            (draft / MANIFEST).write_text(text + "\n", encoding="utf-8")
            with contextlib.suppress(OSError):  # another process was quicker
                draft.rename(folder)
    _check(folder, manifest, len(jobs))
    return folder


def _image(
    category: str, split: str, kind: str, index: int, seed: int
) -> tuple[NDArray[np.uint8], Mask]:
    """The image of one position in the layout, and its mask."""
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


def _check(folder: Path, wanted: dict[str, str | int], n_images: int) -> None:
    """Raise FileExistsError unless `folder` is the complete result of the same call."""
    file = folder / MANIFEST
    given = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    given.pop("sha256", None)
    present = len(list(folder.glob("t*/*/*.png")))
    if given != wanted or present != n_images:
        raise FileExistsError(
            f"{folder}: expected no folder, or {n_images} images made with {wanted}; it holds "
            f"{present} images, and {MANIFEST} says {given}; delete it, or choose another root"
        )
