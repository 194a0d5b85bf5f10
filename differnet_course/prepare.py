"""Bring the Magnetic Tile Defects into the MVTec layout; see data/README.md."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from differnet_lite.images import open_image
from differnet_lite.listing import DatasetError

__all__ = ["MTD_COUNTS", "MTD_KINDS", "prepare_mtd"]

# the published split of the DifferNet paper: (train/good, test/good, anomalous)
MTD_COUNTS = (761, 191, 392)
MTD_KINDS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")


def prepare_mtd(
    clone: str | os.PathLike[str],
    split: str | os.PathLike[str],
    root: str | os.PathLike[str] = "data",
) -> Path:
    """Arrange a clone of the Magnetic Tile Defects repository by the split of the DifferNet paper.

    Args:
        clone: the folder with MT_Blowhole, MT_Break, MT_Crack, MT_Fray, MT_Free and MT_Uneven.
        split: `mtd_train_filenames.txt` of the authors' repository: it names the defect-free
            TRAINING images. The other defect-free images are for testing.
        root: where the folder magnetic_tile goes, which is returned.

    Raises:
        FileExistsError: the folder is there already.
        DatasetError: the numbers of images are not the published ones.
    """
    target = Path(root) / "magnetic_tile"
    if target.exists():
        raise FileExistsError(f"{target}: is there already; move it away, or choose another root")
    words = re.split(r"[\s,;]+", Path(split).read_text(encoding="utf-8", errors="replace"))
    names = {Path(word).stem for word in words}
    images = {
        kind: sorted((Path(clone) / f"MT_{kind}" / "Imgs").glob("*.jpg"))
        for kind in (*MTD_KINDS, "Free")
    }
    trained = [path for path in images["Free"] if path.stem in names]
    tested = [path for path in images["Free"] if path.stem not in names]
    counts = (len(trained), len(tested), sum(len(images[kind]) for kind in MTD_KINDS))
    if counts != MTD_COUNTS:
        raise DatasetError(
            f"{clone}: expected {MTD_COUNTS} training, normal test and defect images, got {counts};"
            " is the split file the published one, and the clone complete?"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".magnetic_tile-") as temporary:
        partial = Path(temporary) / "magnetic_tile"
        _copy(trained, partial / "train" / "good")
        _copy(tested, partial / "test" / "good")
        for kind in MTD_KINDS:
            _copy(images[kind], partial / "test" / kind.lower())
            masks = partial / "ground_truth" / kind.lower()
            masks.mkdir(parents=True)
            for path in images[kind]:
                mask = open_image(path.with_suffix(".png")).convert("L")
                mask.point(lambda v: 255 * (v > 127)).save(masks / f"{path.stem}_mask.png")
        return partial.rename(target)


def _copy(paths: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)
