"""Many categories fitted on a cluster: the same models, kept, and failures that cost no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from differnet_course.baselines import registry
from differnet_course.baselines.registry import load_detector
from differnet_lite.cluster import fit_on_cluster
from differnet_lite.model import DifferNet
from differnet_lite.transforms import Transformations

pytestmark = pytest.mark.filterwarnings("ignore:.*held-out normals cannot guarantee")


@pytest.fixture
def categories(folder: Path, tmp_path: Path) -> list[Path]:
    """Two folders of 6 and 8 photographs."""
    made = []
    for name, n in (("bolt", 6), ("nut", 8)):
        made.append(tmp_path / name)
        made[-1].mkdir()
        for path in sorted(folder.iterdir())[:n]:
            shutil.copy(path, made[-1])
    return made


@pytest.fixture
def fitted(scheduler: str, tiny: dict[str, Any], tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """fitted(folders) fits them into the folder models."""
    own = {name: value for name, value in tiny.items() if name != "device"}

    def run(folders: list[Path], out: Path = tmp_path / "models", **more: Any) -> dict[str, Path]:
        options = own | {"progress": False, "reference_images": 0, "scheduler": scheduler} | more
        return fit_on_cluster(folders, out, **options)

    return run


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The categories that a worker fitted."""
    seen: list[str] = []
    real = registry.make_detector

    def make(*args: Any, **options: Any) -> Any:
        detector = real(*args, **options)
        fit = detector.fit
        detector.fit = lambda images: (seen.append(images[0].parent.name), fit(images))[1]
        return detector

    monkeypatch.setattr(registry, "make_detector", make)
    return seen


def test_models_are_those_of_one_machine_and_are_kept(
    categories: list[Path],
    fitted: Callable[..., dict[str, Path]],
    fits: list[str],
    tiny: dict[str, Any],
    folder: Path,
) -> None:
    found = fitted(categories)
    assert list(found) == ["bolt", "nut"] and sorted(fits) == ["bolt", "nut"]
    for category in categories:
        here = DifferNet(**tiny | {"reference_images": 0}).fit(category)
        there = load_detector(found[category.name], progress=False)
        assert there.n_train_ == here.n_train_
        np.testing.assert_allclose(
            there.anomaly_scores(folder), here.anomaly_scores(folder), rtol=1e-5
        )
    fits.clear()
    assert fitted(categories) == found and fits == []
    found["bolt"].write_bytes(b"cut short")
    (categories[1] / "new.png").write_bytes((folder / "19.png").read_bytes())
    assert fitted(categories) == found and sorted(fits) == ["bolt", "nut"]
    assert load_detector(found["nut"], progress=False).n_train_ == 9
    fits.clear()
    fitted(categories, seed=1)
    assert sorted(fits) == ["bolt", "nut"], "other settings, other models"
    assert set(json.loads((found["nut"].with_suffix(".json")).read_bytes())) == {"of", "sha256"}


def test_a_category_that_fails_costs_no_other(
    categories: list[Path], fitted: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    image = categories[0] / "03.png"
    image.write_bytes(image.read_bytes()[:100])
    message = r"^1 of 2 categories failed, .* bolt: ImageError: .*03\.png: the image is damaged"
    with pytest.raises(RuntimeError, match=message):
        fitted(categories)
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [
        "nut.json",
        "nut.safetensors",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "^epochs: expected"),
        ({"nonsense": 1}, "nonsense"),
        ({"method": "magic"}, "^method: expected one of"),
        ({"device": "abacus"}, "^device: expected"),
        ({"scheduler": "tcp://127.0.0.1:9", "out": "LICENSE"}, "expected a folder for the models"),
        ({"transformations": Transformations(angles=(0.0,)), "seed": -1}, "^seed: expected"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    categories: list[Path],
    fitted: Callable[..., dict[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("differnet_lite.cluster.fitting.connected", pytest.fail)
    if "out" in options:
        options = options | {"out": tmp_path / "file"}
        options["out"].write_text("")
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        fitted(categories, **options)


def test_categories_need_names_of_their_own(
    categories: list[Path], fitted: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    other = Path(shutil.copytree(categories[0], tmp_path / "more" / "bolt"))
    with pytest.raises(ValueError, match=r"a name of its own for each, got \['bolt'\] twice"):
        fitted([*categories, other])
    with pytest.raises(ValueError, match="categories: expected at least one folder"):
        fitted([])
    with pytest.raises(ValueError, match=r"^gs://b/bolt: expected a folder that all machines"):
        fitted(["gs://b/bolt"])
