"""Bring a data set into the MVTec layout. Nothing is downloaded here; see data/README.md."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from differnet_course.folders import load_category
from differnet_lite.images import open_image
from differnet_lite.listing import DatasetError

__all__ = ["MTD_COUNTS", "MTD_KINDS", "MVTEC_COUNTS", "prepare_mtd", "prepare_mvtec"]

# category: (train/good, test/good, anomalous test images), Bergmann et al., CVPR 2019, table 1
MVTEC_COUNTS = {
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "hazelnut": (391, 40, 70),
    "leather": (245, 32, 92),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "tile": (230, 33, 84),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "wood": (247, 19, 60),
    "zipper": (240, 32, 119),
}

# the published split of the DifferNet paper: (train/good, test/good, anomalous)
MTD_COUNTS = (761, 191, 392)
MTD_KINDS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")


def prepare_mvtec(
    archive: str | os.PathLike[str], root: str | os.PathLike[str] = "data"
) -> list[Path]:
    """Unpack an archive of MVTec AD, of one category or of all, and check the numbers of images.

    Args:
        archive: the .tar.xz (or .tar, .tar.gz, .zip) file as downloaded, or a folder that was
            unpacked already; a folder is copied.
        root: where the category folders go. An existing one is never touched.

    Returns:
        The folders of the categories.

    Raises:
        FileNotFoundError, FileExistsError: of the archive; of a category that is there already.
        DatasetError: there is no category, or its numbers of images are not the published ones.
    """
    archive = Path(archive)
    root = Path(root)
    if not archive.exists():
        raise FileNotFoundError(
            f"{archive}: there is no such archive or folder; see data/README.md for where to get it"
        )
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as temporary:
        source = Path(temporary)
        if archive.is_dir():
            name = archive.name if (archive / "train" / "good").is_dir() else ""
            shutil.copytree(archive, source / name, dirs_exist_ok=True)
        else:
            _unpack(archive, source)
        categories = sorted(path.parent.parent for path in source.rglob("train/good"))
        if not categories:
            raise DatasetError(f"{archive}: expected folders CATEGORY/train/good, got none")
        for category in categories:
            _check_counts(category)
            _check_absent(root / category.name)
        return [category.rename(root / category.name) for category in categories]


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
    """
    target = Path(root) / "magnetic_tile"
    _check_absent(target)
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


def _unpack(archive: Path, into: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(into)
        else:
            with tarfile.open(archive) as opened_tar:
                opened_tar.extractall(into, filter="data")  # refuses paths that lead outside
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise DatasetError(
            f"{archive}: expected a complete .tar.xz, .tar.gz, .tar or .zip archive ({error});"
            " download it again"
        ) from error


def _check_counts(folder: Path) -> None:
    expected = MVTEC_COUNTS.get(folder.name)
    if expected is None:
        raise DatasetError(
            f"{folder.name}: expected a category of MVTec AD ({', '.join(MVTEC_COUNTS)});"
            " for your own folder nothing needs preparing"
        )
    category = load_category(folder)
    n_anomalous = int(category.labels.sum())
    counts = (len(category.train), len(category.test) - n_anomalous, n_anomalous)
    n_masks = sum(mask is not None for mask in category.masks)
    if counts != expected or n_masks < n_anomalous:
        raise DatasetError(
            f"{folder.name}: expected {expected} training, normal test and anomalous test images, "
            f"each of the last with a mask, got {counts} and {n_masks} masks; the archive is "
            "incomplete"
        )


def _check_absent(folder: Path) -> None:
    if folder.exists():
        raise FileExistsError(f"{folder}: is there already; move it away, or choose another root")


def _copy(paths: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)
