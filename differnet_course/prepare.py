"""Bring a data set into the MVTec layout. Nothing is downloaded here; see data/README.md."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

from differnet_lite.oldchecks import checked
from differnet_lite.files import made_folder, regular
from differnet_lite.folders import DatasetError, load_category
from differnet_lite.images import open_image

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


@checked
def prepare_mvtec(
    archive: str | os.PathLike[str], root: str | os.PathLike[str] = "data"
) -> list[Path]:
    """Unpack an archive of MVTec AD, of one category or of all, and check the numbers of images.

    Args:
        archive: the .tar.xz (or .tar, .tar.gz, .zip) file as downloaded, or a folder that was
            unpacked already.
        root: where the category folders go. An existing one is never touched.

    Returns:
        The folders of the categories.

    Raises:
        FileNotFoundError: there is no such file or folder.
        FileExistsError: a category is there already.
        DatasetError: no category was found, or its numbers of images are not the published ones.
    """
    archive, root = Path(archive), Path(root)
    if not archive.exists():
        raise FileNotFoundError(
            f"{archive}: there is no such archive or folder; see data/README.md for where to get it"
        )
    if not archive.is_dir():
        regular(archive)
    made_folder(root)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as temporary:
        if archive.is_dir():
            source = archive
        else:
            source = Path(temporary)
            _unpack(archive, source)
        found = (
            [source]
            if (source / "train" / "good").is_dir()
            else sorted(p.parent.parent for p in source.rglob("train/good"))
        )
        if not found:
            raise DatasetError(f"{archive}: expected folders CATEGORY/train/good, found none")
        for category in found:
            _check_counts(category)
            if (root / category.name).exists():
                raise FileExistsError(
                    f"{root / category.name}: is there already;"
                    " move it away, or choose another root"
                )
        return [
            _put(category, root / category.name, keep_source=archive.is_dir()) for category in found
        ]


@checked
def prepare_mtd(
    clone: str | os.PathLike[str],
    split: str | os.PathLike[str],
    root: str | os.PathLike[str] = "data",
) -> Path:
    """Arrange a clone of the Magnetic Tile Defects repository by the split of the DifferNet paper.

    Args:
        clone: the folder with MT_Blowhole, MT_Break, MT_Crack, MT_Fray, MT_Free and MT_Uneven.
        split: the text file that names the defect-free TRAINING images, one a line:
            `mtd_train_filenames.txt` of the authors' repository. The other defect-free images are
            for testing. Folders and suffixes do not matter.
        root: where the folder magnetic_tile goes.

    Returns:
        The folder root/magnetic_tile.

    Raises:
        FileNotFoundError: a folder or the split file is missing.
        FileExistsError: root/magnetic_tile is there already.
        DatasetError: the split names unknown images, or the numbers are not the published ones.
    """
    clone, split, target = Path(clone), Path(split), Path(root) / "magnetic_tile"
    if not split.is_file():
        raise FileNotFoundError(
            f"{split}: there is no such split file; expected mtd_train_filenames.txt,"
            " see data/README.md"
        )
    folders = {kind: clone / f"MT_{kind}" / "Imgs" for kind in (*MTD_KINDS, "Free")}
    for folder in folders.values():
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder}: missing; expected a clone of the Magnetic Tile Defects repository"
            )
    if target.exists():
        raise FileExistsError(f"{target}: is there already; move it away, or choose another root")
    images = {kind: sorted(folder.glob("*.jpg")) for kind, folder in folders.items()}
    train_names = {
        Path(word).stem
        for word in re.split(r"[\s,;]+", split.read_text(encoding="utf-8", errors="replace"))
        if word
    }
    by_name = {path.stem: path for path in images["Free"]}
    trained = [path for name, path in by_name.items() if name in train_names]
    tested = [path for name, path in by_name.items() if name not in train_names]
    n_defects = sum(len(images[kind]) for kind in MTD_KINDS)
    if (len(trained), len(tested), n_defects) != MTD_COUNTS:
        raise DatasetError(
            f"expected {MTD_COUNTS[0]} training, {MTD_COUNTS[1]} normal test and {MTD_COUNTS[2]}"
            f" defect images, got {len(trained)}, {len(tested)} and {n_defects};"
            " is the split file the published one, and the clone complete?"
        )
    made_folder(target.parent)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".magnetic_tile-"))
    try:
        _copy(trained, partial / "train" / "good")
        _copy(tested, partial / "test" / "good")
        for kind in MTD_KINDS:
            _copy(images[kind], partial / "test" / kind.lower())
            (partial / "ground_truth" / kind.lower()).mkdir(parents=True)
            for path in images[kind]:
                mask = open_image(path.with_suffix(".png")).convert("L")
                mask.point(lambda v: 255 * (v > 127)).save(
                    partial / "ground_truth" / kind.lower() / f"{path.stem}_mask.png"
                )
        partial.chmod(0o755)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


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


def _check_counts(category: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_category(category)
    counts = (len(found.train), int((~found.labels).sum()), int(found.labels.sum()))
    expected = MVTEC_COUNTS.get(category.name)
    if expected is None:
        raise DatasetError(
            f"{category.name}: expected a category of MVTec AD ({', '.join(MVTEC_COUNTS)});"
            " for your own folder nothing needs preparing"
        )
    if counts != expected:
        raise DatasetError(
            f"{category.name}: expected {expected} training, normal test and anomalous test"
            f" images, got {counts}; the archive is incomplete"
        )
    missing = sum(
        mask is None for mask, anomalous in zip(found.masks, found.labels, strict=True) if anomalous
    )
    if missing:
        raise DatasetError(
            f"{category.name}: {missing} anomalous images have no mask in ground_truth/;"
            " the archive is incomplete"
        )


def _put(source: Path, target: Path, *, keep_source: bool) -> Path:
    """Move or copy a folder so that the target appears whole."""
    if keep_source:
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            shutil.copytree(source, partial, dirs_exist_ok=True)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    else:
        source.rename(target)
    target.chmod(0o755)
    return target


def _copy(paths: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in paths:
        shutil.copyfile(path, folder / path.name)
